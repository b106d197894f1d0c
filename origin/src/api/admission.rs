//! Letting a request in, once its head is believed: room for it, limits, and a body that arrives in time.

#![deny(clippy::disallowed_methods)]

use super::error::Error;
use crate::app::App;
use crate::deadline::within;
use crate::room::Place;
use crate::verify::{self, FromEdge, Head, Received};
use axum::body::{Body, Bytes};
use axum::http::request::Parts;
use postback::limits::{BODY_BYTES_MAX, FORWARDED_BODY_BYTES_MAX, TARGET_BYTES_MAX};
use postback::partner::Partner;
use postback::time::Timestamp;
use std::net::IpAddr;
use std::time::Duration;

/// A forwarded target is percent-encoded, which can triple it, and has our names, which may be longer.
const FORWARDED_TARGET_BYTES_MAX: usize = 4 * TARGET_BYTES_MAX;
/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(5);

/// A request's body, and the place that the request has among those in flight.
pub struct Admitted<'a> {
    pub body: Bytes,
    _place: Place<'a>,
}

/// The head of a request.
pub fn head_of(parts: &Parts) -> Head<'_> {
    Head {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or(""),
        headers: &parts.headers,
        peer: peer_of(parts),
    }
}

/// Who opened the connection.
#[cfg(not(target_family = "wasm"))]
fn peer_of(parts: &Parts) -> Option<IpAddr> {
    use axum::extract::ConnectInfo;
    use std::net::SocketAddr;
    parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip())
}

/// Who opened the connection, as Cloudflare says, which lets nobody else say it.
#[cfg(target_family = "wasm")]
fn peer_of(parts: &Parts) -> Option<IpAddr> {
    parts.headers.get("cf-connecting-ip")?.to_str().ok()?.parse().ok()
}

/// Lets in a request whose head is believed:
///
/// (1) there is room for it ........... 503
/// (2) it is within limits, and whole . 413, 414, 415, 400
pub async fn admit<'a>(
    app: &'a App,
    partner: &Partner,
    parts: &Parts,
    body: Body,
    from_edge: bool,
) -> Result<Admitted<'a>, Error> {
    // (1)
    let place = app.room.enter(&partner.code).ok_or(Error::Overloaded)?;
    // (2)
    Ok(Admitted { body: within_limits(parts, body, from_edge).await?, _place: place })
}

/// A request that nobody but the edge makes, signature and body verified.
pub struct EdgeRequest<'a> {
    head: Head<'a>,
    pub edge: FromEdge<'a>,
    admitted: Admitted<'a>,
}

impl EdgeRequest<'_> {
    /// The whole request.
    pub fn received(&self) -> Received<'_> {
        Received { head: self.head, body: &self.admitted.body }
    }
}

/// Lets in a request on a path that is the edge's alone:
///
/// (1) the edge signed its head .. 403, whatever else it proves; nobody else can make us wait or hold a place
/// (2) it is let in .............. see [`admit`]
/// (3) the edge signed its body .. 403
pub async fn admit_edge<'a>(
    app: &'a App,
    partner: &Partner,
    parts: &'a Parts,
    body: Body,
    now: Timestamp,
) -> Result<EdgeRequest<'a>, Error> {
    let head = head_of(parts);
    // (1)
    let signed = verify::edge(&app.config, &head, now.unix_s())?;
    // (2)
    let admitted = admit(app, partner, parts, body, true).await?;
    // (3)
    let edge = signed.with_body(&admitted.body)?;
    Ok(EdgeRequest { head, edge, admitted })
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
    match within(BODY_TIMEOUT, axum::body::to_bytes(body, body_bytes_max)).await {
        Some(Ok(bytes)) => Ok(bytes),
        Some(Err(error)) if is_too_large(&error) => Err(Error::BodyTooLarge),
        Some(Err(_)) | None => Err(Error::BodyIncomplete),
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
