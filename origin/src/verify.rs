//! Who is calling: the edge, proved by its signature, or somebody else, proved by the tenant's token. Pure decisions
//! over what was received; nothing is read or written here.

#![deny(clippy::disallowed_methods)]

use crate::config::Config;
use crate::shared::{Credential, Scope};
use axum::http::HeaderMap;
use postback::message_signature::{self, Covered, Refusal, Signed, Verified, header};
use postback::params::token_param;
use postback::partner::{AuthMode, Partner};
use postback::rejection::Rejection;
use postback::signature::{self, Presented, SignedBy};
use std::net::IpAddr;

/// The head of a request as it was received, decoded by nobody yet.
#[derive(Clone, Copy, Debug)]
pub struct Head<'r> {
    /// In capitals.
    pub method: &'r str,
    /// The path.
    pub path: &'r str,
    /// The query without `?`.
    pub query: &'r str,
    /// The headers.
    pub headers: &'r HeaderMap,
    /// Who opened the connection.
    pub peer: Option<IpAddr>,
}

/// A whole request.
#[derive(Clone, Copy, Debug)]
pub struct Received<'r> {
    /// All but the body.
    pub head: Head<'r>,
    /// The body's bytes.
    pub body: &'r [u8],
}

impl<'r> Head<'r> {
    /// A header's text, where it is there once and is text.
    pub fn header(&self, name: &str) -> Option<&'r str> {
        self.one(name).ok().flatten()
    }

    /// A header's text: None where it is absent, `Err` where it is there twice or is no text.
    fn one<T: From<&'r str>>(&self, name: &str) -> Result<Option<T>, ()> {
        let mut values = self.headers.get_all(name).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let text = value.to_str().map_err(|_| ())?;
        if values.next().is_some() { Err(()) } else { Ok(Some(text.into())) }
    }
}

/// A caller believed by the head of its request: nobody else can make us wait for a body.
#[derive(Clone, Debug)]
pub enum Believed<'r> {
    /// The edge signed this head.
    Edge(SignedHead<'r>),
    /// The token is one of the tenant's.
    Direct {
        /// Its name, where it has one.
        token_id: Option<String>,
    },
}

/// A head that the edge signed. The body is not known yet.
#[derive(Clone, Debug)]
pub struct SignedHead<'r> {
    signature: message_signature::Head,
    claims: Claims<'r>,
}

/// A caller that proved who it is.
#[derive(Clone, Debug)]
pub enum Caller<'r> {
    /// The edge, speaking for a partner.
    Edge(FromEdge<'r>),
    /// A partner itself, through the tunnel's own URL.
    Direct {
        /// The name of the token, where it has one.
        token_id: Option<String>,
        /// The partner's own signature, where it signed.
        signed: Option<SignedBy>,
    },
}

/// The edge, and what its signature covers.
#[derive(Clone, Debug)]
pub struct FromEdge<'r> {
    /// Key and nonce.
    pub verified: Verified,
    /// What it says.
    pub claims: Claims<'r>,
}

/// What the edge signs as authentication of a batch of its own, which nobody sent to it.
const OWN_AUTH: &str = "edge";

impl FromEdge<'_> {
    /// Whether it signed a batch of its own for this path: its id is `prefix` and 32 lower-case hexadecimal digits.
    pub fn is_own_batch(&self, prefix: &str, path: &str) -> bool {
        let Claims { event_id, auth, original_target, .. } = self.claims;
        let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        let is_named =
            event_id.strip_prefix(prefix).is_some_and(|digits| digits.len() == 32 && digits.bytes().all(is_digit));
        is_named && auth == OWN_AUTH && original_target == path
    }
}

/// What the edge says about a postback.
#[derive(Clone, Copy, Debug)]
pub struct Claims<'r> {
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disbelief {
    /// No token.
    TokenMissing,
    /// Not a token of the partner's tenant.
    TokenInvalid,
    /// The partner must prove itself in a way that direct requests cannot.
    NotAccepted,
    /// No signature, where the partner's file asks for one.
    SignatureMissing,
    /// A signature that does not hold; the cause is for our log.
    SignatureInvalid {
        /// A stable word.
        cause: &'static str,
    },
    /// The request cannot be signed as it is.
    Unsignable(Rejection),
}

impl From<signature::Refusal> for Disbelief {
    fn from(refusal: signature::Refusal) -> Self {
        match refusal {
            signature::Refusal::Unsignable(rejection) => Disbelief::Unsignable(rejection),
            signature::Refusal::Invalid(cause) => Disbelief::SignatureInvalid { cause: cause.name() },
        }
    }
}

/// Whether a request claims to come from the edge.
pub fn is_signed_by_edge(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SIGNATURE_INPUT) || headers.contains_key(header::SIGNATURE)
}

/// Whether a direct request's token has to be looked up: it has one, and it is none of the configuration's.
pub fn token_to_find(config: &Config, partner: &Partner, head: &Head<'_>, now_s: i64) -> Option<String> {
    let token = token_of(head).filter(|_| !is_signed_by_edge(head.headers))?;
    (!config.tokens.belong_to(&partner.tenant, &token, now_s)).then_some(token)
}

/// Decides by its head alone whether a request is worth reading, at `now_s` (Unix seconds). `found` is what the token was found to
/// be that [`token_to_find`] names.
///
/// # Errors
/// What is missing or wrong.
pub fn head<'r>(
    config: &Config,
    partner: &Partner,
    head: &Head<'r>,
    found: Option<&Credential>,
    now_s: i64,
) -> Result<Believed<'r>, Disbelief> {
    if is_signed_by_edge(head.headers) {
        return Ok(Believed::Edge(edge(config, head, now_s)?));
    }
    let token = token_of(head).ok_or(Disbelief::TokenMissing)?;
    let is_ours = config.tokens.belong_to(&partner.tenant, &token, now_s);
    let found = found.filter(|found| found.allows(Scope::Ingest, &partner.tenant, &partner.code));
    if !is_ours && found.is_none() {
        return Err(Disbelief::TokenInvalid);
    }
    // All of a partner's modes must hold, so one that nobody checks here is one that does not.
    if !partner.auth.iter().all(|mode| is_offered(*mode)) {
        return Err(Disbelief::NotAccepted);
    }
    Ok(Believed::Direct { token_id: found.map(|found| found.id.clone()) })
}

/// Whether direct requests can prove themselves in this way. The token, which they always need, is more than `open` asks.
fn is_offered(mode: AuthMode) -> bool {
    match mode {
        AuthMode::Open | AuthMode::Token | AuthMode::Signature => true,
        AuthMode::Jwt | AuthMode::Ip | AuthMode::Mtls | AuthMode::PathKey => false,
    }
}

impl<'r> Believed<'r> {
    /// Decides over the whole request: the body is the one that was signed.
    ///
    /// # Errors
    /// It is not, or a partner's own signature is missing or wrong.
    pub fn with_body(
        self,
        config: &Config,
        partner: &Partner,
        received: &Received<'_>,
        now_s: i64,
    ) -> Result<Caller<'r>, Disbelief> {
        match self {
            Believed::Edge(head) => Ok(Caller::Edge(head.with_body(received.body)?)),
            Believed::Direct { token_id } => {
                Ok(Caller::Direct { token_id, signed: partner_signature(config, partner, received, now_s)? })
            }
        }
    }
}

impl<'r> SignedHead<'r> {
    /// The same with its body, which is the one that was signed.
    ///
    /// # Errors
    /// It is not.
    pub fn with_body(self, body: &[u8]) -> Result<FromEdge<'r>, Disbelief> {
        let verified = self.signature.with_body(body).map_err(refused)?;
        Ok(FromEdge { verified, claims: self.claims })
    }
}

fn refused(refusal: Refusal) -> Disbelief {
    Disbelief::SignatureInvalid { cause: refusal.name() }
}

/// Decides by its head alone whether a request is the edge's, which nothing but its signature proves.
///
/// # Errors
/// The signature is missing or wrong.
pub fn edge<'r>(config: &Config, head: &Head<'r>, now_s: i64) -> Result<SignedHead<'r>, Disbelief> {
    let header_of = |name: &str| head.header(name).ok_or(refused(Refusal::Malformed));
    let covered = Covered {
        method: head.method,
        path: head.path,
        query: head.query,
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
    let signature = message_signature::verify(&config.edge_keys, &covered, &signed, now_s).map_err(refused)?;
    let claims = Claims {
        event_id: covered.event_id,
        received_at: covered.received_at,
        auth: covered.auth,
        client_ip: (covered.client_ip != "unknown").then_some(covered.client_ip),
        original_target: covered.original_target,
    };
    Ok(SignedHead { signature, claims })
}

/// Checks the partner's own signature (`bytec-v1`) where one was sent or the partner's file asks for one.
fn partner_signature(
    config: &Config,
    partner: &Partner,
    received: &Received<'_>,
    now_s: i64,
) -> Result<Option<SignedBy>, Disbelief> {
    let Received { head, body } = received;
    let Some(presented) = Presented::find(|name| head.one(name), head.query)? else {
        let required = partner.auth.contains(&AuthMode::Signature);
        return if required { Err(Disbelief::SignatureMissing) } else { Ok(None) };
    };
    let request = signature::Request { method: head.method, path: head.path, query: head.query, body };
    let keys = config.partner_keys.get(&partner.code).ok_or(Disbelief::SignatureInvalid { cause: "unknown_key" })?;
    Ok(Some(signature::signed_by(keys, presented, &request, now_s)?))
}

/// The token of a request: as bearer, or as a parameter of the query.
fn token_of(head: &Head<'_>) -> Option<String> {
    let bearer = head.header("authorization").and_then(|value| value.split_once(' '));
    match bearer {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Some(token.trim().to_owned()),
        Some(_) | None => token_param(head.query),
    }
}
