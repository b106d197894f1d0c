//! One structured line a request (R21): what happened, never what was sent. No queries, tokens, addresses or personal
//! data.

use serde::Serialize;

/// How much a line matters.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Info,
    /// A sender or the way to the origin is at fault.
    Warn,
    /// We are at fault.
    Error,
}

/// The line of one request.
#[derive(Clone, Debug, Serialize)]
pub struct Line<'a> {
    /// How much it matters.
    pub level: Level,
    /// A sentence.
    pub message: &'a str,
    /// The edge's name of the request, as in the reply.
    pub request_id: &'a str,
    /// The partner's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partner: Option<&'a str>,
    /// The event's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event_id: Option<&'a str>,
    /// The verdict, or the error's code.
    pub outcome: &'a str,
    /// The reply's status code.
    pub status: u16,
    /// The cause, for us alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Which attempt at forwarding this was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// From the request's arrival to its reply.
    pub duration_ms: i64,
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
