//! One postback, from the request to what the partner is told.

#![deny(clippy::disallowed_methods)]

use crate::config::Config;
use crate::delivery::inline::{Delivered, Delivery, deliver};
use crate::delivery::parcel::{Parcel, Received};
use crate::error::Error;
use crate::guard::credentials::{self, Denial, Shown};
use crate::guard::limits;
use crate::parked::queued::note_queued;
use crate::platform::exchange::Answer;
use crate::platform::incoming::{Incoming, Part};
use crate::platform::{self, Bindings};
use crate::rejections::{Evidence, has_samples_left};
use postback::id::{EventId, Nonce};
use postback::limits::{BODY_BYTES_MAX, HEADERS_BYTES_MAX, HEADERS_MAX, TARGET_BYTES_MAX};
use postback::params::Params;
use postback::partner::{AuthMode, Partner};
use postback::reading::Reading;
use postback::rejection::Rejection;
use postback::reply::Format;
use postback::signature::{Profile, SignedBy, canonical_json, canonical_query};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::borrow::Cow;
use worker::worker_sys::Context;

/// How long a body may take to arrive, in milliseconds.
const BODY_MS_MAX: u32 = 10_000;
/// The same of a request whose head failed authentication.
const UNAUTHENTICATED_BODY_MS_MAX: u32 = 100;

/// What came of a postback; the event's id as soon as it is known.
#[derive(Debug)]
pub struct Ingested {
    /// The event.
    pub event_id: Option<EventId>,
    /// The request's name, where it follows from the sender's signature.
    pub request_id: Option<Nonce>,
    /// What the sender is told.
    pub result: Result<Taken, Error>,
    /// For our log alone.
    pub reason: Option<String>,
    /// Attempts made at the origin.
    pub attempts: u32,
    /// What is known of a rejected request.
    pub evidence: Option<Evidence>,
}

/// A postback that is out of its sender's hands.
#[derive(Debug)]
pub enum Taken {
    /// The origin answered for it.
    Answered(Verdict, Answer),
    /// The queue holds it, because of a failure that may be ours.
    Queued {
        /// Whether somebody has to change something of ours.
        is_our_fault: bool,
    },
}

impl From<Error> for Ingested {
    fn from(error: Error) -> Self {
        Ingested { event_id: None, request_id: None, result: Err(error), reason: None, attempts: 0, evidence: None }
    }
}

impl Ingested {
    fn because(error: Error, reason: String) -> Ingested {
        Ingested { reason: Some(reason), ..error.into() }
    }

    fn with(self, evidence: Evidence) -> Ingested {
        Ingested { evidence: Some(evidence), ..self }
    }
}

impl From<Rejection> for Ingested {
    fn from(rejection: Rejection) -> Self {
        Error::Rejected(rejection).into()
    }
}

/// A request and what is known of it before its postback is read.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The request.
    pub incoming: &'a Incoming,
    /// The edge's name of it, unless its signature gives it one.
    pub request_id: &'a Nonce,
    /// When it arrived; the clock is read once.
    pub now: Timestamp,
    /// Whose endpoint it is.
    pub partner: &'a Partner,
    /// The segment behind the endpoint.
    pub path_key: Option<&'a str>,
    /// What the sender can read.
    pub reply: Format,
}

/// Takes one postback:
///
/// (1) its head is within limits .................. 414, 431
/// (2) its head proves what it can prove .......... 401, 403
/// (3) a sender that failed too often lately shows what may be a right proof ... 429
/// (4) its body is within limits .................. 413, 415
/// (5) its signature holds, where there is one .... 403, 400
/// (6) the partner is within its rate ............. 429
/// (7) its parameters decode ...................... 400
/// (8) they are a postback ........................ 400
/// (9) the origin acknowledges it, or the queue holds it ... the origin's answer, 200, or 503
pub async fn ingest(config: &Config, bindings: &Bindings, context: &Context, asked: &Asked<'_>) -> Ingested {
    let Asked { incoming, partner, now, .. } = *asked;
    let (method, target) = (incoming.method(), incoming.target());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    // (1)
    if target.len() > TARGET_BYTES_MAX {
        return Error::UrlTooLong.into();
    }
    let (headers, size) = incoming.headers_count_and_size();
    if headers > HEADERS_MAX || size > HEADERS_BYTES_MAX {
        return Error::HeadersTooLarge.into();
    }
    // (2)
    let address = incoming.part(Part::ConnectingIp).unwrap_or("unknown");
    let shown = Shown { part: &|part| incoming.part(part), method, path, query, path_key: asked.path_key };
    if let Err(denial) = credentials::by_head(&config.secrets, partner, &shown, now.unix_s()) {
        return denied(bindings, asked, address, denial, None).await;
    }
    // (3) Wrong proofs from an address do not shut out a right one: a network sends for many from one. But nobody is waited for whose
    // head shows already that the signature cannot hold.
    if limits::is_shut_out(&partner.endpoint, address, now.unix_ms())
        && !credentials::may_be_signed(&config.secrets, partner, &shown, now.unix_s())
    {
        return shut_out();
    }
    // (4)
    let (content_type, body) = match bounded_body(incoming).await {
        Ok(found) => found,
        Err((error, reason)) => {
            // Its head proves all that the partner's file asks for, unless that is a signature over the body.
            let is_authenticated = !partner.auth.contains(&AuthMode::Signature);
            let evidence = Evidence { is_authenticated, content_type: None, body: Vec::new() };
            return Ingested { reason, ..error.into() }.with(evidence);
        }
    };
    // (5)
    let signed = match credentials::by_signature(&config.secrets, partner, &shown, &body, now.unix_s()) {
        Ok(signed) => signed,
        Err(denial) => return denied(bindings, asked, address, denial, Some((content_type, body))).await,
    };
    // (6)
    if !limits::is_within_rate(bindings, partner).await {
        return Ingested::from(Error::TooMany).with(Evidence { is_authenticated: true, content_type, body });
    }
    // (7), (8)
    let profile = signed.as_ref().map(|signed| signed.profile);
    let reading = match read(partner, query, content_type.as_deref(), &body, profile, now) {
        Ok(reading) => reading,
        Err(rejection) => {
            return Ingested::from(rejection).with(Evidence { is_authenticated: true, content_type, body });
        }
    };
    let request_id = signed.map(|signed: SignedBy| signed.request_id(&partner.code, &reading.postback));
    // (9)
    let received = Received {
        request_id: request_id.as_ref().unwrap_or(asked.request_id),
        at: now,
        method,
        target,
        path_key: asked.path_key,
        content_type: content_type.as_deref(),
        body: &body,
        client_ip: incoming.part(Part::ConnectingIp),
        reply: asked.reply,
    };
    let parcel = Parcel::of(partner, reading.postback, &received);
    // How long the sender took to send is not the origin's time.
    let arrived_ms = platform::now().unix_ms();
    let Delivery { delivered, attempts } = deliver(config, bindings, context, partner, &parcel, arrived_ms).await;
    let (result, reason) = match delivered {
        Delivered::Answered(verdict, answer) => (Ok(Taken::Answered(verdict, answer)), None),
        Delivered::Queued(failure) => {
            note_queued(bindings, context, &parcel);
            (Ok(Taken::Queued { is_our_fault: failure.kind.is_our_fault() }), Some(failure.reason))
        }
        Delivered::Neither(reason) => (Err(Error::Unavailable), Some(reason)),
    };
    Ingested { event_id: Some(parcel.event_id), request_id, result, reason, attempts, evidence: None }
}

/// A request that failed authentication. It is counted, and from some number on its sender is locked out for a while. `read` is the body's
/// type and the body, where they were read.
async fn denied(
    bindings: &Bindings,
    asked: &Asked<'_>,
    address: &str,
    denial: Denial,
    read: Option<(Option<String>, Vec<u8>)>,
) -> Ingested {
    let (content_type, body) = match read {
        Some(read) => read,
        None => body_at_hand(asked).await,
    };
    denied_by(bindings, asked, address, denial).await.with(Evidence { is_authenticated: false, content_type, body })
}

async fn denied_by(bindings: &Bindings, asked: &Asked<'_>, address: &str, denial: Denial) -> Ingested {
    match &denial {
        Denial::Unsignable(rejection) => rejection.clone().into(),
        Denial::Unproven { mode, cause } => {
            let (endpoint, now_ms) = (&asked.partner.endpoint, platform::now().unix_ms());
            if limits::is_shut_out(endpoint, address, now_ms) {
                return shut_out();
            }
            limits::count_failure(bindings, endpoint, address, now_ms).await;
            let error = denial.missing().map_or(Error::Unproven, Error::ProofMissing);
            Ingested::because(error, format!("{}: {cause}", mode.name()))
        }
    }
}

fn shut_out() -> Ingested {
    Ingested::because(Error::TooMany, "failed to prove itself too often".to_owned())
}

/// Reads the parameters into a postback. What is read is what was signed: one signature must not stand for several readings.
fn read(
    partner: &Partner,
    query: &str,
    content_type: Option<&str>,
    body: &[u8],
    signed: Option<Profile>,
    now: Timestamp,
) -> Result<Reading, Rejection> {
    let query = match signed {
        Some(_) => Cow::Owned(canonical_query(query)?),
        None => Cow::Borrowed(query),
    };
    let (content_type, body) = match signed {
        Some(Profile::Jcs) => (Some("application/json"), Cow::Owned(canonical_json(body)?)),
        Some(Profile::Raw) | None => (content_type, Cow::Borrowed(body)),
    };
    let mut params = Params::from_request(&query, content_type, &body)?;
    params.drop_credentials();
    partner.read(&params, now)
}

/// The body of a request whose head failed authentication, and its type: only for the sample that is kept, and only where it arrives within
/// [`UNAUTHENTICATED_BODY_MS_MAX`].
async fn body_at_hand(asked: &Asked<'_>) -> (Option<String>, Vec<u8>) {
    let Asked { incoming, partner, now, .. } = *asked;
    let nothing = (None, Vec::new());
    let is_plain = incoming.part(Part::ContentEncoding).is_none();
    let length = incoming.part(Part::ContentLength).and_then(|length| length.parse::<u32>().ok());
    let bytes_max = u32::try_from(BODY_BYTES_MAX).unwrap_or(u32::MAX);
    let is_wanted = incoming.method() == "POST" && is_plain && length.is_some_and(|length| length <= bytes_max);
    if !is_wanted || !has_samples_left(partner, now) {
        return nothing;
    }
    match incoming.body(bytes_max, UNAUTHENTICATED_BODY_MS_MAX).await {
        Ok(Some(body)) => (incoming.part(Part::ContentType).map(str::to_owned), body),
        Ok(None) | Err(_) => nothing,
    }
}

/// The body and its type; a GET's body is not looked at.
async fn bounded_body(incoming: &Incoming) -> Result<(Option<String>, Vec<u8>), (Error, Option<String>)> {
    if incoming.method() != "POST" {
        return Ok((None, Vec::new()));
    }
    if incoming.part(Part::ContentEncoding).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err((Error::UnsupportedEncoding, None));
    }
    let announced = incoming.part(Part::ContentLength).and_then(|length| length.parse::<u64>().ok());
    let bytes_max = u32::try_from(BODY_BYTES_MAX).unwrap_or(u32::MAX);
    if announced.is_some_and(|length| length > u64::from(bytes_max)) {
        return Err((Error::BodyTooLarge, None));
    }
    match incoming.body(bytes_max, BODY_MS_MAX).await {
        Ok(Some(body)) => Ok((incoming.part(Part::ContentType).map(str::to_owned), body)),
        Ok(None) => Err((Error::BodyTooLarge, None)),
        Err(reason) => Err((Error::BodyIncomplete, Some(reason))),
    }
}
