//! The edge: a Cloudflare Worker that takes partners' postbacks, rewrites them into canonical form, signs them and
//! forwards them to the origin. It decides nothing about meaning (that is the `postback` crate) and stores nothing.
//!
//! This file is the entry: it reads the clock, names the request, and turns what came of it into a reply and a log
//! line.

// In the order of a request's way.
pub mod config;
pub mod route;
pub mod ingest;
pub mod outgoing;
pub mod forward;
pub mod platform;
pub mod health;
pub mod error;
pub mod log;

use crate::config::Config;
use crate::error::{Error, format_for, status_of_verdict};
use crate::ingest::{Ingested, Moment, ingest};
use crate::log::{Level, Line};
use crate::platform::Answer;
use crate::route::{Route, route};
use postback::id::{EventId, Nonce};
use postback::message_signature::header;
use postback::partner::Partner;
use postback::reply::{self, Body, Failure};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use worker::{Context, Env, Headers, Request, Response, Result, event};

/// One request of the edge.
///
/// # Errors
/// Only when the platform cannot build a response.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let began_ms = now_ms();
    let (Ok(bytes), Some(now)) = (platform::random_bytes(), Timestamp::from_unix_ms(began_ms)) else {
        return Response::error("unavailable", 503);
    };
    let at = Moment { request_id: Nonce::from_bytes(bytes), now };
    let variable = |name: &str| env.var(name).map(|value| value.to_string()).ok();
    match Config::of_isolate(variable) {
        Ok(config) => handle(&request, config, at, began_ms).await,
        Err(problems) => {
            let request_id = at.request_id.to_string();
            let reason = problems.join("; ");
            let line = Line {
                level: Level::Error,
                message: "the configuration is wrong",
                reason: Some(&reason),
                ..line(&request_id, "misconfigured", Error::Misconfigured.status(), began_ms)
            };
            log::write(&line);
            failed(&Error::Misconfigured, None, None, &request_id, None)
        }
    }
}

async fn handle(request: &Request, config: &'static Config, at: Moment, began_ms: i64) -> Result<Response> {
    let request_id = at.request_id.to_string();
    let method = request.inner().method();
    let url = request.inner().url();
    let target = target_of(&url);
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let accept = request.headers().get("accept")?;
    let (partner, error) = match route(&method, path, &config.registry) {
        Route::Health => return healthy(config, target, &method, at.now.unix_s()).await,
        Route::Probe => return Ok(Response::empty()?.with_headers(headers(&request_id)?)),
        Route::Postback(partner) => {
            let ingested = ingest(request, &method, target, config, partner, at).await;
            let asked = Asked { partner, target, accept: accept.as_deref(), request_id: &request_id, began_ms };
            return postback_reply(ingested, &asked);
        }
        Route::WrongMethod { allow } => (config.registry.by_path(path), Error::MethodNotAllowed { allow }),
        Route::Unknown => (None, Error::PartnerNotFound),
    };
    log::write(&line(&request_id, error.failure().code, error.status(), began_ms));
    failed(&error, partner, accept.as_deref(), &request_id, None)
}

/// Path and query of an absolute URL, as they came.
fn target_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let target = after_scheme.get(start..).unwrap_or("/");
    target.split('#').next().unwrap_or(target)
}

async fn healthy(config: &Config, target: &str, method: &str, now_s: i64) -> Result<Response> {
    let question = health::Question::parse(target.split_once('?').map_or("", |(_, query)| query));
    let health = health::health(config, question.is_deep(), now_s).await;
    let status = if health.status == "healthy" { 200 } else { 503 };
    let response = if method == "HEAD" { Response::empty()? } else { Response::from_json(&health)? };
    let headers = response.headers().clone();
    headers.set("cache-control", "no-store")?;
    Ok(response.with_status(status).with_headers(headers))
}

/// What a reply and its log line need to know of the request.
struct Asked<'a> {
    partner: &'a Partner,
    target: &'a str,
    accept: Option<&'a str>,
    request_id: &'a str,
    began_ms: i64,
}

fn postback_reply(ingested: Ingested, asked: &Asked<'_>) -> Result<Response> {
    let Asked { partner, target, accept, request_id, began_ms } = *asked;
    let Ingested { event_id, result, reason, attempted } = ingested;
    let (response, outcome, level, message) = match result {
        Ok((verdict, answer)) => {
            let (level, message) = match verdict {
                Verdict::Created | Verdict::Duplicate | Verdict::Revised => (Level::Info, "postback stored"),
                Verdict::Conflict | Verdict::Rejected => (Level::Warn, "postback refused by the origin"),
            };
            let response = answered(verdict, answer, event_id.as_ref(), request_id)?;
            (response, verdict.name().to_owned(), level, message)
        }
        Err(error) => {
            let (level, message) = if error == Error::Unavailable {
                (Level::Error, "the origin did not take the postback")
            } else {
                (Level::Warn, "postback refused")
            };
            let outcome = error.failure().code.to_owned();
            (failed(&error, Some(partner), accept, request_id, event_id.as_ref())?, outcome, level, message)
        }
    };
    log::write(&Line {
        level,
        message,
        partner: Some(&partner.code),
        target_digest: log::target_digest(target),
        event_id: event_id.as_ref().map(EventId::as_str),
        reason: reason.as_deref(),
        attempt: attempted.then_some(1),
        ..line(request_id, &outcome, response.status_code(), began_ms)
    });
    Ok(response)
}

/// The origin's acknowledged answer: its body streams through unread.
fn answered(verdict: Verdict, answer: Answer, event_id: Option<&EventId>, request_id: &str) -> Result<Response> {
    let headers = headers(request_id)?;
    headers.set(header::VERDICT, verdict.name())?;
    if let Some(event_id) = event_id {
        headers.set(header::EVENT_ID, event_id.as_str())?;
    }
    if let Some(content_type) = &answer.content_type {
        headers.set("content-type", content_type)?;
    }
    let init = worker::web_sys::ResponseInit::new();
    init.set_status(status_of_verdict(verdict, answer.status));
    init.set_headers(&headers.0);
    let response = worker::web_sys::Response::new_with_opt_readable_stream_and_init(answer.body.as_ref(), &init)?;
    Ok(Response::from(response))
}

/// An error reply; `event_id` where the event is known.
fn failed(
    error: &Error,
    partner: Option<&Partner>,
    accept: Option<&str>,
    request_id: &str,
    event_id: Option<&EventId>,
) -> Result<Response> {
    let failure = Failure { event_id: event_id.map(EventId::as_str), ..error.failure() };
    let Body { content_type, text } = reply::failure(format_for(partner, accept), failure, request_id);
    let headers = headers(request_id)?;
    headers.set("content-type", content_type)?;
    if let Some(event_id) = failure.event_id {
        headers.set(header::EVENT_ID, event_id)?;
    }
    if let Some(verdict) = failure.verdict {
        headers.set(header::VERDICT, verdict.name())?;
    }
    if let Some((name, value)) = error.header() {
        headers.set(name, value)?;
    }
    Ok(Response::from_body(worker::ResponseBody::Body(text.into_bytes()))?
        .with_status(error.status())
        .with_headers(headers))
}

/// The headers that every reply has.
fn headers(request_id: &str) -> Result<Headers> {
    let headers = Headers::new();
    headers.set("cache-control", "no-store")?;
    headers.set(header::REQUEST_ID, request_id)?;
    Ok(headers)
}

/// A log line with the fields that every line has.
fn line<'a>(request_id: &'a str, outcome: &'a str, status: u16, began_ms: i64) -> Line<'a> {
    Line {
        level: Level::Info,
        message: "request answered",
        request_id,
        partner: None,
        event_id: None,
        target_digest: None,
        outcome,
        status,
        reason: None,
        attempt: None,
        duration_ms: now_ms().saturating_sub(began_ms),
    }
}

/// The platform's clock. In a Worker it stands still between inputs and outputs.
fn now_ms() -> i64 {
    chrono::Utc::now().timestamp_millis()
}

#[cfg(test)]
mod tests {
    use super::target_of;

    #[test]
    fn the_target_of_a_url_is_its_path_and_query() {
        for (url, target) in [
            ("http://127.0.0.1:8787/involve/event?a=1%20b", "/involve/event?a=1%20b"),
            ("https://network.bytec.com/", "/"),
            ("https://network.bytec.com", ""),
            ("https://network.bytec.com?a=/b", "?a=/b"),
            ("https://network.bytec.com/a?b=http://c/#d", "/a?b=http://c/"),
        ] {
            assert_eq!(target_of(url), target, "{url}");
        }
    }
}
