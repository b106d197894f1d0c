//! Requests that the edge rejects. They are brought to the origin through a queue, behind the reply: all that passed authentication, and a
//! bounded sample of the others.

use crate::delivery::parcel::{client_ip, kept_content_type, redacted_target, text_of};
use crate::error::Error;
use crate::log::{self, Level, Line};
use crate::outcomes;
use crate::platform::incoming::{Incoming, Part};
use crate::platform::{Bindings, in_background};
use crate::queue::item::{REJECTIONS, Reported};
use postback::edge_report::{OutcomeKind, RejectedRequest};
use postback::id::Nonce;
use postback::params::{redact_rejected_body, redact_rejected_target};
use postback::partner::Partner;
use postback::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use worker::worker_sys::Context;

/// Requests that failed authentication, and requests that were rejected without it: sampled at most by an isolate, of a partner in an hour.
const SAMPLES_MAX: u32 = 200;
const HOUR_S: i64 = 60 * 60;
/// How long the queue may take, in milliseconds: nobody waits.
const ENQUEUE_MS_MAX: u32 = 10_000;

/// What is known of a rejected request beside its head.
#[derive(Clone, Debug)]
pub struct Evidence {
    /// Whether it passed authentication.
    pub is_authenticated: bool,
    /// The media type of the body.
    pub content_type: Option<String>,
    /// The body, as far as it was read.
    pub body: Vec<u8>,
}

/// A rejected request.
#[derive(Clone, Copy)]
pub struct Rejected<'a> {
    /// The request.
    pub incoming: &'a Incoming,
    /// Its id in the reply.
    pub request_id: &'a Nonce,
    /// When it arrived.
    pub now: Timestamp,
    /// Whose endpoint it is.
    pub partner: &'a Partner,
    /// The segment behind the endpoint, which is a secret.
    pub path_key: Option<&'a str>,
    /// The reply.
    pub error: &'a Error,
    /// What else is known of it.
    pub evidence: Option<&'a Evidence>,
}

/// Samples by partner, and by whether authentication failed: probes must not use up the sample of failures.
type Samples = BTreeMap<(String, bool), u32>;

/// The hour (since 1970) and its samples.
static SAMPLES: Mutex<(i64, Samples)> = Mutex::new((0, BTreeMap::new()));

/// Whether a further request that failed authentication would be sampled.
pub fn has_samples_left(partner: &Partner, now: Timestamp) -> bool {
    samples_of(partner, true, now, |taken| *taken) < SAMPLES_MAX
}

fn samples_of<T>(partner: &Partner, is_failure: bool, now: Timestamp, read: impl FnOnce(&mut u32) -> T) -> T {
    let hour = now.unix_s().div_euclid(HOUR_S);
    let mut samples = SAMPLES.lock().unwrap_or_else(PoisonError::into_inner);
    let (of_hour, by_partner) = &mut *samples;
    if *of_hour != hour {
        (*of_hour, *by_partner) = (hour, BTreeMap::new());
    }
    read(by_partner.entry((partner.code.clone(), is_failure)).or_insert(0))
}

/// Sends a rejected request to the queue behind the reply, where it is one to keep. A failure is only logged: the reply is right all the
/// same.
pub fn keep(bindings: &Bindings, context: &Context, rejected: &Rejected<'_>) {
    if !is_kept(rejected) {
        return;
    }
    let message = Reported::rejection(&rejected.partner.code, request_of(rejected)).to_message();
    let (bindings, request_id, code) = (bindings.clone(), rejected.request_id.clone(), rejected.error.failure().code);
    in_background(context, async move {
        let sent = async {
            let queue = bindings.queue(REJECTIONS).ok_or("no queue is bound to REJECTIONS")?;
            queue.send(None, [message?], ENQUEUE_MS_MAX).await
        };
        if let Err(problem) = sent.await {
            let line = Line::of("a rejected request was not stored", request_id.as_str(), code, 0);
            log::write(&Line { level: Level::Error, reason: Some(&problem), ..line });
        }
    });
}

fn is_kept(rejected: &Rejected<'_>) -> bool {
    let Rejected { error, evidence, partner, now, .. } = *rejected;
    let is_whole = evidence.is_some_and(|evidence| evidence.is_authenticated);
    let is_failure = match error {
        Error::Rejected(_) | Error::BodyTooLarge | Error::UnsupportedEncoding | Error::BodyIncomplete if is_whole => {
            return true;
        }
        Error::Unproven | Error::ProofMissing(_) => true,
        Error::Rejected(_)
        | Error::BodyTooLarge
        | Error::UnsupportedEncoding
        | Error::BodyIncomplete
        | Error::UrlTooLong
        | Error::HeadersTooLarge
        | Error::MethodNotAllowed { .. }
        // The sender sends it again.
        | Error::TooMany => false,
        Error::PartnerNotFound
        | Error::OfferNotFound
        | Error::Unclear(_)
        | Error::NotParked
        | Error::OperationNotFound
        | Error::Unavailable
        | Error::Misconfigured => return false,
    };
    let is_sampled = samples_of(partner, is_failure, now, |taken| {
        let is_sampled = *taken < SAMPLES_MAX;
        *taken = taken.saturating_add(1);
        is_sampled
    });
    if !is_sampled {
        outcomes::count(&partner.code, OutcomeKind::Rejections, "dropped", 1);
    }
    is_sampled
}

fn request_of(rejected: &Rejected<'_>) -> RejectedRequest {
    let Rejected { incoming, request_id, now, partner, path_key, error, evidence } = *rejected;
    let failure = error.failure();
    let is_authenticated = evidence.is_some_and(|evidence| evidence.is_authenticated);
    let body = evidence.map(|evidence| evidence.body.as_slice()).filter(|body| !body.is_empty());
    RejectedRequest {
        request_id: request_id.to_string(),
        received_at: now.to_string(),
        method: incoming.method().to_owned(),
        target: redact_rejected_target(&redacted_target(incoming.target(), path_key), is_authenticated),
        content_type: evidence.and_then(|evidence| evidence.content_type.as_deref()).map(kept_content_type),
        body: body.map(|body| redact_rejected_body(&text_of(body), is_authenticated)),
        client_ip: incoming.part(Part::ConnectingIp).and_then(client_ip),
        auth: partner.auth_names(),
        is_authenticated,
        code: failure.code.to_owned(),
        field: failure.field.map(str::to_owned),
        status: error.status(),
        rules: partner.rules_version.clone(),
    }
}
