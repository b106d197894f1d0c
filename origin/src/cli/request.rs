//! A request on the command line: what `explain` and `sign` are asked about.

use clap::Args;
use std::path::PathBuf;

/// The request, as it came or as it would be sent.
#[derive(Args, Clone, Debug)]
pub struct RequestArgs {
    /// The URL, or its path and query alone. Quote it: & means something to a shell.
    url: String,
    /// GET or POST; POST where there is a body.
    #[arg(long, short = 'X')]
    method: Option<String>,
    /// The body.
    #[arg(long, short = 'd', conflicts_with = "body_file")]
    body: Option<String>,
    /// A file that holds the body, byte for byte.
    #[arg(long)]
    body_file: Option<PathBuf>,
    /// The body's Content-Type.
    #[arg(long)]
    content_type: Option<String>,
}

/// The same with its body read.
#[derive(Clone, Debug)]
pub struct AskedRequest {
    /// In capitals.
    pub method: String,
    /// As it was given, everything but visible ASCII percent-encoded, as clients do.
    pub url: String,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// The body's bytes.
    pub body: Vec<u8>,
}

impl AskedRequest {
    /// Path and query, however the URL was given.
    pub fn target(&self) -> (&str, &str) {
        target_of(&self.url)
    }
}

/// Path and query of a URL.
pub fn target_of(url: &str) -> (&str, &str) {
    let target = postback::explain::path_and_query(url.split('#').next().unwrap_or_default());
    target.split_once('?').unwrap_or((target, ""))
}

impl RequestArgs {
    /// Reads the body.
    ///
    /// # Errors
    /// When its file cannot be read.
    pub fn read(self) -> Result<AskedRequest, String> {
        let body = match (self.body, self.body_file) {
            (Some(text), _) => text.into_bytes(),
            (None, Some(path)) => {
                std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?
            }
            (None, None) => Vec::new(),
        };
        let method = self.method.unwrap_or_else(|| if body.is_empty() { "GET" } else { "POST" }.to_owned());
        Ok(AskedRequest {
            method: method.to_ascii_uppercase(),
            url: postback::percent::visible(&self.url),
            content_type: self.content_type,
            body,
        })
    }
}
