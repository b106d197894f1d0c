//! Whether a sender is who the partner's file says it has to be. All of a partner's modes must hold (R12). A sender that shows no
//! proof is told which kind is missing, which its documents say as well. Every wrong proof gets one answer; the cause is for our log
//! (R13).

use crate::config::secrets::Secrets;
use crate::platform::incoming::Part;
use postback::params::token_param;
use postback::partner::{AuthMode, Partner};
use postback::rejection::Rejection;
use postback::signature::{self, Presented, Refusal, SignedBy};
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
        /// The mode.
        mode: AuthMode,
        /// A stable word.
        cause: &'static str,
    },
    /// The request has no form that could be signed: the sender is told what to change.
    Unsignable(Rejection),
}

/// The cause of a proof that is absent.
const MISSING: &str = "missing";
/// The same of a certificate.
const NO_CERTIFICATE: &str = "no_certificate";

impl Denial {
    /// The mode of which the request shows no proof at all.
    pub fn missing(&self) -> Option<AuthMode> {
        match self {
            Denial::Unproven { mode, cause } => matches!(*cause, MISSING | NO_CERTIFICATE).then_some(*mode),
            Denial::Unsignable(_) => None,
        }
    }
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
            AuthMode::PathKey => path_key(secrets, partner, shown, now_s),
            AuthMode::Token => token(secrets, partner, shown, now_s),
            AuthMode::Jwt => jwt(secrets, partner, shown, now_s),
        };
        held.map_err(|cause| Denial::Unproven { mode, cause })?;
    }
    Ok(())
}

/// Checks the signature over the whole request, where the partner's file asks for one, or where one is sent; answers who signed. One for
/// which no key is held does not hold: nobody could say who signed.
///
/// # Errors
/// It is missing or wrong.
pub fn by_signature(
    secrets: &Secrets,
    partner: &Partner,
    shown: &Shown<'_>,
    body: &[u8],
    now_s: i64,
) -> Result<Option<SignedBy>, Denial> {
    let unproven = |cause| Denial::Unproven { mode: AuthMode::Signature, cause };
    let refused = |refusal| match refusal {
        Refusal::Unsignable(rejection) => Denial::Unsignable(rejection),
        Refusal::Invalid(cause) => unproven(cause.name()),
    };
    let presented = match presented(shown).map_err(refused)? {
        Some(presented) => presented,
        None if partner.auth.contains(&AuthMode::Signature) => return Err(unproven(MISSING)),
        None => return Ok(None),
    };
    let keys = secrets.partner_keys.get(&partner.code).ok_or_else(|| unproven("no_keys"))?;
    let Shown { method, path, query, .. } = *shown;
    let request = signature::Request { method, path, query, body };
    signature::signed_by(keys, presented, &request, now_s).map(Some).map_err(refused)
}

/// Whether a request's head leaves it open that its signature holds: with a key in force, at a time within the window. A request without a
/// signature, of a partner that needs none, has nothing to prove.
pub fn may_be_signed(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>, now_s: i64) -> bool {
    match presented(shown) {
        Ok(Some(presented)) => {
            let keys = secrets.partner_keys.get(&partner.code);
            keys.is_some_and(|keys| signature::may_hold(keys, &presented, now_s))
        }
        Ok(None) => !partner.auth.contains(&AuthMode::Signature),
        Err(_) => false,
    }
}

/// The signature that a request carries.
fn presented(shown: &Shown<'_>) -> Result<Option<Presented>, Refusal> {
    // A header that is there twice comes as one text with a comma in it, which no part of a signature but the last may have.
    let header = |name: &str| Ok(signature_part(name).and_then(|part| (shown.part)(part)).map(str::to_owned));
    Presented::find(header, shown.query)
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
        return Err(NO_CERTIFICATE);
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

fn path_key(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>, now_s: i64) -> Result<(), &'static str> {
    let key = shown.path_key.ok_or(MISSING)?;
    if secrets.path_keys.belong_to(&partner.code, key, now_s) { Ok(()) } else { Err("wrong_key") }
}

fn bearer<'a>(shown: &Shown<'a>) -> Option<&'a str> {
    let (scheme, token) = (shown.part)(Part::Authorization)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The tenant's token, as bearer or as a parameter. Where a partner needs a JSON Web Token, too, that one is the bearer.
fn token(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>, now_s: i64) -> Result<(), &'static str> {
    let as_bearer = bearer(shown).filter(|_| !partner.auth.contains(&AuthMode::Jwt)).map(str::to_owned);
    let token = as_bearer.or_else(|| token_param(shown.query)).ok_or(MISSING)?;
    if secrets.tenant_tokens.belong_to(&partner.tenant, &token, now_s) { Ok(()) } else { Err("wrong_token") }
}

fn jwt(secrets: &Secrets, partner: &Partner, shown: &Shown<'_>, now_s: i64) -> Result<(), &'static str> {
    let expected = partner.jwt.as_ref().ok_or("not_configured")?;
    let keys = secrets.jwt_keys.get(&partner.code).ok_or("no_keys")?;
    let token = bearer(shown).ok_or(MISSING)?;
    keys.verify(token, expected, now_s).map(|_| ()).map_err(|refusal| refusal.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry;
    use crate::config::tests::{DEVELOPMENT, read};
    use postback::partner::JwtExpected;
    use postback::signature::Profile;

    const NOW_S: i64 = 1_763_683_200;
    const PATH: &str = "/rector/event/k3y";
    const QUERY: &str = "conversion_id=c1&ts_token=tenant-token";
    const BODY: &[u8] = b"{}";
    // Both made by other code than ours, for the keys below and the request above: by that of tests/e2e/lib/proofs.mjs.
    const JWT: &str = "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImoxIn0.\
        eyJpc3MiOiJ0aGVtIiwiYXVkIjoiYnl0ZWMiLCJpYXQiOjE3NjM2ODMyMDAsImV4cCI6MTc2MzY4NDEwMH0.\
        8c1puQKgW846vBh0qaDNbwzC_Lvn0q3QW063Ac9cEXk";
    const SIGNATURE: &str = "sha256=3ce8327aaa45045a991f7ac28ef54a7905c61ae63568da8d17559e94adbf821b";

    /// Every mode that asks for something, in the order in which they are checked.
    const MODES: [AuthMode; 6] =
        [AuthMode::Ip, AuthMode::Mtls, AuthMode::PathKey, AuthMode::Token, AuthMode::Jwt, AuthMode::Signature];

    fn secrets() -> Secrets {
        let (key, token_key) =
            (format!("rector=k1:{}", "ab".repeat(32)), format!("rector=j1:HS256:{}", "cd".repeat(32)));
        let more = [
            ("TENANT_TOKENS", "bytec=tenant-token"),
            ("PATH_KEYS", "rector=k3y,involve_asia=others-k3y"),
            ("PARTNER_KEYS", key.as_str()),
            ("JWT_KEYS", token_key.as_str()),
        ];
        read(&[DEVELOPMENT.as_slice(), &more].concat()).unwrap().secrets
    }

    fn partner(auth: &[AuthMode]) -> Partner {
        Partner {
            auth: auth.to_vec(),
            ip_allow: vec!["203.0.113.0/24".parse().unwrap(), "2001:db8:a::/48".parse().unwrap()],
            mtls_sha256: vec!["0f".repeat(32), "1f".repeat(32)],
            jwt: Some(JwtExpected { issuer: "them".to_owned(), audience: "bytec".to_owned() }),
            ..registry().unwrap().by_code("rector").unwrap().clone()
        }
    }

    /// What a sender shows, of which a test takes something away.
    #[derive(Clone)]
    struct Sender {
        parts: Vec<(Part, String)>,
        query: &'static str,
        path_key: Option<&'static str>,
    }

    impl Sender {
        /// One that proves everything.
        fn right() -> Sender {
            let parts = [
                (Part::ConnectingIp, "203.0.113.5"),
                (Part::CertificatePresented, "1"),
                (Part::CertificateVerified, "SUCCESS"),
                (Part::CertificateRevoked, "0"),
                (Part::CertificateSha256, &"0f".repeat(32)),
                (Part::Authorization, JWT),
                (Part::KeyId, "k1"),
                (Part::Timestamp, "1763683200"),
                (Part::Nonce, "abcdefghijklmnop"),
                (Part::Signature, SIGNATURE),
            ];
            let parts = parts.into_iter().map(|(part, text)| (part, text.to_owned())).collect();
            Sender { parts, query: QUERY, path_key: Some("k3y") }
        }

        /// The same with another text for a part, or without it.
        fn with(mut self, part: Part, text: Option<&str>) -> Sender {
            self.parts.retain(|(known, _)| *known != part);
            self.parts.extend(text.map(|text| (part, text.to_owned())));
            self
        }

        /// The same without the proof of a mode, and what the log is told then.
        fn without(self, mode: AuthMode) -> (Sender, &'static str) {
            match mode {
                AuthMode::Open => (self, ""),
                AuthMode::Ip => (self.with(Part::ConnectingIp, None), "no_address"),
                AuthMode::Mtls => (self.with(Part::CertificatePresented, None), "no_certificate"),
                AuthMode::PathKey => (Sender { path_key: None, ..self }, "missing"),
                AuthMode::Token => (Sender { query: "conversion_id=c1", ..self }, "missing"),
                AuthMode::Jwt => (self.with(Part::Authorization, None), "missing"),
                AuthMode::Signature => (self.with(Part::Signature, None), "missing"),
            }
        }

        /// The same with a proof of a mode that does not hold.
        fn wrong(self, mode: AuthMode) -> (Sender, &'static str) {
            match mode {
                AuthMode::Open => (self, ""),
                AuthMode::Ip => (self.with(Part::ConnectingIp, Some("203.0.114.5")), "not_allowed"),
                AuthMode::Mtls => (self.with(Part::CertificateSha256, Some(&"2f".repeat(32))), "not_pinned"),
                AuthMode::PathKey => (Sender { path_key: Some("others-k3y"), ..self }, "wrong_key"),
                AuthMode::Token => (Sender { query: "conversion_id=c1&ts_token=k3y", ..self }, "wrong_token"),
                AuthMode::Jwt => {
                    let changed = JWT.replace("Bearer eyJ", "Bearer eyK");
                    (self.with(Part::Authorization, Some(&changed)), "malformed")
                }
                AuthMode::Signature => (self.with(Part::Nonce, Some("bcdefghijklmnopq")), "signature_mismatch"),
            }
        }

        /// Head and signature, as a request comes by them.
        fn asks(&self, secrets: &Secrets, auth: &[AuthMode]) -> Result<Option<Profile>, Denial> {
            let part = |wanted| self.parts.iter().find(|(part, _)| *part == wanted).map(|(_, text)| text.as_str());
            let shown = Shown { part: &part, method: "POST", path: PATH, query: self.query, path_key: self.path_key };
            let partner = partner(auth);
            by_head(secrets, &partner, &shown, NOW_S)?;
            profile(by_signature(secrets, &partner, &shown, BODY, NOW_S))
        }

        /// The signature alone, before a partner that does not ask for one and has keys.
        fn signs(&self) -> Result<Option<Profile>, Denial> {
            let part = |wanted| self.parts.iter().find(|(part, _)| *part == wanted).map(|(_, text)| text.as_str());
            let shown = Shown { part: &part, method: "POST", path: PATH, query: self.query, path_key: None };
            profile(by_signature(&secrets(), &partner(&[AuthMode::Open]), &shown, BODY, NOW_S))
        }
    }

    fn profile(signed: Result<Option<SignedBy>, Denial>) -> Result<Option<Profile>, Denial> {
        signed.map(|signed| signed.map(|signed| signed.profile))
    }

    #[test]
    fn a_signature_that_holds_says_its_key_and_nonce() {
        let part = |wanted| {
            let right = Sender::right();
            let found = right.parts.iter().find(|(part, _)| *part == wanted).map(|(_, text)| text.clone());
            found.map(|text| &*text.leak())
        };
        let shown = Shown { part: &part, method: "POST", path: PATH, query: QUERY, path_key: None };
        let signed = by_signature(&secrets(), &partner(&[AuthMode::Signature]), &shown, BODY, NOW_S).unwrap().unwrap();
        assert_eq!((signed.key_id.as_str(), signed.nonce.as_str()), ("k1", "abcdefghijklmnop"));
    }

    #[test]
    fn a_signature_that_nobody_asked_for_must_hold() {
        assert_eq!(Sender::right().signs(), Ok(Some(Profile::Raw)));
        assert_eq!(Sender::right().without(AuthMode::Signature).0.signs(), Ok(None));
        let (wrong, cause) = Sender::right().wrong(AuthMode::Signature);
        assert_eq!(wrong.signs(), unproven(AuthMode::Signature, cause));
        let mut without_keys = secrets();
        without_keys.partner_keys.clear();
        for sender in [wrong, Sender::right()] {
            let asked = sender.asks(&without_keys, &[AuthMode::Open]);
            assert_eq!(asked, unproven(AuthMode::Signature, "no_keys"), "no key is held for it");
        }
        let unsigned = Sender::right().without(AuthMode::Signature).0;
        assert_eq!(unsigned.asks(&without_keys, &[AuthMode::Open]), Ok(None));
    }

    #[test]
    fn a_head_shows_whether_a_signature_may_hold() {
        let may = |sender: &Sender, auth: &[AuthMode]| {
            let part = |wanted| sender.parts.iter().find(|(part, _)| *part == wanted).map(|(_, text)| text.as_str());
            let shown = Shown { part: &part, method: "POST", path: PATH, query: QUERY, path_key: None };
            may_be_signed(&secrets(), &partner(auth), &shown, NOW_S)
        };
        let right = Sender::right();
        assert!(may(&right, &[AuthMode::Signature]) && may(&right, &[AuthMode::Open]));
        assert!(
            may(&right.clone().with(Part::Signature, Some("sha256=00")), &[AuthMode::Signature]),
            "its body decides"
        );
        let unsigned = right.clone().without(AuthMode::Signature).0;
        assert!(!may(&unsigned, &[AuthMode::Signature]) && may(&unsigned, &[AuthMode::Open]));
        for (part, text) in
            [(Part::KeyId, "k9"), (Part::Timestamp, "1763682000"), (Part::Nonce, "short"), (Part::Timestamp, "x")]
        {
            assert!(!may(&right.clone().with(part, Some(text)), &[AuthMode::Signature]), "{part:?} {text}");
        }
    }

    fn unproven(mode: AuthMode, cause: &'static str) -> Result<Option<Profile>, Denial> {
        Err(Denial::Unproven { mode, cause })
    }

    /// Each mode alone, and each two in both orders.
    fn alone_and_in_pairs() -> Vec<Vec<AuthMode>> {
        let pairs = MODES.iter().flat_map(|first| MODES.iter().map(|second| vec![*first, *second]));
        pairs
            .map(|mut pair| {
                pair.dedup();
                pair
            })
            .collect()
    }

    #[test]
    fn all_modes_of_a_partner_must_hold_and_no_others() {
        let secrets = secrets();
        let combinations = alone_and_in_pairs();
        assert_eq!(combinations.len(), 36);
        for auth in combinations {
            // A bearer that nobody asks to be a JSON Web Token is taken for the tenant's token.
            let right = match auth.contains(&AuthMode::Jwt) {
                true => Sender::right(),
                false => Sender::right().without(AuthMode::Jwt).0,
            };
            // One that is shown is checked whoever asks for it.
            let signed = Some(Profile::Raw);
            assert_eq!(right.asks(&secrets, &auth), Ok(signed), "{auth:?}");
            for mode in MODES.into_iter().filter(|mode| *mode != AuthMode::Jwt || auth.contains(mode)) {
                for (sender, cause) in [right.clone().without(mode), right.clone().wrong(mode)] {
                    // A changed query is no longer the one that was signed, which is noticed last.
                    let breaks_signature = mode == AuthMode::Token;
                    let expected = match (auth.contains(&mode), mode) {
                        (true, _) => unproven(mode, cause),
                        (false, AuthMode::Signature) if cause == MISSING => Ok(None),
                        (false, AuthMode::Signature) => unproven(mode, cause),
                        (false, _) if breaks_signature => unproven(AuthMode::Signature, "signature_mismatch"),
                        (false, _) => Ok(signed),
                    };
                    assert_eq!(sender.asks(&secrets, &auth), expected, "{auth:?}, {mode:?}");
                }
            }
        }
    }

    #[test]
    fn who_proves_nothing_is_refused_by_the_cheapest_mode() {
        let nobody = Sender { parts: Vec::new(), query: "", path_key: None };
        for auth in alone_and_in_pairs() {
            let first = MODES.into_iter().find(|mode| auth.contains(mode)).unwrap();
            let (_, cause) = Sender::right().without(first);
            assert_eq!(nobody.asks(&secrets(), &auth), unproven(first, cause), "{auth:?}");
        }
        assert_eq!(nobody.asks(&secrets(), &[AuthMode::Open]), Ok(None));
    }

    #[test]
    fn where_secrets_are_missing_nobody_is_believed() {
        let none = Secrets::default();
        for (mode, cause) in [
            (AuthMode::PathKey, "wrong_key"),
            (AuthMode::Token, "wrong_token"),
            (AuthMode::Jwt, "no_keys"),
            (AuthMode::Signature, "no_keys"),
        ] {
            assert_eq!(Sender::right().asks(&none, &[mode]), unproven(mode, cause));
        }
    }

    #[test]
    fn the_bearer_is_the_tenants_token_unless_it_is_a_json_web_token() {
        let unsigned = Sender::right().without(AuthMode::Signature).0;
        let bearer = |text: &str, query| Sender { query, ..unsigned.clone().with(Part::Authorization, Some(text)) };
        let (alone, both) = ([AuthMode::Token], [AuthMode::Token, AuthMode::Jwt]);
        let wrong = unproven(AuthMode::Token, "wrong_token");
        for (text, query, auth, expected) in [
            ("Bearer tenant-token", "", alone.as_slice(), Ok(None)),
            ("bearer  tenant-token ", "", &alone, Ok(None)),
            ("Bearer wrong", QUERY, &alone, wrong.clone()),
            ("Bearer ", QUERY, &alone, wrong),
            ("Basic tenant-token", "", &alone, unproven(AuthMode::Token, "missing")),
            ("Basic wrong", QUERY, &alone, Ok(None)),
            (JWT, QUERY, &both, Ok(None)),
            (JWT, "", &both, unproven(AuthMode::Token, "missing")),
            ("Bearer tenant-token", QUERY, &both, unproven(AuthMode::Jwt, "malformed")),
        ] {
            assert_eq!(bearer(text, query).asks(&secrets(), auth), expected, "{text} {query} {auth:?}");
        }
    }

    #[test]
    fn an_address_counts_by_its_value_and_not_by_its_spelling() {
        for (text, expected) in [
            ("203.0.113.255", Ok(None)),
            ("::ffff:203.0.113.5", Ok(None)),
            ("2001:DB8:A:0::1", Ok(None)),
            ("203.0.112.255", unproven(AuthMode::Ip, "not_allowed")),
            ("::203.0.113.5", unproven(AuthMode::Ip, "not_allowed")),
            ("2001:db8:b::1", unproven(AuthMode::Ip, "not_allowed")),
            ("203.0.113.5, 203.0.113.6", unproven(AuthMode::Ip, "no_address")),
            ("203.0.113.5:443", unproven(AuthMode::Ip, "no_address")),
            ("", unproven(AuthMode::Ip, "no_address")),
        ] {
            let sender = Sender::right().without(AuthMode::Signature).0.with(Part::ConnectingIp, Some(text));
            assert_eq!(sender.asks(&secrets(), &[AuthMode::Ip]), expected, "{text}");
        }
    }

    #[test]
    fn a_certificate_counts_only_when_the_platform_says_all_that_it_should() {
        let (other, capitals) = ("1f".repeat(32), "0F".repeat(32));
        let colons = ["0f"; 32].join(":");
        for (part, text, cause) in [
            (Part::CertificateSha256, Some(other.as_str()), None),
            (Part::CertificateSha256, Some(&capitals), None),
            (Part::CertificateSha256, Some(&colons), Some("not_pinned")),
            (Part::CertificateSha256, Some(""), Some("not_pinned")),
            (Part::CertificateSha256, None, Some("not_pinned")),
            (Part::CertificatePresented, Some("0"), Some("no_certificate")),
            (Part::CertificateVerified, Some("FAILED:expired"), Some("not_verified")),
            (Part::CertificateVerified, None, Some("not_verified")),
            (Part::CertificateRevoked, Some("1"), Some("revoked")),
            (Part::CertificateRevoked, None, Some("revoked")),
        ] {
            let expected = cause.map_or(Ok(None), |cause| unproven(AuthMode::Mtls, cause));
            let sender = Sender::right().without(AuthMode::Signature).0.with(part, text);
            assert_eq!(sender.asks(&secrets(), &[AuthMode::Mtls]), expected, "{part:?}");
        }
    }
}
