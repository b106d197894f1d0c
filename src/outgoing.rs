//! The request to the origin: rewritten, with the original beside it, signed (R15, R16). Built from nothing: no header
//! of the partner's request passes.

use crate::config::Config;
use postback::id::Nonce;
use postback::message_signature::{Covered, header, sign};
use postback::params::{redact_body, redact_target};
use postback::partner::{AuthMode, Partner};
use postback::postback::Postback;
use postback::reply::Format;
use postback::time::Timestamp;
use serde::Serialize;

/// How a postback reached the edge. Stays the same over all attempts to forward it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The edge's name of the request.
    pub request_id: Nonce,
    /// When it arrived.
    pub received_at: Timestamp,
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query as they came.
    pub target: String,
    /// The body's type, where there was a body.
    pub content_type: Option<String>,
    /// The body, which reading has found to be UTF-8.
    pub body: String,
    /// The sender's address, as the platform saw it.
    pub client_ip: Option<String>,
    /// Why the sender was believed.
    pub auth: AuthMode,
    /// What the sender can read: the origin writes the reply that goes through to it.
    pub reply: Format,
}

/// A request, ready to be sent. Not shown in `Debug`: its headers may hold a service token.
#[derive(Clone)]
pub struct Outgoing {
    /// Where to.
    pub url: String,
    /// `GET` or `POST`.
    pub method: String,
    /// All headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body of a POST.
    pub body: Option<String>,
}

/// The body of a forwarded POST.
#[derive(Serialize)]
struct ForwardedBody<'a> {
    postback: serde_json::Value,
    original_content_type: Option<&'a str>,
    original_body: String,
}

/// Builds and signs one attempt at `now_s` (Unix seconds) with a fresh nonce. None only without a key.
pub fn outgoing(
    config: &Config,
    partner: &Partner,
    postback: &Postback,
    arrival: &Arrival,
    now_s: i64,
    nonce: &Nonce,
) -> Option<Outgoing> {
    let path = match partner.endpoint.as_str() {
        "" => "/postback".to_owned(),
        endpoint => format!("/postback/{endpoint}"),
    };
    let (query, body) = match arrival.method.as_str() {
        "POST" => (String::new(), Some(forwarded_body(postback, arrival))),
        _ => (postback.to_query(), None),
    };
    let covered = Covered {
        method: &arrival.method,
        path: &path,
        query: &query,
        event_id: postback.event_id().as_str(),
        received_at: &arrival.received_at.to_string(),
        auth: arrival.auth.name(),
        client_ip: arrival.client_ip.as_deref().unwrap_or("unknown"),
        original_target: &redact_target(&arrival.target),
    };
    let signed = sign(&config.keys, &covered, body.as_deref().unwrap_or("").as_bytes(), now_s, nonce)?;
    let mut headers = vec![
        (header::EVENT_ID, covered.event_id.to_owned()),
        (header::RECEIVED_AT, covered.received_at.to_owned()),
        (header::AUTH, covered.auth.to_owned()),
        (header::CLIENT_IP, covered.client_ip.to_owned()),
        (header::ORIGINAL_TARGET, covered.original_target.to_owned()),
        (header::CONTENT_DIGEST, signed.content_digest),
        (header::SIGNATURE_INPUT, signed.signature_input),
        (header::SIGNATURE, signed.signature),
        (header::REQUEST_ID, arrival.request_id.to_string()),
        ("accept", arrival.reply.media_type().to_owned()),
    ];
    headers.extend(access_headers(config));
    if body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let url = if query.is_empty() {
        format!("{}{path}", config.origin_url)
    } else {
        format!("{}{path}?{query}", config.origin_url)
    };
    Some(Outgoing { url, method: arrival.method.clone(), headers, body })
}

/// The service token of Cloudflare Access, where one is configured (R16).
pub fn access_headers(config: &Config) -> Vec<(&'static str, String)> {
    config
        .access
        .iter()
        .flat_map(|token| {
            [("cf-access-client-id", token.client_id.clone()), ("cf-access-client-secret", token.client_secret.clone())]
        })
        .collect()
}

fn forwarded_body(postback: &Postback, arrival: &Arrival) -> String {
    let body = ForwardedBody {
        postback: postback.to_json(),
        original_content_type: arrival.content_type.as_deref(),
        original_body: redact_body(&arrival.body),
    };
    // Strings alone are written, which serde_json cannot fail at.
    serde_json::to_string(&body).unwrap_or_default()
}
