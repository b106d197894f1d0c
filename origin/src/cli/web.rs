//! Other hosts, as commands ask them.

use clap::builder::TypedValueParser;
use clap::error::ErrorKind;
use clap::{Arg, Command, Error};
use reqwest::redirect::Policy;
use reqwest::{Client, Response, Url};
use std::ffi::OsStr;
use std::time::Duration;

/// Reads an argument that is a URL. What is wrong with it is told without it: somebody may have written a password into it.
#[derive(Clone, Copy)]
pub struct UrlArgument(pub fn(&str) -> Result<Url, String>);

impl TypedValueParser for UrlArgument {
    type Value = Url;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<Url, Error> {
        let url = value.to_str().ok_or_else(|| "is no text".to_owned()).and_then(self.0);
        url.map_err(|why| {
            let name = argument.and_then(Arg::get_long).unwrap_or("url");
            Error::raw(ErrorKind::ValueValidation, format!("--{name} {why}\n")).with_cmd(command)
        })
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

/// A client for one host, whose answers may take so long; redirects are answers. No proxy leads to this machine.
///
/// # Errors
/// The system has no TLS to give.
pub fn client(base: &Url, limit: Duration, name: &'static str) -> Result<Client, reqwest::Error> {
    // That another part of the program was quicker to say so is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::builder().timeout(limit).redirect(Policy::none()).user_agent(name);
    if is_this_machine(base) { client.no_proxy() } else { client }.build()
}

/// The body of an answer; None where it has more bytes than that.
///
/// # Errors
/// It breaks off, or takes too long.
pub async fn body(answer: &mut Response, bytes_max: usize) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len().saturating_add(chunk.len()) > bytes_max {
            return Ok(None);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Some(body))
}

/// Why there is no answer: the innermost cause says most. The URL is not told.
pub fn innermost(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}

/// Whether a URL names this machine, which no proxy leads to.
pub fn is_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
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
