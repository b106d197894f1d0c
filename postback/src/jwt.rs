//! Partner to us: a JSON Web Token as bearer (RFC 7519), for partners whose platforms make them anyway. A token does not
//! bind what is sent with it, so it adds to a signature and does not replace one.
//!
//! Nothing is negotiated: each key id has its one algorithm on our side, the header may not bring keys of its own, and a
//! token lives fifteen minutes at most. Parsing and checking signatures is `jsonwebtoken`'s, with the hashes that the rest
//! of this crate uses; times are checked here, because the clock is an argument.

use crate::key::{Key, KeyProblem, KeySet, Validity, split_entry};
use crate::partner::JwtExpected;
use ed25519_dalek::VerifyingKey;
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, decode_header};
use serde::Deserialize;
use sha2::Sha256;
use std::fmt;

/// How long a token may be valid for, in seconds.
const LIFE_S_MAX: i64 = 900;
/// How far the clocks of issuer and verifier may stand apart, in seconds.
const LEEWAY_S: i64 = 60;
/// Bytes of a token at most.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// Keys that tokens are verified with, by id.
#[derive(Clone)]
pub struct JwtKeys {
    keys: Vec<JwtKey>,
}

#[derive(Clone)]
struct JwtKey {
    id: String,
    algorithm: Algorithm,
    key: DecodingKey,
    validity: Validity,
    /// The same secret as a key of ours, to compare it with others; none for a public key.
    secret: Option<Key>,
}

/// A token that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Which key it was made with.
    pub key_id: String,
    /// `sub`, where it says so.
    pub subject: Option<String>,
}

/// Why a token does not hold. For our log; the sender gets one answer for every cause (R13).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not a token of this profile: its shape, an algorithm or header member that is not allowed, a claim missing.
    Malformed,
    /// No key of that id, or one that is not in force.
    UnknownKey,
    /// Not the algorithm that the key is for.
    WrongAlgorithm,
    /// The signature is wrong.
    SignatureMismatch,
    /// Issued by or for somebody else.
    WrongParty,
    /// Not valid yet, no longer, or for too long.
    OutsideWindow,
}

impl Refusal {
    /// A stable word for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Refusal::Malformed => "malformed",
            Refusal::UnknownKey => "unknown_key",
            Refusal::WrongAlgorithm => "wrong_algorithm",
            Refusal::SignatureMismatch => "signature_mismatch",
            Refusal::WrongParty => "wrong_party",
            Refusal::OutsideWindow => "outside_window",
        }
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Audience,
    exp: i64,
    iat: i64,
    nbf: Option<i64>,
    sub: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Several(Vec<String>),
}

impl JwtKeys {
    /// Reads `id:HS256:hex,id:EdDSA:hex,...`: a secret of 32 bytes, or a public Ed25519 key, in hexadecimal digits. Behind a
    /// key may stand when it is in force: `@from/until`.
    ///
    /// # Errors
    /// What is wrong with it, without showing it.
    pub fn parse(text: &str) -> Result<JwtKeys, KeyProblem> {
        let mut keys: Vec<JwtKey> = Vec::new();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (id, rest, validity) = split_entry(entry)?;
            let (algorithm, hex_digits) = rest.split_once(':').ok_or(KeyProblem::Entry)?;
            // Also checks the id and the length, which are the same for both kinds.
            let secret = Key::parse(id, hex_digits)?;
            let mut bytes = [0_u8; 32];
            hex::decode_to_slice(hex_digits, &mut bytes).map_err(|_| KeyProblem::Secret)?;
            let (algorithm, key, secret) = match algorithm {
                "HS256" => (Algorithm::HS256, DecodingKey::from_secret(&bytes), Some(secret)),
                "EdDSA" => {
                    VerifyingKey::from_bytes(&bytes).map_err(|_| KeyProblem::Secret)?;
                    (Algorithm::EdDSA, DecodingKey::from_ed_der(&bytes), None)
                }
                _ => return Err(KeyProblem::Algorithm),
            };
            if keys.iter().any(|known| known.id == id) {
                return Err(KeyProblem::Repeated);
            }
            keys.push(JwtKey { id: id.to_owned(), algorithm, key, validity, secret });
        }
        if keys.is_empty() { Err(KeyProblem::None) } else { Ok(JwtKeys { keys }) }
    }

    /// Whether a secret is also one of the set's: a key is for one purpose.
    pub fn shares_a_secret_with(&self, set: &KeySet) -> bool {
        let secrets = || self.keys.iter().filter_map(|key| key.secret.as_ref());
        set.iter().any(|key| secrets().any(|secret| secret.is_same_secret(key)))
    }

    /// Verifies a token at `now_s` (Unix seconds): shape, key and its algorithm, signature, issuer and audience, times.
    ///
    /// # Errors
    /// The first of these that does not hold.
    pub fn verify(&self, token: &str, expected: &JwtExpected, now_s: i64) -> Result<Verified, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed);
        }
        let header = decode_header(token).map_err(|_| Refusal::Malformed)?;
        if brings_its_own(&header) {
            return Err(Refusal::Malformed);
        }
        let key_id = header.kid.ok_or(Refusal::Malformed)?;
        let key = self.keys.iter().find(|key| key.id == key_id && key.validity.contains(now_s));
        let key = key.ok_or(Refusal::UnknownKey)?;
        if header.alg != key.algorithm {
            return Err(Refusal::WrongAlgorithm);
        }
        let claims = claims(token, key)?;
        let is_for_us = match &claims.aud {
            Audience::One(audience) => *audience == expected.audience,
            Audience::Several(audiences) => audiences.contains(&expected.audience),
        };
        if claims.iss != expected.issuer || !is_for_us {
            return Err(Refusal::WrongParty);
        }
        check_times(&claims, now_s)?;
        Ok(Verified { key_id, subject: claims.sub })
    }
}

/// Keys show their ids alone.
impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.keys.iter().map(|key| key.id.as_str()).collect();
        write!(f, "JwtKeys({}, redacted)", ids.join(", "))
    }
}

/// Whether a header points to keys of its own, or asks for what is not understood here (RFC 8725, section 3).
fn brings_its_own(header: &Header) -> bool {
    let Header { typ, alg: _, cty, jku, jwk, kid: _, x5u, x5c, x5t, x5t_s256, crit, enc, zip, url, nonce, extras } =
        header;
    let members = [
        typ.as_deref().is_some_and(|typ| !typ.eq_ignore_ascii_case("jwt")),
        cty.is_some() || jku.is_some() || jwk.is_some() || x5u.is_some() || x5c.is_some() || x5t.is_some(),
        x5t_s256.is_some() || crit.is_some() || enc.is_some() || zip.is_some() || url.is_some() || nonce.is_some(),
        extras.inner().contains_key("b64"),
    ];
    members.contains(&true)
}

fn claims(token: &str, key: &JwtKey) -> Result<Claims, Refusal> {
    // Only the first installation in a process takes effect; it is always this one.
    let _ = PROVIDER.install_default();
    let mut signature_only = Validation::new(key.algorithm);
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_nbf = false;
    signature_only.validate_aud = false;
    let decoded = decode::<Claims>(token, &key.key, &signature_only);
    decoded.map(|data| data.claims).map_err(|error| {
        let is_mismatch = matches!(error.kind(), ErrorKind::InvalidSignature);
        if is_mismatch { Refusal::SignatureMismatch } else { Refusal::Malformed }
    })
}

fn check_times(claims: &Claims, now_s: i64) -> Result<(), Refusal> {
    let Claims { exp, iat, nbf, .. } = *claims;
    let life_s = exp.checked_sub(iat).ok_or(Refusal::OutsideWindow)?;
    let latest_s = now_s.saturating_add(LEEWAY_S);
    let earliest_s = now_s.saturating_sub(LEEWAY_S);
    let holds = (1..=LIFE_S_MAX).contains(&life_s)
        && exp > earliest_s
        && iat <= latest_s
        && nbf.is_none_or(|nbf| nbf <= latest_s);
    if holds { Ok(()) } else { Err(Refusal::OutsideWindow) }
}

/// The two algorithms, over the crates that this crate uses anyway. The features of `jsonwebtoken` would bring RSA and the
/// NIST curves along.
static PROVIDER: CryptoProvider =
    CryptoProvider { signer_factory: no_signer, verifier_factory: verifier, key_utils: KeyUtils::new_unimplemented() };

fn no_signer(_: &Algorithm, _: &EncodingKey) -> Result<Box<dyn JwtSigner>, Error> {
    Err(ErrorKind::InvalidAlgorithm.into())
}

fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>, Error> {
    let bytes = key.try_get_as_bytes()?;
    let invalid = || Error::from(ErrorKind::InvalidKeyFormat);
    if *algorithm == Algorithm::HS256 {
        return Ok(Box::new(Hs256(Hmac::new_from_slice(bytes).map_err(|_| invalid())?)));
    }
    if *algorithm == Algorithm::EdDSA {
        let bytes = <&[u8; 32]>::try_from(bytes).map_err(|_| invalid())?;
        return Ok(Box::new(EdDsa(VerifyingKey::from_bytes(bytes).map_err(|_| invalid())?)));
    }
    Err(ErrorKind::InvalidAlgorithm.into())
}

struct Hs256(Hmac<Sha256>);

impl signature::Verifier<Vec<u8>> for Hs256 {
    fn verify(&self, message: &[u8], code: &Vec<u8>) -> Result<(), signature::Error> {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.verify_slice(code).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for Hs256 {
    fn algorithm(&self) -> Algorithm {
        Algorithm::HS256
    }
}

struct EdDsa(VerifyingKey);

impl signature::Verifier<Vec<u8>> for EdDsa {
    fn verify(&self, message: &[u8], code: &Vec<u8>) -> Result<(), signature::Error> {
        let code = <&[u8; 64]>::try_from(code.as_slice()).map_err(|_| signature::Error::new())?;
        let code = ed25519_dalek::Signature::from_bytes(code);
        self.0.verify_strict(message, &code).map_err(|_| signature::Error::new())
    }
}

impl JwtVerifier for EdDsa {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use ed25519_dalek::{Signer, SigningKey};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    const NOW_S: i64 = 1_763_683_200;
    const HEX: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn expected() -> JwtExpected {
        JwtExpected { issuer: "them".to_owned(), audience: "bytec".to_owned() }
    }

    fn signing_key() -> SigningKey {
        SigningKey::from_bytes(&[7; 32])
    }

    fn keys() -> JwtKeys {
        let public = hex::encode(signing_key().verifying_key().to_bytes());
        JwtKeys::parse(&format!("h:HS256:{HEX}, e:EdDSA:{public}, old:HS256:{}@/2020-01-01", HEX.replace("00", "ff")))
            .unwrap()
    }

    fn claims() -> Value {
        json!({"iss": "them", "aud": "bytec", "iat": NOW_S, "exp": NOW_S + 900, "sub": "u1"})
    }

    /// A token of any header and claims, signed rightly for `alg`.
    fn token(header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let code = if header["alg"] == "EdDSA" {
            signing_key().sign(message.as_bytes()).to_bytes().to_vec()
        } else {
            let hex_digits = if header["kid"] == "old" { HEX.replace("00", "ff") } else { HEX.to_owned() };
            Key::parse("x", &hex_digits).unwrap().sign(message.as_bytes()).to_vec()
        };
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(code))
    }

    fn with(claims: Value, name: &str, value: Value) -> Value {
        let mut claims = claims;
        claims[name] = value;
        claims
    }

    fn verify(header: &Value, claims: &Value) -> Result<Verified, Refusal> {
        keys().verify(&token(header, claims), &expected(), NOW_S)
    }

    fn hs256() -> Value {
        json!({"alg": "HS256", "typ": "JWT", "kid": "h"})
    }

    #[test]
    fn a_token_of_either_algorithm_holds() {
        let subject = Some("u1".to_owned());
        assert_eq!(verify(&hs256(), &claims()), Ok(Verified { key_id: "h".to_owned(), subject: subject.clone() }));
        let header = json!({"alg": "EdDSA", "kid": "e"});
        assert_eq!(verify(&header, &claims()), Ok(Verified { key_id: "e".to_owned(), subject }));
        assert!(verify(&hs256(), &with(claims(), "aud", json!(["x", "bytec"]))).is_ok());
    }

    #[test]
    fn a_header_cannot_choose_key_or_algorithm() {
        let header = |change: Value| {
            let mut header = hs256();
            for (name, value) in change.as_object().unwrap() {
                header[name] = value.clone();
            }
            verify(&header, &claims()).unwrap_err()
        };
        for (change, refusal) in [
            (json!({"alg": "none"}), Refusal::Malformed),
            (json!({"alg": "HS512"}), Refusal::WrongAlgorithm),
            (json!({"alg": "EdDSA"}), Refusal::WrongAlgorithm),
            (json!({"alg": "RS256"}), Refusal::WrongAlgorithm),
            // The public key of another id, taken for a secret: the classic confusion.
            (json!({"kid": "e"}), Refusal::WrongAlgorithm),
            (json!({"kid": "nobody"}), Refusal::UnknownKey),
            (json!({"kid": "old"}), Refusal::UnknownKey),
            (json!({"kid": null}), Refusal::Malformed),
            (json!({"typ": "at+jwt"}), Refusal::Malformed),
            (json!({"jku": "https://evil.example"}), Refusal::Malformed),
            (json!({"x5u": "https://evil.example"}), Refusal::Malformed),
            (json!({"x5c": ["AA"]}), Refusal::Malformed),
            (json!({"jwk": {"kty": "oct", "k": "AA"}}), Refusal::Malformed),
            (json!({"crit": ["exp"]}), Refusal::Malformed),
            (json!({"b64": false}), Refusal::Malformed),
            (json!({"zip": "DEF"}), Refusal::Malformed),
            (json!({"cty": "JWT"}), Refusal::Malformed),
            (json!({"x5t": "AA"}), Refusal::Malformed),
            (json!({"x5t#S256": "AA"}), Refusal::Malformed),
            (json!({"enc": "A128GCM"}), Refusal::Malformed),
            (json!({"url": "https://evil.example"}), Refusal::Malformed),
            (json!({"nonce": "x"}), Refusal::Malformed),
        ] {
            assert_eq!(header(change.clone()), refusal, "{change}");
        }
    }

    #[test]
    fn claims_are_all_there_and_ours() {
        for name in ["iss", "aud", "exp", "iat"] {
            assert_eq!(verify(&hs256(), &with(claims(), name, Value::Null)), Err(Refusal::Malformed), "{name}");
        }
        for (name, value) in [("iss", json!("us")), ("aud", json!("other")), ("aud", json!([]))] {
            assert_eq!(verify(&hs256(), &with(claims(), name, value)), Err(Refusal::WrongParty), "{name}");
        }
        for value in [json!("1763683200"), json!(1.5), json!(1e300)] {
            assert_eq!(verify(&hs256(), &with(claims(), "exp", value)), Err(Refusal::Malformed));
        }
    }

    #[test]
    fn a_token_is_short_lived_and_timely() {
        let at = |iat: i64, exp: i64, nbf: Option<i64>| {
            let claims = with(with(claims(), "iat", json!(iat)), "exp", json!(exp));
            verify(&hs256(), &nbf.map_or(claims.clone(), |nbf| with(claims, "nbf", json!(nbf)))).is_ok()
        };
        assert!(at(NOW_S, NOW_S + 900, None));
        assert!(!at(NOW_S, NOW_S + 901, None), "too long a life");
        assert!(!at(NOW_S, NOW_S, None), "no life at all");
        assert!(at(NOW_S - 900, NOW_S - 59, None) && !at(NOW_S - 900, NOW_S - 60, None), "leeway at the end");
        assert!(at(NOW_S + 60, NOW_S + 61, None) && !at(NOW_S + 61, NOW_S + 100, None), "leeway at the beginning");
        assert!(at(NOW_S, NOW_S + 900, Some(NOW_S + 60)) && !at(NOW_S, NOW_S + 900, Some(NOW_S + 61)));
        assert!(!at(i64::MIN, i64::MAX, None) && !at(i64::MAX, i64::MIN, None));
    }

    #[test]
    fn keys_are_read_or_say_what_is_wrong_and_show_nothing() {
        for (text, problem) in [
            ("", KeyProblem::None),
            ("h", KeyProblem::Entry),
            ("h:00", KeyProblem::Entry),
            ("h:HS256:00", KeyProblem::Secret),
            ("h:HS512:HEX", KeyProblem::Algorithm),
            ("h:none:HEX", KeyProblem::Algorithm),
            ("h:HS256:HEX,h:HS256:HEX", KeyProblem::Repeated),
            ("h h:HS256:HEX", KeyProblem::Id),
            ("h:HS256:HEX@x", KeyProblem::Validity),
        ] {
            assert_eq!(JwtKeys::parse(&text.replace("HEX", HEX)).unwrap_err(), problem, "{text}");
        }
        assert!(!format!("{:?}", keys()).contains("0001"));
        let shared = KeySet::parse(&format!("x:{HEX}")).unwrap();
        let own = KeySet::parse(&format!("x:{}", HEX.replace("00", "aa"))).unwrap();
        assert!(keys().shares_a_secret_with(&shared) && !keys().shares_a_secret_with(&own));
    }

    proptest! {
        #[test]
        fn any_flipped_bit_is_refused_without_a_panic(position in any::<prop::sample::Index>(), bit in 0u8..7, eddsa: bool) {
            let header = if eddsa { json!({"alg": "EdDSA", "kid": "e"}) } else { hs256() };
            let mut bytes = token(&header, &claims()).into_bytes();
            let position = position.index(bytes.len());
            bytes[position] ^= 1 << bit;
            let token = String::from_utf8_lossy(&bytes).into_owned();
            prop_assert!(keys().verify(&token, &expected(), NOW_S).is_err());
        }

        #[test]
        fn any_text_is_refused_without_a_panic(token in "[ -~]{0,200}|[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}\\.[A-Za-z0-9_-]{0,80}") {
            prop_assert!(keys().verify(&token, &expected(), NOW_S).is_err());
        }
    }
}
