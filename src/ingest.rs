//! One postback, from the request to what the partner is told.

use crate::config::Config;
use crate::error::Error;
use crate::forward::{Outcome, forward};
use crate::outgoing::Arrival;
use crate::platform::{Answer, read_body};
use postback::id::{EventId, Nonce};
use postback::limits::{BODY_BYTES_MAX, TARGET_BYTES_MAX};
use postback::params::Params;
use postback::partner::{AuthMode, Partner};
use postback::reading::Dialect;
use postback::reply::Format;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use worker::Request;

/// What came of a postback; the event's id as soon as it is known.
pub struct Ingested {
    /// The event.
    pub event_id: Option<EventId>,
    /// The origin's answer, or why there is none.
    pub result: Result<(Verdict, Answer), Error>,
    /// For our log alone.
    pub reason: Option<String>,
    /// Whether the origin was asked.
    pub attempted: bool,
}

impl From<Error> for Ingested {
    fn from(error: Error) -> Self {
        Ingested { event_id: None, result: Err(error), reason: None, attempted: false }
    }
}

/// What is known of a request before its postback is read.
#[derive(Clone, Debug)]
pub struct Asked<'a> {
    /// The edge's name of the request.
    pub request_id: Nonce,
    /// When it arrived; the clock is read once.
    pub now: Timestamp,
    /// In capitals.
    pub method: &'a str,
    /// Path and query as they came.
    pub target: &'a str,
    /// Whose endpoint it is.
    pub partner: &'a Partner,
    /// What the sender can read.
    pub reply: Format,
}

/// Takes one postback:
///
/// (1) the sender may send here ........... 403
/// (2) the request is within limits ....... 413, 414, 415
/// (3) its parameters decode .............. 400
/// (4) they are a postback ................ 400
/// (5) the origin acknowledges it ......... its answer, or 503
pub async fn ingest(request: &Request, config: &Config, asked: &Asked<'_>) -> Ingested {
    let Asked { method, target, partner, now, .. } = *asked;
    // (1)
    if partner.auth != [AuthMode::Open] {
        return Error::NotAccepted.into();
    }
    // (2)
    if target.len() > TARGET_BYTES_MAX {
        return Error::UrlTooLong.into();
    }
    let (content_type, body) = match bounded_body(request, method).await {
        Ok(found) => found,
        Err((error, reason)) => return Ingested { reason, ..error.into() },
    };
    // (3)
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut params = match Params::from_request(query, content_type.as_deref(), &body) {
        Ok(params) => params,
        Err(rejection) => return Error::Rejected(rejection).into(),
    };
    params.drop_credentials();
    // (4)
    let reading = match partner.read(&params, Dialect::Partner, now) {
        Ok(reading) => reading,
        Err(rejection) => return Error::Rejected(rejection).into(),
    };
    // (5)
    let client_ip = header(request, "cf-connecting-ip");
    let arrival = Arrival {
        request_id: asked.request_id.clone(),
        received_at: now,
        method: method.to_owned(),
        target: target.to_owned(),
        content_type,
        body: String::from_utf8_lossy(&body).into_owned(),
        client_ip: client_ip.filter(|text| text.parse::<std::net::IpAddr>().is_ok()),
        auth: AuthMode::Open,
        reply: asked.reply,
    };
    let event_id = Some(reading.postback.event_id().clone());
    match forward(config, partner, &reading.postback, &arrival, now.unix_s()).await {
        Outcome::Answered(verdict, answer) => {
            Ingested { event_id, result: Ok((verdict, answer)), reason: None, attempted: true }
        }
        Outcome::Unavailable { reason } => {
            Ingested { event_id, result: Err(Error::Unavailable), reason: Some(reason), attempted: true }
        }
    }
}

/// The body and its type; a GET's body is not looked at.
async fn bounded_body(request: &Request, method: &str) -> Result<(Option<String>, Vec<u8>), (Error, Option<String>)> {
    if method != "POST" {
        return Ok((None, Vec::new()));
    }
    if header(request, "content-encoding").is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err((Error::UnsupportedEncoding, None));
    }
    let announced = header(request, "content-length").and_then(|length| length.parse::<u64>().ok());
    let bytes_max = u32::try_from(BODY_BYTES_MAX).unwrap_or(u32::MAX);
    if announced.is_some_and(|length| length > u64::from(bytes_max)) {
        return Err((Error::BodyTooLarge, None));
    }
    match read_body(request.inner(), bytes_max).await {
        Ok(Some(body)) => Ok((header(request, "content-type"), body)),
        Ok(None) => Err((Error::BodyTooLarge, None)),
        Err(reason) => Err((Error::BodyIncomplete, Some(reason))),
    }
}

fn header(request: &Request, name: &str) -> Option<String> {
    request.headers().get(name).ok().flatten()
}
