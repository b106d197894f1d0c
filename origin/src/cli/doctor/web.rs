//! One question to a server, answered within a limit.

use crate::cli::web::{body, client, innermost};
use chrono::DateTime;
use reqwest::Url;
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

/// Asks; redirects are answers. `now_ms` reads our clock.
///
/// # Errors
/// Why there is no answer.
pub async fn ask(base: &Url, target: &str, limit: Duration, now_ms: fn() -> i64) -> Result<Answer, String> {
    let url = base.join(target).map_err(|error| error.to_string())?;
    let client = client(base, limit, "bytec-origin doctor").map_err(|error| told(error, limit))?;
    let asked_ms = now_ms();
    let mut answer =
        client.get(url).header("accept", "application/json").send().await.map_err(|error| told(error, limit))?;
    let ours_ms = asked_ms.midpoint(now_ms());
    let date = answer.headers().get("date").and_then(|date| date.to_str().ok());
    // Whole seconds, cut off: half of one is what it is off by on average.
    let theirs_ms = date.and_then(|date| DateTime::parse_from_rfc2822(date).ok()).map(|date| date.timestamp_millis());
    let body = body(&mut answer, BODY_BYTES_MAX).await.map_err(|error| told(error, limit))?.unwrap_or_default();
    Ok(Answer {
        status: answer.status().as_u16(),
        clock_ahead_ms: theirs_ms.map(|theirs_ms| theirs_ms.saturating_add(500).saturating_sub(ours_ms)),
        json: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// Why there is no answer.
fn told(error: reqwest::Error, limit: Duration) -> String {
    if error.is_timeout() { format!("no answer within {} s", limit.as_secs()) } else { innermost(error) }
}
