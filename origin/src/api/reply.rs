//! Building responses.

use super::error::Error;
use crate::ingest::Ingested;
use crate::reports::Answer;
use axum::body::Body;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use postback::id::EventId;
use postback::message_signature::header;
use postback::reply::{self, Failure, Format};
use postback::verdict::Verdict;
use serde::Serialize;

/// The reply to a stored postback.
pub fn success(ingested: &Ingested, format: Format, request_id: &str) -> Response {
    let body = reply::success(format, ingested.verdict, &ingested.event_id, request_id);
    let mut response = build(200, body, request_id);
    name_event(&mut response, Some(&ingested.event_id), Some(ingested.verdict));
    response
}

/// The reply to anything else; `event_id` where the event is known.
pub fn failure(error: &Error, format: Format, request_id: &str, event_id: Option<&EventId>) -> Response {
    let failure = Failure { event_id: event_id.map(EventId::as_str), ..error.failure() };
    let mut response = build(error.status(), reply::failure(format, failure, request_id), request_id);
    name_event(&mut response, event_id, failure.verdict);
    if let Some((name, value)) = error.header() {
        set(&mut response, name, &value);
    }
    response
}

/// The reply to what only the edge asks, in words of its own; `event_id` is what the edge calls the request by.
pub fn to_edge(told: &impl Serialize, event_id: &str, verdict: Verdict, request_id: &str) -> Response {
    // Structs of texts and numbers are written, which serde_json cannot fail at.
    let text = serde_json::to_string(told).unwrap_or_default();
    let mut response = build(200, reply::Body { content_type: "application/json", text }, request_id);
    set(&mut response, header::EVENT_ID, event_id);
    set(&mut response, header::VERDICT, verdict.name());
    response
}

/// The answer to a question. Of a HEAD request it has the head alone.
pub fn answer(answer: Answer, is_head: bool, request_id: &str) -> Response {
    let Answer { content_type, body, next_cursor } = answer;
    let mut response = build(200, reply::Body { content_type, text: body }, request_id);
    if let Some(cursor) = next_cursor {
        set(&mut response, "bytec-next-cursor", &cursor);
    }
    if is_head {
        *response.body_mut() = Body::empty();
    }
    response
}

/// A reply without a body.
pub fn empty(request_id: &str) -> Response {
    build(200, reply::Body { content_type: "text/plain; charset=utf-8", text: String::new() }, request_id)
}

/// Takes the body of a reply away, whose acknowledgement says the same, and says so (RFC 7240).
pub fn minimise(response: &mut Response) {
    *response.body_mut() = Body::empty();
    response.headers_mut().remove(CONTENT_TYPE);
    set(response, "preference-applied", header::RETURN_MINIMAL);
}

/// Sets a header whose value is made of ids and words of ours; one that cannot stand in a header is left out.
pub fn set(response: &mut Response, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
}

/// The headers about the event, where there is one (R20).
fn name_event(response: &mut Response, event_id: Option<&EventId>, verdict: Option<Verdict>) {
    if let Some(event_id) = event_id {
        set(response, header::EVENT_ID, event_id.as_str());
    }
    if let Some(verdict) = verdict {
        set(response, header::VERDICT, verdict.name());
    }
}

fn build(status: u16, body: reply::Body, request_id: &str) -> Response {
    let mut response = Response::new(Body::from(body.text));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(body.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    set(&mut response, header::REQUEST_ID, request_id);
    response
}
