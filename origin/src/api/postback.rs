//! `/postback/{endpoint}` and `/partner/{endpoint}`: partners' events, from the edge or directly (R40, R41).

use super::error::Error;
use super::reply;
use crate::app::App;
use crate::ingest::{Ingested, ingest};
use crate::verify::{self, Believed, Caller, Head, Received};
use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use postback::acknowledgement::acknowledge;
use postback::id::Nonce;
use postback::limits::{BODY_BYTES_MAX, TARGET_BYTES_MAX};
use postback::message_signature::header;
use postback::partner::Partner;
use postback::reply::Format;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A forwarded body holds the original, which JSON can double, beside the canonical form. What the edge took must never
/// be too large for the origin, so there is room to spare.
const FORWARDED_BODY_BYTES_MAX: usize = 4 * BODY_BYTES_MAX;
/// A forwarded target is percent-encoded, which can triple it, and has our names, which may be longer.
const FORWARDED_TARGET_BYTES_MAX: usize = 4 * TARGET_BYTES_MAX;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// One postback:
///
/// (1) the path names a partner ............. 404
/// (2) the method is GET or POST ............ 405; HEAD answers and records nothing
/// (3) its head proves who sends it ......... 401, 403; nobody else can make us wait or hold a place
/// (4) there is room for it ................. 503
/// (5) it is within limits, and whole ....... 413, 414, 415, 403
/// (6) it is read and stored ................ 400, 409, 500, 503
/// (7) the edge gets an acknowledgement
pub async fn postback(State(app): State<Arc<App>>, request: Request) -> Response {
    let began = Instant::now();
    let now = (app.platform.now)();
    let (parts, body) = request.into_parts();
    let own_id = app.request_id();
    let accept = parts.headers.get("accept").and_then(|value| value.to_str().ok());
    let partner = app.config.registry.by_path(parts.uri.path());
    let format = Format::negotiate(partner.map(|partner| partner.reply), accept);
    let via = if verify::is_signed_by_edge(&parts.headers) { "edge" } else { "direct" };
    let served = match partner {
        Some(partner) => serve(&app, partner, &parts, body, &own_id, now).await,
        // (1)
        None => Served::from(Error::PartnerNotFound),
    };
    let request_id = served.acknowledged_to.as_ref().map_or(own_id.as_str(), |signer| &signer.request_id);
    let response = served.response(&app, format, request_id);
    served.log(partner, via, request_id, response.status().as_u16(), began.elapsed());
    response
}

/// What came of a request, and what a signed caller's acknowledgement needs.
struct Served {
    /// `None`: nothing was asked (HEAD).
    result: Result<Option<Ingested>, Error>,
    acknowledged_to: Option<Signer>,
}

/// The caller's signature, to be answered.
struct Signer {
    key_id: String,
    /// When the key was found in force, in Unix seconds.
    verified_at_s: i64,
    nonce: Nonce,
    event_id: String,
    /// The edge's name of the request, or ours where it gives none.
    request_id: String,
}

impl From<Error> for Served {
    fn from(error: Error) -> Self {
        Served { result: Err(error), acknowledged_to: None }
    }
}

async fn serve(app: &App, partner: &Partner, parts: &Parts, body: Body, own_id: &str, now: Timestamp) -> Served {
    // (2)
    match parts.method.as_str() {
        "GET" | "POST" => {}
        "HEAD" => return Served { result: Ok(None), acknowledged_to: None },
        _ => return Error::MethodNotAllowed { allow: "GET, HEAD, POST" }.into(),
    }
    let head = Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &parts.headers,
        peer: parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip()),
    };
    // (3)
    let believed = match verify::head(&app.config, partner, &head, now.unix_s()) {
        Ok(believed) => believed,
        Err(disbelief) => return Error::from(disbelief).into(),
    };
    // (4)
    let Ok(_slot) = app.slots.try_acquire() else { return Error::Overloaded.into() };
    // (5)
    let body = match within_limits(parts, body, matches!(believed, Believed::Edge(..))).await {
        Ok(body) => body,
        Err(error) => return error.into(),
    };
    let received = Received { head, body: &body };
    let caller = match believed.with_body(&app.config, partner, &received, now.unix_s()) {
        Ok(caller) => caller,
        Err(disbelief) => return Error::from(disbelief).into(),
    };
    // (6)
    let acknowledged_to = match &caller {
        Caller::Edge(edge) => Some(Signer {
            key_id: edge.verified.key_id.clone(),
            verified_at_s: now.unix_s(),
            nonce: edge.verified.nonce.clone(),
            event_id: edge.claims.event_id.to_owned(),
            request_id: named_by_edge(&parts.headers).map_or(own_id.to_owned(), |id| id.to_string()),
        }),
        Caller::Direct { .. } => None,
    };
    let request_id = acknowledged_to.as_ref().map_or(own_id, |signer| &signer.request_id);
    let result = ingest(app, partner, &received, &caller, request_id, now).await.map(Some);
    Served { result, acknowledged_to }
}

async fn within_limits(parts: &Parts, body: Body, from_edge: bool) -> Result<Bytes, Error> {
    let (target_bytes_max, body_bytes_max) = if from_edge {
        (FORWARDED_TARGET_BYTES_MAX, FORWARDED_BODY_BYTES_MAX)
    } else {
        (TARGET_BYTES_MAX, BODY_BYTES_MAX)
    };
    if parts.uri.path_and_query().is_some_and(|target| target.as_str().len() > target_bytes_max) {
        return Err(Error::UrlTooLong);
    }
    if parts.headers.get("content-encoding").is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
    {
        return Err(Error::UnsupportedEncoding);
    }
    if parts.method.as_str() == "GET" && !from_edge {
        return Ok(Bytes::new());
    }
    let announced = parts.headers.get("content-length").and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > body_bytes_max) {
        return Err(Error::BodyTooLarge);
    }
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, body_bytes_max)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) if is_too_large(&error) => Err(Error::BodyTooLarge),
        Ok(Err(_)) | Err(_) => Err(Error::BodyIncomplete),
    }
}

fn is_too_large(error: &axum::Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The edge's name of the request, which a signed caller may give; otherwise ours.
fn named_by_edge(headers: &HeaderMap) -> Option<Nonce> {
    Nonce::parse(headers.get(header::REQUEST_ID)?.to_str().ok()?)
}

impl Served {
    /// What the edge is told about the event: only what is settled. A 503 or a replay settles nothing.
    fn settled(&self) -> Option<Verdict> {
        match &self.result {
            Ok(ingested) => ingested.as_ref().map(|ingested| ingested.verdict),
            Err(error) => error.failure().verdict,
        }
    }

    fn response(&self, app: &App, format: Format, request_id: &str) -> Response {
        let mut response = match &self.result {
            Ok(None) => reply::empty(request_id),
            Ok(Some(ingested)) if ingested.verdict == Verdict::Conflict => {
                reply::failure(&Error::Conflict, format, request_id, Some(&ingested.event_id))
            }
            Ok(Some(ingested)) => reply::success(ingested, format, request_id),
            Err(error) => reply::failure(error, format, request_id, None),
        };
        // (7)
        if let (Some(signer), Some(verdict)) = (&self.acknowledged_to, self.settled())
            && let Ok(key) = app.config.edge_keys.get(&signer.key_id, signer.verified_at_s)
        {
            let value = acknowledge(key, &signer.event_id, verdict, &signer.nonce);
            reply::set(&mut response, header::ACK, &value);
        }
        response
    }

    /// One line a request (R21).
    fn log(&self, partner: Option<&Partner>, via: &str, request_id: &str, status: u16, took: Duration) {
        let partner = partner.map_or("-", |partner| partner.code.as_str());
        let duration_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        match &self.result {
            Ok(None) => {}
            Ok(Some(ingested)) => {
                let (event_id, outcome) = (ingested.event_id.as_str(), ingested.verdict.name());
                tracing::info!(request_id, partner, via, event_id, outcome, status, duration_ms, "postback recorded");
            }
            Err(error) => {
                let (outcome, reason) = (error.failure().code, error.reason());
                if status >= 500 {
                    tracing::error!(
                        request_id,
                        partner,
                        via,
                        outcome,
                        reason,
                        status,
                        duration_ms,
                        "postback not recorded"
                    );
                } else {
                    tracing::warn!(request_id, partner, via, outcome, reason, status, duration_ms, "postback refused");
                }
            }
        }
    }
}
