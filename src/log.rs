//! One structured line a request and a message (R21): what happened, never what was sent. No queries, tokens, addresses or
//! personal data.

use hmac::{Hmac, KeyInit, Mac};
use serde::Serialize;
use sha2::Sha256;
use std::sync::LazyLock;

/// How much a line matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Info,
    /// A sender or the way to the origin is at fault.
    Warn,
    /// We are at fault.
    Error,
}

/// A line of the log.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// A sentence.
    pub message: &'a str,
    /// The edge's name of the request, as in the reply.
    pub request_id: &'a str,
    /// See [`target_digest`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_digest: Option<String>,
    /// The partner's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<&'a str>,
    /// The event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<&'a str>,
    /// Who did it, where an operator did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<&'a str>,
    /// The verdict, or the error's code.
    pub outcome: &'a str,
    /// The canonical name of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<&'static str>,
    /// The reply's status code, where there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The cause, for us alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// How many attempts were made at the origin; of a message, how often it was brought.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// From the request's or message's arrival to this line.
    pub duration_ms: i64,
}

impl<'a> Line<'a> {
    /// A line with what every line has.
    pub fn of(message: &'a str, request_id: &'a str, outcome: &'a str, duration_ms: i64) -> Line<'a> {
        Line {
            level: Level::Info,
            message,
            request_id,
            target_digest: None,
            partner: None,
            event_id: None,
            operator: None,
            outcome,
            field: None,
            status: None,
            reason: None,
            attempt: None,
            duration_ms,
        }
    }
}

/// What stands in the log for the path and query of a request, so that a request which a partner shows us can be found
/// without the log holding it: HMAC-SHA256 under a fixed label, which keeps our digests apart from everybody else's,
/// its first 16 bytes in hexadecimal. `printf %s "$TARGET" | openssl dgst -sha256 -hmac bytec-log-v1` computes it.
pub fn target_digest(target: &str) -> Option<String> {
    static LABELLED: LazyLock<Option<Hmac<Sha256>>> = LazyLock::new(|| Hmac::new_from_slice(b"bytec-log-v1").ok());
    let mut mac = LABELLED.clone()?;
    mac.update(target.as_bytes());
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16);
    Some(
        mac.finalize().into_bytes().iter().take(16).flat_map(|byte| [byte >> 4, byte & 15]).filter_map(digit).collect(),
    )
}

/// Writes the line.
pub fn write(line: &Line<'_>) {
    // Strings and numbers are written, which serde_json cannot fail at.
    let text = serde_json::to_string(line).unwrap_or_default();
    match line.level {
        Level::Info => worker::console_log!("{text}"),
        Level::Warn => worker::console_warn!("{text}"),
        Level::Error => worker::console_error!("{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::target_digest;

    #[test]
    fn a_digest_is_what_openssl_computes() {
        // printf %s '/involve/event?a=1' | openssl dgst -sha256 -hmac bytec-log-v1 | cut -d' ' -f2 | cut -c1-32
        assert_eq!(target_digest("/involve/event?a=1").as_deref(), Some("ec4d4e98dbdd08b82db94c564a389702"));
    }
}
