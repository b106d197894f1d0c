//! Whether a sender is who the partner's file says it has to be. All of a partner's modes must hold (R12). The sender gets one
//! answer, whatever did not; the cause is for our log (R13).

use crate::config::secrets::Secrets;
use crate::platform::incoming::Part;
use postback::params::token_param;
use postback::partner::{AuthMode, Partner};
use postback::rejection::Rejection;
use postback::signature::{self, Presented, Profile, Refusal};
use std::net::IpAddr;

/// What a request shows of its sender.
#[derive(Clone, Copy)]
pub struct Shown<'a> {
    /// Headers and properties of the connection.
    pub part: &'a dyn Fn(Part) -> Option<&'a str>,
    /// In capitals.
    pub method: &'a str,
    /// The path as it came.
    pub path: &'a str,
    /// The query as it came, without `?`.
    pub query: &'a str,
    /// The segment behind the endpoint.
    pub path_key: Option<&'a str>,
}

/// Why a sender is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Denial {
    /// One of the modes does not hold: which, and why, for our log.
    Unproven {
        /// The mode's name.
        mode: &'static str,
        /// A stable word.
        cause: &'static str,
    },
    /// The request has no form that could be signed: the sender is told what to change.
    Unsignable(Rejection),
}

/// Checks all modes that the head of a request can prove, before a body is waited for, at `now_s` (Unix seconds).
///
/// # Errors
/// The first mode that does not hold, the cheapest first.
pub fn by_head(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>, now_s: i64) -> Result<(), Denial> {
    // From the cheapest to the dearest.
    let order = [
        AuthMode::Open,
        AuthMode::Ip,
        AuthMode::Mtls,
        AuthMode::PathKey,
        AuthMode::Token,
        AuthMode::Jwt,
        AuthMode::Signature,
    ];
    for mode in order.into_iter().filter(|mode| partner.auth.contains(mode)) {
        let held = match mode {
            AuthMode::Open | AuthMode::Signature => Ok(()),
            AuthMode::Ip => ip(partner, shown),
            AuthMode::Mtls => mtls(partner, shown),
            AuthMode::PathKey => path_key(secrets, partner, shown),
            AuthMode::Token => token(secrets, partner, shown),
            AuthMode::Jwt => jwt(secrets, partner, shown, now_s),
        };
        held.map_err(|cause| Denial::Unproven { mode: mode.name(), cause })?;
    }
    Ok(())
}

/// Checks the signature over the whole request, where the partner's file asks for one, or where one is sent and the partner has
/// keys; answers what of the body was signed. A partner without keys may send what looks like a signature for others.
///
/// # Errors
/// It is missing or wrong.
pub fn by_signature(
    secrets: &Secrets,
    partner: &Partner,
    shown: &Shown<'_>,
    body: &[u8],
    now_s: i64,
) -> Result<Option<Profile>, Denial> {
    let is_required = partner.auth.contains(&AuthMode::Signature);
    let keys = secrets.partner_keys.get(&partner.code);
    if !is_required && keys.is_none() {
        return Ok(None);
    }
    let unproven = |cause| Denial::Unproven { mode: AuthMode::Signature.name(), cause };
    let refused = |refusal| match refusal {
        Refusal::Unsignable(rejection) => Denial::Unsignable(rejection),
        Refusal::Invalid(cause) => unproven(cause.name()),
    };
    // A header that is there twice comes as one text with a comma in it, which no part of a signature but the last may have.
    let header = |name: &str| Ok(signature_part(name).and_then(|part| (shown.part)(part)).map(str::to_owned));
    let presented = match Presented::find(header, shown.query).map_err(refused)? {
        Some(presented) => presented,
        None if is_required => return Err(unproven("missing")),
        None => return Ok(None),
    };
    let keys = keys.ok_or_else(|| unproven("no_keys"))?;
    let Shown { method, path, query, .. } = *shown;
    let request = signature::Request { method, path, query, body };
    signature::verify(keys, &presented, &request, now_s).map_err(refused)?;
    Ok(Some(presented.profile))
}

fn signature_part(header: &str) -> Option<Part> {
    use signature::header::{KEY_ID, NONCE, PROFILE, SIGNATURE, TIMESTAMP};
    let parts = [
        (KEY_ID, Part::KeyId),
        (TIMESTAMP, Part::Timestamp),
        (NONCE, Part::Nonce),
        (SIGNATURE, Part::Signature),
        (PROFILE, Part::SignatureProfile),
    ];
    parts.into_iter().find(|(name, _)| *name == header).map(|(_, part)| part)
}

fn ip(partner: &Partner, shown: &Shown<'_>) -> Result<(), &'static str> {
    // Set by the platform; what a sender writes into it does not arrive.
    let address: IpAddr = (shown.part)(Part::ConnectingIp).and_then(|text| text.parse().ok()).ok_or("no_address")?;
    let address = address.to_canonical();
    if partner.ip_allow.iter().any(|range| range.contains(&address)) { Ok(()) } else { Err("not_allowed") }
}

/// A certificate counts when the platform verified it and it is not revoked, which "verified" does not say. Where the platform
/// says nothing of certificates, nobody is believed.
fn mtls(partner: &Partner, shown: &Shown<'_>) -> Result<(), &'static str> {
    let is = |part, expected: &str| (shown.part)(part) == Some(expected);
    if !is(Part::CertificatePresented, "1") {
        return Err("no_certificate");
    }
    if !is(Part::CertificateVerified, "SUCCESS") {
        return Err("not_verified");
    }
    if !is(Part::CertificateRevoked, "0") {
        return Err("revoked");
    }
    let digest = (shown.part)(Part::CertificateSha256).unwrap_or("").to_ascii_lowercase();
    if partner.mtls_sha256.contains(&digest) { Ok(()) } else { Err("not_pinned") }
}

fn path_key(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>) -> Result<(), &'static str> {
    let key = shown.path_key.ok_or("missing")?;
    if secrets.path_keys.belong_to(&partner.code, key) { Ok(()) } else { Err("wrong_key") }
}

fn bearer<'a>(shown: &Shown<'a>) -> Option<&'a str> {
    let (scheme, token) = (shown.part)(Part::Authorization)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The tenant's token, as bearer or as a parameter. Where a partner needs a JSON Web Token, too, that one is the bearer.
fn token(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>) -> Result<(), &'static str> {
    let as_bearer = bearer(shown).filter(|_| !partner.auth.contains(&AuthMode::Jwt)).map(str::to_owned);
    let token = as_bearer.or_else(|| token_param(shown.query)).ok_or("missing")?;
    if secrets.tenant_tokens.belong_to(&partner.tenant, &token) { Ok(()) } else { Err("wrong_token") }
}

fn jwt(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>, now_s: i64) -> Result<(), &'static str> {
    let expected = partner.jwt.as_ref().ok_or("not_configured")?;
    let keys = secrets.jwt_keys.get(&partner.code).ok_or("no_keys")?;
    let token = bearer(shown).ok_or("missing")?;
    keys.verify(token, expected, now_s).map(|_| ()).map_err(|refusal| refusal.name())
}
