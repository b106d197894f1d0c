//! Who is calling: the edge, proved by its signature, or somebody else, proved by the tenant's token. Pure decisions over
//! what was received; nothing is read or written here.

use crate::config::Config;
use axum::http::HeaderMap;
use postback::message_signature::{self, Covered, Refusal, Signed, Verified, header};
use postback::params::token_param;
use postback::partner::{AuthMode, Partner};
use postback::signature;
use std::net::IpAddr;

/// A request as it was received, decoded by nobody yet.
#[derive(Clone, Debug)]
pub struct Received<'r> {
    /// In capitals.
    pub method: &'r str,
    /// The path.
    pub path: &'r str,
    /// The query without `?`.
    pub query: &'r str,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// The body.
    pub body: &'r [u8],
    /// Who opened the connection.
    pub peer: Option<IpAddr>,
}

impl<'r> Received<'r> {
    /// A header's text, where it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&'r str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(value)
    }
}

/// A caller that proved who it is.
#[derive(Clone, Debug)]
pub enum Caller<'r> {
    /// The edge, speaking for a partner.
    Edge(FromEdge<'r>),
    /// A partner itself, through the tunnel's own URL.
    Direct {
        /// The partner's key that signed, where it signed.
        key_id: Option<String>,
    },
}

/// What the edge's signature covers.
#[derive(Clone, Debug)]
pub struct FromEdge<'r> {
    /// Key and nonce.
    pub verified: Verified,
    /// The event's id.
    pub event_id: &'r str,
    /// When the edge received the postback.
    pub received_at: &'r str,
    /// Why the edge believed the sender.
    pub auth: &'r str,
    /// The sender's address as the edge saw it.
    pub client_ip: Option<&'r str>,
    /// Path and query as the edge received them.
    pub original_target: &'r str,
}

/// Why a caller is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disbelief {
    /// No token.
    TokenMissing,
    /// Not a token of the partner's tenant.
    TokenInvalid,
    /// A signature that does not hold; the cause is for our log.
    SignatureInvalid {
        /// A stable word.
        cause: &'static str,
    },
}

/// Whether a request claims to come from the edge.
pub fn is_signed_by_edge(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SIGNATURE_INPUT) || headers.contains_key(header::SIGNATURE)
}

/// Verifies the edge's signature at `now_s` (Unix seconds).
///
/// # Errors
/// The one public answer, with the cause beside it.
pub fn edge<'r>(config: &Config, received: &Received<'r>, now_s: i64) -> Result<FromEdge<'r>, Disbelief> {
    let refused = |refusal: Refusal| Disbelief::SignatureInvalid { cause: refusal.name() };
    let header_of = |name: &str| received.header(name).ok_or(refused(Refusal::Malformed));
    let covered = Covered {
        method: received.method,
        path: received.path,
        query: received.query,
        body: received.body,
        event_id: header_of(header::EVENT_ID)?,
        received_at: header_of(header::RECEIVED_AT)?,
        auth: header_of(header::AUTH)?,
        client_ip: header_of(header::CLIENT_IP)?,
        original_target: header_of(header::ORIGINAL_TARGET)?,
    };
    let signed = Signed {
        content_digest: header_of(header::CONTENT_DIGEST)?.to_owned(),
        signature_input: header_of(header::SIGNATURE_INPUT)?.to_owned(),
        signature: header_of(header::SIGNATURE)?.to_owned(),
    };
    let verified = message_signature::verify(&config.edge_keys, &covered, &signed, now_s).map_err(refused)?;
    Ok(FromEdge {
        verified,
        event_id: covered.event_id,
        received_at: covered.received_at,
        auth: covered.auth,
        client_ip: (covered.client_ip != "unknown").then_some(covered.client_ip),
        original_target: covered.original_target,
    })
}

/// Checks a direct caller: the tenant's token always, the partner's own signature where one was sent or the partner's
/// file asks for one. Answers the id of the key that signed.
///
/// # Errors
/// What is missing or wrong.
pub fn direct(
    config: &Config,
    partner: &Partner,
    received: &Received<'_>,
    now_s: i64,
) -> Result<Option<String>, Disbelief> {
    let token = token_of(received).ok_or(Disbelief::TokenMissing)?;
    if !config.tokens.belong_to(&partner.tenant, &token) {
        return Err(Disbelief::TokenInvalid);
    }
    let invalid = |cause: &'static str| Disbelief::SignatureInvalid { cause };
    if !received.headers.contains_key("x-signature") {
        let required = partner.auth.contains(&AuthMode::Signature);
        return if required { Err(invalid("missing")) } else { Ok(None) };
    }
    let header_of = |name: &str| received.header(name).ok_or(invalid("malformed"));
    let headers = signature::Headers {
        key_id: header_of("x-key-id")?,
        timestamp: header_of("x-timestamp")?,
        nonce: header_of("x-nonce")?,
        signature: header_of("x-signature")?,
    };
    let request =
        signature::Request { method: received.method, path: received.path, query: received.query, body: received.body };
    let keys = config.partner_keys.get(&partner.code).ok_or(invalid("unknown_key"))?;
    if signature::verify(keys, headers, &request, now_s) {
        Ok(Some(headers.key_id.to_owned()))
    } else {
        Err(invalid("signature_mismatch"))
    }
}

/// The token of a request: as bearer, or as a parameter of the query.
fn token_of(received: &Received<'_>) -> Option<String> {
    let bearer = received.header("authorization").and_then(|value| value.split_once(' '));
    match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        Some(_) | None => token_param(received.query),
    }
}
