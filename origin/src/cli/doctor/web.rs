//! One question to a server, answered within a limit.

use chrono::DateTime;
use reqwest::Url;
use reqwest::redirect::Policy;
use serde_json::Value;
use std::time::Duration;

/// Bytes of an answer at most: ours are smaller by far.
const BODY_BYTES_MAX: usize = 64 << 10;

/// What a server answered.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// How far its clock is ahead of ours, in milliseconds, to a second or so; None where it does not say.
    pub clock_ahead_ms: Option<i64>,
    /// The body, where it is JSON.
    pub json: Value,
}

impl Answer {
    /// A text of the body.
    pub fn text(&self, name: &str) -> &str {
        self.json.get(name).and_then(Value::as_str).unwrap_or_default()
    }
}

/// Where something is to be asked: scheme, host and port alone.
///
/// # Errors
/// It is none, or has more in it, such as a password.
pub fn base_url(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("is no URL: {error}"))?;
    let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_nobodys = url.username().is_empty() && url.password().is_none();
    if !["http", "https"].contains(&url.scheme()) || !is_bare || !is_nobodys {
        return Err("must be scheme and host alone, such as https://origin.bytec.com".to_owned());
    }
    Ok(url)
}

/// Asks; redirects are answers. `now_ms` reads our clock.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(base: &Url, target: &str, limit: Duration, now_ms: fn() -> i64) -> Result<Answer, String> {
    // That another part of the program was quicker to say so is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let url = base.join(target).map_err(|error| error.to_string())?;
    let mut client =
        reqwest::Client::builder().timeout(limit).redirect(Policy::none()).user_agent("bytec-origin doctor");
    if is_this_machine(base) {
        client = client.no_proxy();
    }
    let client = client.build().map_err(|error| told(error, limit))?;
    let asked_ms = now_ms();
    let mut answer =
        client.get(url).header("accept", "application/json").send().await.map_err(|error| told(error, limit))?;
    let ours_ms = asked_ms.midpoint(now_ms());
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    // Whole seconds, cut off: half of one is what it is off by on average.
    let theirs_ms = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.timestamp_millis());
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| told(error, limit))? {
        body.extend_from_slice(&chunk);
        if body.len() > BODY_BYTES_MAX {
            body.clear();
            break;
        }
    }
    Ok(Answer {
        status: answer.status().as_u16(),
        clock_ahead_ms: theirs_ms.map(|theirs_ms| theirs_ms.saturating_add(500).saturating_sub(ours_ms)),
        json: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// Whether a URL names this machine, which no proxy leads to.
fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Why there is no answer: the innermost cause says most.
fn told(error: reqwest::Error, limit: Duration) -> String {
    if error.is_timeout() {
        return format!("no answer within {} s", limit.as_secs());
    }
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_url_is_scheme_and_host() {
        assert!(base_url("https://origin.bytec.com").is_ok() && base_url("http://127.0.0.1:8000/").is_ok());
        for wrong in ["origin.bytec.com", "ftp://a.b", "https://a.b/path", "https://u:geheim@a.b", "https://a.b/?q", ""]
        {
            assert!(!base_url(wrong).unwrap_err().contains("geheim"), "{wrong}");
        }
    }

    #[test]
    fn this_machine_is_known() {
        for (url, is) in
            [("http://127.0.0.1:1", true), ("http://[::1]:1", true), ("http://localhost", true), ("http://a.b", false)]
        {
            assert_eq!(is_this_machine(&url.parse().unwrap()), is, "{url}");
        }
    }
}
