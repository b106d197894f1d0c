//! The words of a reply, the same from edge and origin (R3, R20). Status codes are theirs; bodies are here.

use crate::id::EventId;
use crate::verdict::Verdict;
use serde::{Deserialize, Serialize};

/// What a partner's machines can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// A JSON object.
    Json,
    /// `OK`, or one line that begins with `ERROR`.
    Text,
}

impl Format {
    /// The partner's format, unless the request asks for JSON by name: no network does, a person with curl may.
    pub fn negotiate(partner: Option<Format>, accept: Option<&str>) -> Format {
        let asks_for_json = accept.is_some_and(|accept| accept.contains("application/json"));
        if asks_for_json { Format::Json } else { partner.unwrap_or(Format::Json) }
    }

    /// The media type, as the edge asks the origin for it in `Accept`.
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Text => "text/plain",
        }
    }
}

/// A reply's body and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The body, at most 1 KiB, with nothing in it that came from the request unchecked.
    pub text: String,
}

/// An error as it is told to the sender.
#[derive(Clone, Copy, Debug)]
pub struct Failure<'a> {
    /// The stable code.
    pub code: &'static str,
    /// The field at fault, as the sender named it.
    pub field: Option<&'a str>,
    /// What to do about it.
    pub hint: &'a str,
    /// The event, where it is known.
    pub event_id: Option<&'a str>,
    /// What became of it, where that is settled.
    pub verdict: Option<Verdict>,
}

impl<'a> Failure<'a> {
    /// An error of no field and no event.
    pub fn of(code: &'static str, hint: &'a str) -> Failure<'a> {
        Failure { code, field: None, hint, event_id: None, verdict: None }
    }
}

/// The reply to a postback that was taken.
pub fn success(format: Format, verdict: Verdict, event_id: &EventId, request_id: &str) -> Body {
    #[derive(Serialize)]
    struct Success<'a> {
        status: &'static str,
        idempotent: bool,
        verdict: &'static str,
        event_id: &'a str,
        request_id: &'a str,
    }
    match format {
        Format::Json => json(&Success {
            status: "ok",
            idempotent: verdict == Verdict::Duplicate,
            verdict: verdict.name(),
            event_id: event_id.as_str(),
            request_id,
        }),
        Format::Text => text("OK".to_owned()),
    }
}

/// The reply to a postback that the edge took and that the origin will get later (R19).
pub fn queued(format: Format, event_id: &EventId, request_id: &str) -> Body {
    #[derive(Serialize)]
    struct Queued<'a> {
        status: &'static str,
        event_id: &'a str,
        request_id: &'a str,
    }
    match format {
        Format::Json => json(&Queued { status: QUEUED, event_id: event_id.as_str(), request_id }),
        Format::Text => text("OK".to_owned()),
    }
}

/// What a reply says in place of a verdict while there is none.
pub const QUEUED: &str = "queued";

/// The reply to anything else.
pub fn failure(format: Format, failure: Failure<'_>, request_id: &str) -> Body {
    #[derive(Serialize)]
    struct Error<'a> {
        error: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        field: Option<&'a str>,
        hint: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        verdict: Option<&'static str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        event_id: Option<&'a str>,
        request_id: &'a str,
    }
    let Failure { code, field, hint, event_id, verdict } = failure;
    let verdict = verdict.map(Verdict::name);
    match format {
        Format::Json => json(&Error { error: code, field, hint, verdict, event_id, request_id }),
        Format::Text => {
            let field = field.map(|field| format!(" field={field}")).unwrap_or_default();
            text(format!("ERROR {code}{field} hint={hint} request_id={request_id}"))
        }
    }
}

fn json(value: &impl Serialize) -> Body {
    // Structs of strings and booleans are written, which serde_json cannot fail at.
    Body { content_type: "application/json", text: serde_json::to_string(value).unwrap_or_default() }
}

fn text(text: String) -> Body {
    Body { content_type: "text/plain; charset=utf-8", text }
}
