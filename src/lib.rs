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
use crate::error::{Error, status_of_verdict};
use crate::ingest::{Asked, Ingested, ingest};
use crate::log::{Level, Line};
use crate::platform::Answer;
use crate::route::{Route, route};
use postback::id::{EventId, Nonce};
use postback::message_signature::header;
use postback::reply::{self, Body, Failure, Format};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use worker::{Context, Env, Headers, Request, Response, Result, event};

/// One request of the edge.
///
/// # Errors
/// Only when the platform cannot build a response.
#[event(fetch)]
async fn fetch(request: Request, env: Env, _context: Context) -> Result<Response> {
    let (Ok(bytes), Some(now)) = (platform::random_bytes(), Timestamp::from_unix_ms(now_ms())) else {
        return Response::error("unavailable", 503);
    };
    let request_id = Nonce::from_bytes(bytes);
    let variable = |name: &str| env.var(name).map(|value| value.to_string()).ok();
    match Config::of_isolate(variable) {
        Ok(config) => handle(&request, config, request_id, now).await,
        Err(problems) => {
            let reason = problems.join("; ");
            let line = Line {
                level: Level::Error,
                message: "the configuration is wrong",
                reason: Some(&reason),
                ..line(&request_id, "misconfigured", Error::Misconfigured.status(), now)
            };
            log::write(&line);
            failed(&Error::Misconfigured, Format::Json, &request_id, None)
        }
    }
}

async fn handle(request: &Request, config: &'static Config, request_id: Nonce, now: Timestamp) -> Result<Response> {
    let method = request.inner().method();
    let url = request.inner().url();
    let target = target_of(&url);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let accept = request.headers().get("accept")?;
    let (partner, error) = match route(&method, path, &config.registry) {
        Route::Health => return healthy(config, query, &method, now.unix_s()).await,
        Route::Probe => return Ok(Response::empty()?.with_headers(headers(&request_id, None, None)?)),
        Route::Postback(partner) => {
            let reply = Format::negotiate(Some(partner.reply), accept.as_deref());
            let asked = Asked { request_id, now, method: &method, target, partner, reply };
            return postback_reply(ingest(request, config, &asked).await, &asked);
        }
        Route::WrongMethod { allow } => (config.registry.by_path(path), Error::MethodNotAllowed { allow }),
        Route::Unknown => (None, Error::PartnerNotFound),
    };
    log::write(&line(&request_id, error.failure().code, error.status(), now));
    let format = Format::negotiate(partner.map(|partner| partner.reply), accept.as_deref());
    failed(&error, format, &request_id, None)
}

/// Path and query of an absolute URL, as they came.
fn target_of(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
    let start = after_scheme.find(['/', '?']).unwrap_or(after_scheme.len());
    let target = after_scheme.get(start..).unwrap_or("/");
    target.split('#').next().unwrap_or(target)
}

async fn healthy(config: &Config, query: &str, method: &str, now_s: i64) -> Result<Response> {
    let question = health::Question::parse(query);
    let health = health::health(config, question.is_deep(), now_s).await;
    let status = if health.status == "healthy" { 200 } else { 503 };
    let response = if method == "HEAD" { Response::empty()? } else { Response::from_json(&health)? };
    let headers = response.headers().clone();
    headers.set("cache-control", "no-store")?;
    Ok(response.with_status(status).with_headers(headers))
}

fn postback_reply(ingested: Ingested, asked: &Asked<'_>) -> Result<Response> {
    let Asked { request_id, now, target, partner, reply, .. } = asked;
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
            (failed(&error, *reply, request_id, event_id.as_ref())?, outcome, level, message)
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
        ..line(request_id, &outcome, response.status_code(), *now)
    });
    Ok(response)
}

/// The origin's acknowledged answer: its body streams through unread.
fn answered(verdict: Verdict, answer: Answer, event_id: Option<&EventId>, request_id: &Nonce) -> Result<Response> {
    let headers = headers(request_id, event_id, Some(verdict))?;
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
fn failed(error: &Error, format: Format, request_id: &Nonce, event_id: Option<&EventId>) -> Result<Response> {
    let failure = Failure { event_id: event_id.map(EventId::as_str), ..error.failure() };
    let Body { content_type, text } = reply::failure(format, failure, request_id.as_str());
    let headers = headers(request_id, event_id, failure.verdict)?;
    headers.set("content-type", content_type)?;
    if let Some((name, value)) = error.header() {
        headers.set(name, value)?;
    }
    Ok(Response::from_body(worker::ResponseBody::Body(text.into_bytes()))?
        .with_status(error.status())
        .with_headers(headers))
}

/// The headers that every reply has, and those about the event where there is one.
fn headers(request_id: &Nonce, event_id: Option<&EventId>, verdict: Option<Verdict>) -> Result<Headers> {
    let headers = Headers::new();
    headers.set("cache-control", "no-store")?;
    headers.set(header::REQUEST_ID, request_id.as_str())?;
    if let Some(event_id) = event_id {
        headers.set(header::EVENT_ID, event_id.as_str())?;
    }
    if let Some(verdict) = verdict {
        headers.set(header::VERDICT, verdict.name())?;
    }
    Ok(headers)
}

/// A log line with the fields that every line has.
fn line<'a>(request_id: &'a Nonce, outcome: &'a str, status: u16, began: Timestamp) -> Line<'a> {
    Line {
        level: Level::Info,
        message: "request answered",
        request_id: request_id.as_str(),
        partner: None,
        event_id: None,
        target_digest: None,
        outcome,
        status,
        reason: None,
        attempt: None,
        duration_ms: now_ms().saturating_sub(began.unix_ms()),
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
