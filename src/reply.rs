//! From what came of a request to the reply and its log line.

use crate::error::{Error, status_of_verdict};
use crate::ingest::{Asked, Ingested, Taken};
use crate::log::{self, Level, Line};
use crate::platform::exchange::Answer;
use crate::platform::now;
use crate::platform::response::Reply;
use postback::field::Field;
use postback::id::{EventId, Nonce};
use postback::message_signature::header;
use postback::reply::{self, Body, Failure, Format, QUEUED};
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// The reply to a postback, and its line in the log.
pub fn to_postback(ingested: &Ingested, asked: &Asked<'_>) -> Reply {
    let Ingested { event_id, request_id, result, reason, attempts, .. } = ingested;
    let asked = &Asked { request_id: request_id.as_ref().unwrap_or(asked.request_id), ..*asked };
    let Asked { incoming, request_id, partner, reply: format, .. } = *asked;
    let (reply, outcome, level, message) = match result {
        Ok(Taken::Answered(verdict, answer)) => {
            let (level, message) = match verdict {
                Verdict::Created | Verdict::Duplicate | Verdict::Revised => (Level::Info, "postback stored"),
                Verdict::Conflict | Verdict::Rejected => (Level::Warn, "postback refused by the origin"),
            };
            (answered(*verdict, answer, event_id.as_ref(), asked), verdict.name(), level, message)
        }
        Ok(Taken::Queued { is_our_fault }) => {
            let level = if *is_our_fault { Level::Error } else { Level::Warn };
            (queued(event_id.as_ref(), asked), QUEUED, level, "postback queued")
        }
        Err(error) => {
            let (level, message) = if *error == Error::Unavailable {
                (Level::Error, "neither origin nor queue took the postback")
            } else {
                (Level::Warn, "postback refused")
            };
            (failed(error, format, request_id, event_id.as_ref()), error.failure().code, level, message)
        }
    };
    // A partner that asks not to be logged still is when something is wrong.
    if partner.enable_logging || !matches!(level, Level::Info) {
        log::write(&Line {
            level,
            partner: Some(&partner.code),
            target_digest: log::target_digest(incoming.target()),
            event_id: event_id.as_ref().map(EventId::as_str),
            field: result.as_ref().err().and_then(|error| partner.field_of(error.failure().field?)).map(Field::name),
            reason: reason.as_deref(),
            attempt: (*attempts > 0).then_some(*attempts),
            status: Some(reply.status),
            ..Line::of(message, request_id.as_str(), outcome, since(asked.now))
        });
    }
    reply
}

/// An acknowledged verdict. Of a success nothing but the verdict is needed to answer; the words of a refusal are the origin's.
fn answered(verdict: Verdict, answer: &Answer, event_id: Option<&EventId>, asked: &Asked<'_>) -> Reply {
    let request_id = asked.request_id;
    let mut headers = headers(request_id, event_id, Some(verdict.name()));
    let body = match (verdict, event_id) {
        (Verdict::Created | Verdict::Duplicate | Verdict::Revised, Some(event_id)) => {
            let Body { content_type, text } = reply::success(asked.reply, verdict, event_id, request_id.as_str());
            headers.push(("content-type", content_type.to_owned()));
            text
        }
        _ => {
            headers.push(("content-type", answer.content_type.clone()));
            answer.body.clone()
        }
    };
    Reply { status: status_of_verdict(verdict, answer.status), headers, body: Some(body) }
}

fn queued(event_id: Option<&EventId>, asked: &Asked<'_>) -> Reply {
    let mut headers = headers(asked.request_id, event_id, Some(QUEUED));
    let body = event_id.map(|event_id| reply::queued(asked.reply, event_id, asked.request_id.as_str()));
    headers.extend(body.as_ref().map(|body| ("content-type", body.content_type.to_owned())));
    Reply { status: 200, headers, body: body.map(|body| body.text) }
}

/// An error reply; `event_id` where the event is known.
pub fn failed(error: &Error, format: Format, request_id: &Nonce, event_id: Option<&EventId>) -> Reply {
    let failure = Failure { event_id: event_id.map(EventId::as_str), ..error.failure() };
    let Body { content_type, text } = reply::failure(format, failure, request_id.as_str());
    let mut headers = headers(request_id, event_id, failure.verdict.map(Verdict::name));
    headers.push(("content-type", content_type.to_owned()));
    headers.extend(error.header().map(|(name, value)| (name, value.to_owned())));
    Reply { status: error.status(), headers, body: Some(text) }
}

/// A reply in JSON that is no postback's.
pub fn json(status: u16, request_id: &Nonce, value: &impl serde::Serialize) -> Reply {
    let mut headers = headers(request_id, None, None);
    headers.push(("content-type", "application/json".to_owned()));
    // Structs of strings, numbers and lists are written, which serde_json cannot fail at.
    Reply { status, headers, body: Some(serde_json::to_string(value).unwrap_or_default()) }
}

/// A reply without a body.
pub fn empty(request_id: &Nonce) -> Reply {
    Reply { status: 200, headers: headers(request_id, None, None), body: None }
}

/// The headers that every reply has, and those about the event where there is one.
pub fn headers(request_id: &Nonce, event_id: Option<&EventId>, verdict: Option<&str>) -> Vec<(&'static str, String)> {
    let mut headers =
        vec![("cache-control", "no-store".to_owned()), (header::REQUEST_ID, request_id.as_str().to_owned())];
    headers.extend(event_id.map(|event_id| (header::EVENT_ID, event_id.as_str().to_owned())));
    headers.extend(verdict.map(|verdict| (header::VERDICT, verdict.to_owned())));
    headers
}

/// Milliseconds since an instant.
pub fn since(began: Timestamp) -> i64 {
    now().unix_ms().saturating_sub(began.unix_ms())
}
