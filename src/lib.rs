//! The edge: a Cloudflare Worker that takes partners' postbacks, rewrites them into canonical form, signs them and
//! forwards them to the origin; what the origin cannot take waits in a queue. It decides nothing about meaning (that is the
//! `postback` crate).
//!
//! This file is the entry: it reads the clock, names the request, and hands it to what it is meant for.

// A panic ends every request in flight of an isolate: beside what the workspace denies, nothing that is one by another name.
#![cfg_attr(not(test), deny(clippy::unreachable, clippy::todo, clippy::unimplemented))]

// In the order of a request's way.
pub mod config;
pub mod route;
pub mod guard;
pub mod ingest;
pub mod click;
pub mod delivery;
pub mod queue;
pub mod parked;
pub mod ops;
pub mod health;
pub mod rejections;
pub mod outcomes;
pub mod reply;
pub mod error;
pub mod log;
pub mod platform;

use crate::config::Config;
use crate::error::Error;
use crate::ingest::{Asked, Ingested, Taken, ingest};
use crate::log::{Level, Line};
use crate::parked::queued::note_done;
use crate::parked::returning::{Tidied, tidy};
use crate::platform::incoming::{Incoming, Part};
use crate::platform::queue::messages_of;
use crate::platform::response::Reply;
use crate::platform::{Bindings, now, random_bytes, task};
use crate::queue::counts;
use crate::rejections::Rejected;
use crate::route::{Route, route};
use postback::edge_report::OutcomeKind;
use postback::id::Nonce;
use postback::partner::Partner;
use postback::reply::{Format, QUEUED};
use postback::time::Timestamp;
use wasm_bindgen::prelude::*;
use worker::Env;
use worker::web_sys::Request;
use worker::worker_sys::{Context, MessageBatch};

/// The Worker's entry points, which the platform knows by these names. They are written by hand: the macros of the worker
/// crate panic on errors, and a panic ends every request in flight of the isolate.
mod entry {
    use super::*;

    /// Begins one request: a promise to wait for, or the response. `id` is a name of the caller's.
    #[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
    pub fn begin(id: u32, request: Request, env: Env, context: Context) -> Result<JsValue, JsValue> {
        let now = now();
        let work = async move {
            let reply = answer(Incoming::of(request), Bindings::of(env), context, now).await;
            reply.build().map(JsValue::from)
        };
        task::begin(id, now.unix_ms(), work)
    }

    /// Goes on with a request whose promise is settled.
    #[wasm_bindgen(wasm_bindgen = worker::wasm_bindgen, js_sys = worker::js_sys)]
    pub fn proceed(id: u32, value: JsValue, has_failed: bool) -> Result<JsValue, JsValue> {
        task::proceed(id, if has_failed { Err(value) } else { Ok(value) })
    }

    /// A batch of messages of a queue.
    #[wasm_bindgen(
        js_name = queue, wasm_bindgen = worker::wasm_bindgen,
        wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys
    )]
    pub async fn queue(batch: MessageBatch, env: Env, context: Context) -> Result<(), JsValue> {
        consume(&batch, Bindings::of(env), &context).await
    }

    /// The time of a cron trigger has come.
    #[wasm_bindgen(
        js_name = scheduled, wasm_bindgen = worker::wasm_bindgen,
        wasm_bindgen_futures = worker::wasm_bindgen_futures, js_sys = worker::js_sys
    )]
    pub async fn scheduled(_event: JsValue, env: Env, _context: Context) -> Result<(), JsValue> {
        super::scheduled(Bindings::of(env)).await
    }
}

async fn answer(incoming: Incoming, bindings: Bindings, context: Context, now: Timestamp) -> Reply {
    let request_id = match random_bytes() {
        Ok(bytes) => Nonce::time_ordered(now, bytes),
        // Without randomness nothing can be signed.
        Err(_) => return reply::failed(&Error::Unavailable, Format::Json, &Nonce::from_bytes([0; 16]), None),
    };
    match configuration(&bindings, &request_id, now) {
        Some(config) => handle(&incoming, config, &bindings, &context, &request_id, now).await,
        None => reply::failed(&Error::Misconfigured, Format::Json, &request_id, None),
    }
}

/// The configuration; one that is wrong is told to our log.
fn configuration(bindings: &Bindings, request_id: &Nonce, began: Timestamp) -> Option<&'static Config> {
    let told = |config: &Config| {
        if !config.left_out.is_empty() {
            log::write(&Line {
                level: Level::Error,
                reason: Some(&config.left_out.join("; ")),
                ..Line::of("secrets left out", request_id.as_str(), "misconfigured", reply::since(began))
            });
        }
    };
    match Config::of_isolate(|name| bindings.variable(name), told) {
        Ok(config) => Some(config),
        Err(problems) => {
            let reason = problems.join("; ");
            log::write(&Line {
                level: Level::Error,
                reason: Some(&reason),
                status: Some(Error::Misconfigured.status()),
                ..Line::of("the configuration is wrong", request_id.as_str(), "misconfigured", reply::since(began))
            });
            None
        }
    }
}

async fn handle(
    incoming: &Incoming,
    config: &'static Config,
    bindings: &Bindings,
    context: &Context,
    request_id: &Nonce,
    now: Timestamp,
) -> Reply {
    let (path, query) = incoming.target().split_once('?').unwrap_or((incoming.target(), ""));
    #[cfg(feature = "faults")]
    panic_if_asked(path);
    let accept = incoming.part(Part::Accept);
    let (partner, error) = match route(incoming.method(), path, &config.registry) {
        // All but postbacks are boxed: they are rare, and would make every request's task as large as the largest of them.
        Route::Health => {
            return Box::pin(health::reply(config, query, incoming.method(), request_id, now.unix_s())).await;
        }
        Route::Probe => return reply::empty(request_id),
        Route::Click(offer) => {
            return Box::pin(click::redirect(config, bindings, context, incoming, offer, request_id, now)).await;
        }
        Route::Operations(operation) => {
            return Box::pin(ops::operate(config, bindings, incoming, operation, request_id, now)).await;
        }
        Route::Postback { partner, path_key } => {
            let reply = Format::negotiate(Some(partner.reply), accept);
            let asked = Asked { incoming, request_id, now, partner, path_key, reply };
            let ingested = ingest(config, bindings, context, &asked).await;
            report(bindings, context, &ingested, &asked);
            return reply::to_postback(&ingested, &asked);
        }
        Route::WrongMethod { allow, partner } => (partner, Error::MethodNotAllowed { allow }),
        Route::Unknown => (None, Error::PartnerNotFound),
    };
    let reply =
        reply::failed(&error, Format::negotiate(partner.map(|partner| partner.reply), accept), request_id, None);
    if let Some(partner) = partner {
        // The last segment is a key, unless the endpoint ends there.
        let has_key = config.registry.by_path(path).is_none();
        let path_key = has_key.then(|| path.rsplit('/').next()).flatten();
        let rejected = Rejected { incoming, request_id, now, partner, path_key, error: &error, evidence: None };
        rejections::keep(bindings, context, &rejected);
        count(bindings, context, partner, error.failure().code, now);
    }
    log::write(&Line {
        status: Some(reply.status),
        ..Line::of("request answered", request_id.as_str(), error.failure().code, reply::since(now))
    });
    reply
}

/// Counts what came of a postback, and keeps a rejected one.
fn report(bindings: &Bindings, context: &Context, ingested: &Ingested, asked: &Asked<'_>) {
    let Asked { incoming, request_id, now, partner, path_key, .. } = *asked;
    let outcome = match &ingested.result {
        Ok(Taken::Answered(verdict, _)) => verdict.name(),
        Ok(Taken::Queued { .. }) => QUEUED,
        // Of an address that is locked out, which is told the same as one over its rate.
        Err(Error::TooMany) if !ingested.evidence.as_ref().is_some_and(|evidence| evidence.is_authenticated) => {
            "locked_out"
        }
        Err(error) => error.failure().code,
    };
    if ingested.attempts > 1 {
        let retries = u64::from(ingested.attempts.saturating_sub(1));
        outcomes::count(&partner.code, OutcomeKind::Deliveries, "retried", retries);
    }
    if let Err(error) = &ingested.result {
        let evidence = ingested.evidence.as_ref();
        let rejected = Rejected { incoming, request_id, now, partner, path_key, error, evidence };
        rejections::keep(bindings, context, &rejected);
    }
    count(bindings, context, partner, outcome, now);
}

/// Counts a reply, and has the counts sent behind it.
fn count(bindings: &Bindings, context: &Context, partner: &Partner, outcome: &'static str, now: Timestamp) {
    outcomes::count(&partner.code, OutcomeKind::Requests, outcome, 1);
    counts::flush_later(bindings, context, now);
}

/// What must not happen, on request.
#[cfg(feature = "faults")]
#[expect(clippy::panic, reason = "this is what it is for")]
fn panic_if_asked(path: &str) {
    if path == "/faults/panic" {
        panic!("asked for");
    }
}

/// Hands a batch to its consumer. With a wrong configuration nothing can be delivered: its messages wait as if the origin were
/// away, because an error would make the platform bring them again at once until it gives them up.
async fn consume(batch: &MessageBatch, bindings: Bindings, context: &Context) -> Result<(), JsValue> {
    let (name, messages) = messages_of(batch)?;
    let nobody = Nonce::from_bytes([0; 16]);
    match configuration(&bindings, &nobody, now()) {
        Some(config) => {
            let done = queue::consume(config, bindings.clone(), &name, messages).await;
            note_done(&bindings, context, done);
            // At once: the platform takes a batch for settled when all that runs behind it has ended.
            counts::flush(&bindings).await;
        }
        None => queue::settle::put_off_all(&messages),
    }
    Ok(())
}

async fn scheduled(bindings: Bindings) -> Result<(), JsValue> {
    let began = now();
    let name = random_bytes().map(Nonce::from_bytes).map_err(|problem| JsValue::from_str(&problem))?;
    let Some(config) = configuration(&bindings, &name, began) else {
        return Err(JsValue::from_str("the configuration is wrong"));
    };
    let Tidied { returned, parked_again, forgotten, problems } = tidy(config, &bindings).await;
    let reason = format!("{returned} returned to the queue, {parked_again} parked again, {forgotten} forgotten");
    let reason = [vec![reason], problems.clone()].concat().join("; ");
    let (level, outcome) = if problems.is_empty() { (Level::Info, "ok") } else { (Level::Error, "failed") };
    let line = Line::of("parked postbacks looked after", name.as_str(), outcome, reply::since(began));
    log::write(&Line { level, reason: Some(&reason), ..line });
    Ok(())
}
