//! Edge to origin: HTTP Message Signatures (RFC 9421, `hmac-sha256`) in one fixed profile, with a Content-Digest (RFC
//! 9530) that is always there. Nothing is negotiated: the verifier takes three values out of `Signature-Input`, writes
//! the whole header again from them and compares byte for byte, so no structured-field parser is needed, and none can
//! be fooled.
//!
//! `@authority` and `@scheme` are not covered, because a tunnel may change both.

use crate::id::Nonce;
use crate::key::{KeySet, NoKey};
use crate::limits::SIGNATURE_WINDOW_S;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write;

/// The covered components, as they stand in `Signature-Input`.
const COMPONENTS: &str = r#"("@method" "@path" "@query" "content-digest" "bytec-event-id" "bytec-received-at" "bytec-auth" "bytec-client-ip" "bytec-original-target")"#;

/// Names of the headers that make up a signed request.
pub mod header {
    /// RFC 9530.
    pub const CONTENT_DIGEST: &str = "content-digest";
    /// RFC 9421.
    pub const SIGNATURE_INPUT: &str = "signature-input";
    /// RFC 9421.
    pub const SIGNATURE: &str = "signature";
    /// The event's id.
    pub const EVENT_ID: &str = "bytec-event-id";
    /// When the edge received the postback: RFC 3339, UTC.
    pub const RECEIVED_AT: &str = "bytec-received-at";
    /// The mode by which the edge believed the sender.
    pub const AUTH: &str = "bytec-auth";
    /// The sender's address as the edge saw it.
    pub const CLIENT_IP: &str = "bytec-client-ip";
    /// Path and query as the edge received them, secrets replaced.
    pub const ORIGINAL_TARGET: &str = "bytec-original-target";
    /// The edge's name of the request. Not covered: it only joins log lines.
    pub const REQUEST_ID: &str = "bytec-request-id";
    /// The verdict, in replies.
    pub const VERDICT: &str = "bytec-verdict";
    /// RFC 7240. Not covered: it changes what the answer says beside its verdict, and nothing else.
    pub const PREFER: &str = "prefer";
    /// Value of [`PREFER`]: the acknowledgement of a success is all that is wanted of the answer.
    pub const RETURN_MINIMAL: &str = "return=minimal";
    /// The origin's acknowledgement, see [`crate::acknowledgement`].
    pub const ACK: &str = "bytec-ack";
}

/// What is covered by the signature, beside the body, which its digest stands for.
#[derive(Clone, Copy, Debug)]
pub struct Covered<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path as it is sent.
    pub path: &'a str,
    /// The query as it is sent, without `?`.
    pub query: &'a str,
    /// Value of [`header::EVENT_ID`].
    pub event_id: &'a str,
    /// Value of [`header::RECEIVED_AT`].
    pub received_at: &'a str,
    /// Value of [`header::AUTH`].
    pub auth: &'a str,
    /// Value of [`header::CLIENT_IP`].
    pub client_ip: &'a str,
    /// Value of [`header::ORIGINAL_TARGET`].
    pub original_target: &'a str,
}

/// The three headers that a signature adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// Value of [`header::CONTENT_DIGEST`].
    pub content_digest: String,
    /// Value of [`header::SIGNATURE_INPUT`].
    pub signature_input: String,
    /// Value of [`header::SIGNATURE`].
    pub signature: String,
}

/// A signature that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which key it was made with.
    pub key_id: String,
    /// Once-only: the caller stores it with the event and refuses it a second time.
    pub nonce: Nonce,
}

/// Why a signature does not hold. For our log; the sender gets one answer for all of them (R13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A header of the profile is not as the profile writes it.
    Malformed,
    /// There is no key of that id.
    UnknownKey,
    /// The key is not yet, or no longer, in force.
    KeyNotInForce,
    /// Made too long ago, or on a clock that runs ahead.
    OutsideWindow,
    /// The body is not the one that was signed.
    DigestMismatch,
    /// The code is wrong: something covered was changed, or the key is another.
    SignatureMismatch,
}

impl Refusal {
    /// A stable word for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::UnknownKey => "unknown_key",
            Refusal::KeyNotInForce => "key_not_in_force",
            Refusal::OutsideWindow => "outside_window",
            Refusal::DigestMismatch => "digest_mismatch",
            Refusal::SignatureMismatch => "signature_mismatch",
        }
    }
}

impl From<NoKey> for Refusal {
    fn from(no_key: NoKey) -> Self {
        match no_key {
            NoKey::Unknown => Refusal::UnknownKey,
            NoKey::NotInForce => Refusal::KeyNotInForce,
        }
    }
}

/// Signs one attempt with its body, which may be empty. `created_s` is now in Unix seconds and `nonce` fresh, at every
/// attempt. None only when no key of the set is in force.
pub fn sign(keys: &KeySet, covered: &Covered<'_>, body: &[u8], created_s: i64, nonce: &Nonce) -> Option<Signed> {
    let key = keys.newest(created_s)?;
    let parameters = parameters(created_s, nonce, key.id());
    let content_digest = content_digest(body);
    let code = key.sign(base(covered, &content_digest, &parameters).as_bytes());
    Some(Signed {
        content_digest,
        signature_input: format!("sig1={parameters}"),
        signature: between_colons("sig1=:", &code),
    })
}

/// A request whose head was signed by the holder of a key. Its body has not been looked at: who has no key cannot make
/// us read one. Nothing is verified until [`Head::with_body`] says so.
#[derive(Clone, Debug)]
pub struct Head {
    verified: Verified,
    content_digest: String,
}

impl Head {
    /// Verifies the body against the signed digest, which is computed again over the received bytes: a changed body
    /// under the old header would otherwise pass.
    ///
    /// # Errors
    /// The body is not the one that was signed.
    pub fn with_body(self, body: &[u8]) -> Result<Verified, Refusal> {
        if content_digest(body) == self.content_digest { Ok(self.verified) } else { Err(Refusal::DigestMismatch) }
    }
}

/// Verifies the head of a request as it arrived: header shape, key id and tag, window, code. The body is next; the
/// nonce is the caller's to check, in the transaction that stores the event.
///
/// # Errors
/// The first of these that does not hold.
pub fn verify(keys: &KeySet, covered: &Covered<'_>, signed: &Signed, now_s: i64) -> Result<Head, Refusal> {
    let (created_s, nonce, key_id) = read_input(&signed.signature_input).ok_or(Refusal::Malformed)?;
    let parameters = parameters(created_s, &nonce, key_id);
    if signed.signature_input.strip_prefix("sig1=") != Some(parameters.as_str()) {
        return Err(Refusal::Malformed);
    }
    let code = signed.signature.strip_prefix("sig1=:").and_then(|rest| rest.strip_suffix(':'));
    let code = code.and_then(|code| STANDARD.decode(code).ok()).ok_or(Refusal::Malformed)?;
    let key = keys.get(key_id, now_s)?;
    if now_s.saturating_sub(created_s).saturating_abs() > SIGNATURE_WINDOW_S {
        return Err(Refusal::OutsideWindow);
    }
    if !key.verify(base(covered, &signed.content_digest, &parameters).as_bytes(), &code) {
        return Err(Refusal::SignatureMismatch);
    }
    let verified = Verified { key_id: key_id.to_owned(), nonce };
    Ok(Head { verified, content_digest: signed.content_digest.clone() })
}

/// `Signature-Input` without its label. The order of the parameters is part of the profile.
fn parameters(created_s: i64, nonce: &Nonce, key_id: &str) -> String {
    let expires_s = created_s.saturating_add(SIGNATURE_WINDOW_S);
    let mut text = String::with_capacity(384);
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        r#"{COMPONENTS};created={created_s};expires={expires_s};nonce="{nonce}";alg="hmac-sha256";keyid="{key_id}";tag="bytec-edge-v1""#
    );
    text
}

/// The values that a `Signature-Input` may vary in. What they stand in is compared by the caller.
fn read_input(input: &str) -> Option<(i64, Nonce, &str)> {
    let value = |name: &str, end: char| input.split_once(name)?.1.split_once(end).map(|(value, _)| value);
    let created_s = value(";created=", ';')?.parse().ok()?;
    let nonce = Nonce::parse(value(";nonce=\"", '"')?)?;
    let key_id = value(";keyid=\"", '"')?;
    Some((created_s, nonce, key_id))
}

fn content_digest(body: &[u8]) -> String {
    between_colons("sha-256=:", &Sha256::digest(body))
}

/// A byte sequence of structured fields (RFC 9651) behind its name: base64 between colons.
fn between_colons(begin: &str, bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    text.push_str(begin);
    STANDARD.encode_string(bytes, &mut text);
    text.push(':');
    text
}

/// The signature base of RFC 9421 section 2.5.
fn base(covered: &Covered<'_>, content_digest: &str, parameters: &str) -> String {
    let Covered { method, path, query, event_id, received_at, auth, client_ip, original_target } = covered;
    let varying = [method, path, query, event_id, received_at, original_target, content_digest, parameters];
    let mut text = String::with_capacity(varying.iter().map(|part| part.len()).fold(256, usize::saturating_add));
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "\"@method\": {method}\n\
         \"@path\": {path}\n\
         \"@query\": ?{query}\n\
         \"content-digest\": {content_digest}\n\
         \"bytec-event-id\": {event_id}\n\
         \"bytec-received-at\": {received_at}\n\
         \"bytec-auth\": {auth}\n\
         \"bytec-client-ip\": {client_ip}\n\
         \"bytec-original-target\": {original_target}\n\
         \"@signature-params\": {parameters}"
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW_S: i64 = 1_763_683_200;

    fn keys(byte: &str) -> KeySet {
        KeySet::parse(&format!("k1:{}", byte.repeat(32))).unwrap()
    }

    fn covered() -> Covered<'static> {
        Covered {
            method: "GET",
            path: "/postback/involve/event",
            query: "click_id=test123",
            event_id: "evt_1",
            received_at: "2025-11-21T00:00:00Z",
            auth: "open",
            client_ip: "192.0.2.1",
            original_target: "/involve/event?click_id=test123",
        }
    }

    fn nonce() -> Nonce {
        Nonce::from_bytes([7; 16])
    }

    fn signed() -> Signed {
        sign(&keys("0b"), &covered(), b"body", NOW_S, &nonce()).unwrap()
    }

    /// The whole verification, head and body.
    fn verified(
        keys: &KeySet,
        covered: &Covered<'_>,
        signed: &Signed,
        body: &[u8],
        now_s: i64,
    ) -> Result<Verified, Refusal> {
        verify(keys, covered, signed, now_s)?.with_body(body)
    }

    fn refusal(keys: &KeySet, covered: &Covered<'_>, signed: &Signed, now_s: i64) -> Option<Refusal> {
        verified(keys, covered, signed, b"body", now_s).err()
    }

    #[test]
    fn rfc_9421_b_2_5_is_met_by_the_hash() {
        use hmac::{Hmac, KeyInit, Mac};
        let secret = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
        let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@authority\": example.com\n\"content-type\": application/json\n\
            \"@signature-params\": (\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"";
        let mut mac = Hmac::<Sha256>::new_from_slice(&STANDARD.decode(secret).unwrap()).unwrap();
        mac.update(base.as_bytes());
        assert_eq!(STANDARD.encode(mac.finalize().into_bytes()), "pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=");
    }

    #[test]
    fn what_was_signed_verifies_within_the_window() {
        for now_s in [NOW_S - 300, NOW_S, NOW_S + 300] {
            let verified = verified(&keys("0b"), &covered(), &signed(), b"body", now_s).unwrap();
            assert_eq!(verified, Verified { key_id: "k1".to_owned(), nonce: nonce() });
        }
        for now_s in [NOW_S - 301, NOW_S + 301, i64::MIN, i64::MAX] {
            assert_eq!(refusal(&keys("0b"), &covered(), &signed(), now_s), Some(Refusal::OutsideWindow));
        }
    }

    #[test]
    fn a_change_of_anything_covered_is_refused() {
        let good = covered();
        let changes = [
            Covered { method: "POST", ..good },
            Covered { path: "/postback/rector/event", ..good },
            Covered { query: "click_id=test124", ..good },
            Covered { event_id: "evt_2", ..good },
            Covered { received_at: "2025-11-21T00:00:01Z", ..good },
            Covered { auth: "token", ..good },
            Covered { client_ip: "192.0.2.2", ..good },
            Covered { original_target: "/", ..good },
        ];
        for changed in changes {
            assert_eq!(
                refusal(&keys("0b"), &changed, &signed(), NOW_S),
                Some(Refusal::SignatureMismatch),
                "{changed:?}"
            );
        }
        let changed = verified(&keys("0b"), &good, &signed(), b"Body", NOW_S);
        assert_eq!(changed, Err(Refusal::DigestMismatch));
    }

    #[test]
    fn a_changed_body_with_its_own_digest_is_refused() {
        let forged = Signed { content_digest: content_digest(b"x"), ..signed() };
        let changed = verified(&keys("0b"), &covered(), &forged, b"x", NOW_S);
        assert_eq!(changed, Err(Refusal::SignatureMismatch));
    }

    #[test]
    fn another_key_is_refused() {
        assert_eq!(refusal(&keys("0c"), &covered(), &signed(), NOW_S), Some(Refusal::SignatureMismatch));
        let other = KeySet::parse(&format!("k2:{}", "0b".repeat(32))).unwrap();
        assert_eq!(refusal(&other, &covered(), &signed(), NOW_S), Some(Refusal::UnknownKey));
        let old = KeySet::parse(&format!("k1:{}@/2025-11-21", "0b".repeat(32))).unwrap();
        assert_eq!(refusal(&old, &covered(), &signed(), NOW_S), Some(Refusal::KeyNotInForce));
        assert!(sign(&old, &covered(), b"", NOW_S, &nonce()).is_none());
    }

    #[test]
    fn a_signature_input_that_strays_from_the_profile_is_refused() {
        let good = signed();
        for (find, replace) in [
            ("\"@query\" ", ""),
            ("hmac-sha256", "none"),
            ("bytec-edge-v1", "other"),
            (";expires=1763683500", ";expires=9763683500"),
            ("sig1=", "sig2="),
            (";tag=", ";x=\"y\";tag="),
            (";created=", ";  created="),
            (";created=1763683200", ";created=01763683200"),
        ] {
            let input = good.signature_input.replace(find, replace);
            assert_ne!(input, good.signature_input, "{find}");
            let strayed = Signed { signature_input: input, ..good.clone() };
            assert_eq!(refusal(&keys("0b"), &covered(), &strayed, NOW_S), Some(Refusal::Malformed), "{replace}");
        }
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused_without_a_panic(which in 0usize..3, position in any::<prop::sample::Index>(), bit in 0u8..7) {
            let mut forged = signed();
            let text = match which {
                0 => &mut forged.content_digest,
                1 => &mut forged.signature_input,
                _ => &mut forged.signature,
            };
            let mut bytes = text.clone().into_bytes();
            bytes[position.index(text.len())] ^= 1 << bit;
            *text = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(refusal(&keys("0b"), &covered(), &forged, NOW_S).is_some());
        }

        #[test]
        fn any_headers_are_refused_without_a_panic(input in ".{0,200}", signature in ".{0,80}", digest in ".{0,60}") {
            let forged = Signed { content_digest: digest, signature_input: input, signature };
            prop_assert!(refusal(&keys("0b"), &covered(), &forged, NOW_S).is_some());
        }
    }
}
