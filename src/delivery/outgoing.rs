//! The request to the origin: rewritten, with the original beside it, signed (R15, R16). Built from nothing: no header
//! of the partner's request passes.

use crate::config::Config;
use crate::delivery::parcel::Parcel;
use postback::canonical::CanonicalForm;
use postback::id::{EventId, Nonce};
use postback::limits::TARGET_BYTES_MAX;
use postback::message_signature::{Covered, header, sign};
use postback::partner::Partner;
use serde::Serialize;
use std::borrow::Cow;

/// What an origin is asked, before it is signed.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    /// `GET` or `POST`.
    pub method: &'a str,
    /// The path.
    pub path: String,
    /// The query without `?`.
    pub query: Cow<'a, str>,
    /// The body of a POST, in JSON.
    pub body: Option<String>,
    /// What it is about; the answer's acknowledgement names it.
    pub event_id: &'a EventId,
    /// When it arrived.
    pub received_at: String,
    /// Why its sender was believed.
    pub auth: &'a str,
    /// The sender's address.
    pub client_ip: &'a str,
    /// Path and query as they came.
    pub original_target: &'a str,
    /// The edge's name of the request.
    pub request_id: &'a Nonce,
    /// The media type of the answer.
    pub accept: &'static str,
    /// How much of an answer is wanted where all is well.
    pub prefer: Prefer,
}

/// How much of an answer is wanted where all is well (RFC 7240); of anything else it is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prefer {
    /// The acknowledgement, which says enough.
    Minimal,
    /// What the answer says beside, too.
    Representation,
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
    postback: &'a CanonicalForm,
    original_content_type: Option<&'a str>,
    original_body: &'a str,
}

/// What becomes of a forwarded postback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It is stored.
    Store,
    /// All is done that storing takes, and then undone.
    Rehearse,
}

impl Purpose {
    const fn path_prefix(self) -> &'static str {
        match self {
            Purpose::Store => "/postback",
            Purpose::Rehearse => "/smoke",
        }
    }
}

/// A partner's postback as the origin is asked for it.
///
/// # Errors
/// For our log: it cannot be written.
pub fn forwarded<'a>(partner: &Partner, parcel: &'a Parcel, purpose: Purpose) -> Result<Draft<'a>, String> {
    let path = match partner.endpoint.as_str() {
        "" => purpose.path_prefix().to_owned(),
        endpoint => format!("{}/{endpoint}", purpose.path_prefix()),
    };
    // A canonical query can be three times as long as the sender's, and what lies between us and the origin has limits of its own.
    let query = (parcel.method == "GET").then(|| parcel.canonical.to_query());
    let (method, query, body) = match query.filter(|query| query.len() <= TARGET_BYTES_MAX) {
        Some(query) => ("GET", Cow::Owned(query), None),
        None => ("POST", Cow::Borrowed(""), Some(forwarded_body(parcel)?)),
    };
    Ok(Draft {
        method,
        path,
        query,
        body,
        event_id: &parcel.event_id,
        received_at: parcel.received_at.to_string(),
        auth: &parcel.auth,
        client_ip: parcel.client_ip.as_deref().unwrap_or("unknown"),
        original_target: &parcel.target,
        request_id: &parcel.request_id,
        accept: parcel.reply.media_type(),
        prefer: match purpose {
            Purpose::Store => Prefer::Minimal,
            Purpose::Rehearse => Prefer::Representation,
        },
    })
}

/// Signs one attempt at `now_s` (Unix seconds) with a fresh nonce. None when no key is in force.
pub fn signed(config: &Config, origin: &str, draft: &Draft<'_>, now_s: i64, nonce: &Nonce) -> Option<Outgoing> {
    let covered = Covered {
        method: draft.method,
        path: &draft.path,
        query: &draft.query,
        event_id: draft.event_id.as_str(),
        received_at: &draft.received_at,
        auth: draft.auth,
        client_ip: draft.client_ip,
        original_target: draft.original_target,
    };
    let signed = sign(&config.keys, &covered, draft.body.as_deref().unwrap_or("").as_bytes(), now_s, nonce)?;
    let mut headers = vec![
        (header::EVENT_ID, covered.event_id.to_owned()),
        (header::RECEIVED_AT, covered.received_at.to_owned()),
        (header::AUTH, covered.auth.to_owned()),
        (header::CLIENT_IP, covered.client_ip.to_owned()),
        (header::ORIGINAL_TARGET, covered.original_target.to_owned()),
        (header::CONTENT_DIGEST, signed.content_digest),
        (header::SIGNATURE_INPUT, signed.signature_input),
        (header::SIGNATURE, signed.signature),
        (header::REQUEST_ID, draft.request_id.as_str().to_owned()),
        ("accept", draft.accept.to_owned()),
    ];
    if draft.prefer == Prefer::Minimal {
        headers.push((header::PREFER, header::RETURN_MINIMAL.to_owned()));
    }
    headers.extend(access_headers(config));
    if draft.body.is_some() {
        headers.push(("content-type", "application/json".to_owned()));
    }
    let (path, query) = (&draft.path, &draft.query);
    let url = if query.is_empty() { format!("{origin}{path}") } else { format!("{origin}{path}?{query}") };
    Some(Outgoing { url, method: draft.method.to_owned(), headers, body: draft.body.clone() })
}

/// The service token of Cloudflare Access, where one is configured (R16).
pub fn access_headers(config: &Config) -> impl Iterator<Item = (&'static str, String)> {
    config.access.iter().flat_map(|token| {
        [("cf-access-client-id", token.client_id.clone()), ("cf-access-client-secret", token.client_secret.clone())]
    })
}

fn forwarded_body(parcel: &Parcel) -> Result<String, String> {
    let body = ForwardedBody {
        postback: &parcel.canonical,
        original_content_type: parcel.content_type.as_deref(),
        original_body: &parcel.body,
    };
    serde_json::to_string(&body).map_err(|error| error.to_string())
}
