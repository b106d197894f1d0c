//! Partner to us: the `bytec-v1` signature, in headers or, for senders that cannot set headers, in the query. HMAC-SHA256
//! over eight lines; parameters are put into one canonical order and spelling first, the body is hashed as it came.

mod jcs;

pub use jcs::canonical_json;

use crate::id::{ContentDigest, Nonce};
use crate::key::{Key, KeySet, NoKey};
use crate::limits::SIGNATURE_WINDOW_S;
use crate::params::{SIGNATURE_PARAMS, decode_pairs, params_named};
use crate::percent;
use crate::postback::Postback;
use crate::rejection::{Code, Rejection};
use sha2::{Digest, Sha256};

/// Signatures that one request may carry, so that a sender can change keys.
const SIGNATURES_MAX: usize = 3;

/// Names of the headers, as they are looked up.
pub mod header {
    /// The key's id.
    pub const KEY_ID: &str = "x-key-id";
    /// Unix seconds.
    pub const TIMESTAMP: &str = "x-timestamp";
    /// 16 to 64 of `A-Za-z0-9_-`.
    pub const NONCE: &str = "x-nonce";
    /// `sha256=<64 lower-case hex>`, up to three, separated by commas.
    pub const SIGNATURE: &str = "x-signature";
    /// What is hashed of the body; absent for its bytes.
    pub const PROFILE: &str = "x-signature-profile";
}

/// What of the body is signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Its bytes as they came.
    #[default]
    Raw,
    /// Its RFC 8785 form.
    Jcs,
}

/// What a signature says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presented {
    /// Which key.
    pub key_id: String,
    /// Unix seconds, as text.
    pub timestamp: String,
    /// Chosen by the sender.
    pub nonce: String,
    /// `sha256=...`, up to three.
    pub signature: String,
    /// What of the body is signed.
    pub profile: Profile,
}

/// A signature that holds: who signed, and under which nonce.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedBy {
    /// The key.
    pub key_id: String,
    /// Chosen by the sender.
    pub nonce: String,
    /// What of the body was signed.
    pub profile: Profile,
}

impl SignedBy {
    /// The name of the request that carried the signature and was read into `postback`. A request that is captured and sent again has
    /// the same name, so it is the same receipt and never a further notice.
    ///
    /// The event and its identity are part of it: a sender that signs two postbacks with one nonce means both, and neither may take the
    /// other's place where requests are kept by name.
    pub fn request_id(&self, partner_code: &str, postback: &Postback) -> Nonce {
        let mut digest = ContentDigest::of("bytec-receipt-v1");
        let parts = [partner_code, &self.key_id, &self.nonce, postback.event_id().as_str(), &postback.fingerprint()];
        for part in parts {
            digest.add(part);
        }
        digest.into_nonce()
    }
}

/// The request that was signed, as it came.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// In capitals.
    pub method: &'a str,
    /// The path.
    pub path: &'a str,
    /// The query without `?`.
    pub query: &'a str,
    /// The body's bytes.
    pub body: &'a [u8],
}

/// Why a request is not believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The request has no form that could be signed: the sender is told what to change.
    Unsignable(Rejection),
    /// The signature does not hold: the sender gets one answer for every cause, our log gets the cause (R13).
    Invalid(Cause),
}

/// Why a signature does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// A part is missing, there twice, or not as it is written.
    Malformed,
    /// There is no key of that id.
    UnknownKey,
    /// The key is not yet, or no longer, in force.
    KeyNotInForce,
    /// Made too long ago, or on a clock that runs ahead.
    OutsideWindow,
    /// The code is wrong: something signed was changed, or the key is another.
    Mismatch,
}

impl Cause {
    /// A stable word for logs.
    pub const fn name(self) -> &'static str {
        match self {
            Cause::Malformed => "malformed",
            Cause::UnknownKey => "unknown_key",
            Cause::KeyNotInForce => "key_not_in_force",
            Cause::OutsideWindow => "outside_window",
            Cause::Mismatch => "signature_mismatch",
        }
    }
}

impl From<NoKey> for Cause {
    fn from(no_key: NoKey) -> Self {
        match no_key {
            NoKey::Unknown => Cause::UnknownKey,
            NoKey::NotInForce => Cause::KeyNotInForce,
        }
    }
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Refusal::Invalid(cause)
    }
}

impl Presented {
    /// Finds the signature that a request carries: in headers, given by `header` (None where a header is absent, `Err` where
    /// it is there twice or is no text), or in the query. None when it carries none.
    ///
    /// # Errors
    /// Both forms at once (`two_signatures`), a part that is missing or there twice.
    pub fn find(
        header: impl Fn(&str) -> Result<Option<String>, ()>,
        query: &str,
    ) -> Result<Option<Presented>, Refusal> {
        let header = |name: &str| header(name).map_err(|()| Refusal::from(Cause::Malformed));
        let in_query = query_form(query)?;
        let in_headers = header(header::SIGNATURE)?;
        match (in_headers, in_query) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(Refusal::Unsignable(Rejection::of(
                Code::TwoSignatures,
                "sign either in headers or in the query, not in both",
            ))),
            (None, Some(presented)) => Ok(Some(presented)),
            (Some(signature), None) => {
                let needed = |name: &str| header(name)?.ok_or(Refusal::from(Cause::Malformed));
                let profile = match header(header::PROFILE)?.as_deref() {
                    None => Profile::Raw,
                    Some("jcs") => Profile::Jcs,
                    Some(_) => return Err(Cause::Malformed.into()),
                };
                let (key_id, timestamp, nonce) =
                    (needed(header::KEY_ID)?, needed(header::TIMESTAMP)?, needed(header::NONCE)?);
                Ok(Some(Presented { key_id, timestamp, nonce, signature, profile }))
            }
        }
    }
}

/// The signature in a query, found without judging the rest of it. It is there as soon as `_sig` is.
fn query_form(query: &str) -> Result<Option<Presented>, Refusal> {
    let [key_id, timestamp, nonce, signature] = SIGNATURE_PARAMS.map(|name| params_named(query, name));
    if signature.is_empty() {
        return Ok(None);
    }
    let one = |values: Vec<Option<String>>| match <[Option<String>; 1]>::try_from(values) {
        Ok([Some(value)]) => Ok(value),
        Ok([None]) | Err(_) => Err(Refusal::from(Cause::Malformed)),
    };
    Ok(Some(Presented {
        key_id: one(key_id)?,
        timestamp: one(timestamp)?,
        nonce: one(nonce)?,
        signature: one(signature)?,
        profile: Profile::Raw,
    }))
}

/// Whether a signature proves that the holder of a key sent the request, within the window around `now_s` (Unix seconds).
///
/// # Errors
/// Why not.
pub fn verify(keys: &KeySet, presented: &Presented, request: &Request<'_>, now_s: i64) -> Result<(), Refusal> {
    let text = string_to_sign(presented, request).map_err(Refusal::Unsignable)?;
    let signatures: Vec<_> = presented.signature.split(',').map(str::trim).collect();
    let signed_s = canonical_number(&presented.timestamp).ok_or(Cause::Malformed)?;
    if !good_nonce(&presented.nonce) || signatures.len() > SIGNATURES_MAX {
        return Err(Cause::Malformed.into());
    }
    let key = keys.get(&presented.key_id, now_s).map_err(Cause::from)?;
    if now_s.saturating_sub(signed_s).saturating_abs() > SIGNATURE_WINDOW_S {
        return Err(Cause::OutsideWindow.into());
    }
    let holds = |signature: &&str| {
        let digits = signature.strip_prefix("sha256=").filter(|hex| !hex.bytes().any(|b| b.is_ascii_uppercase()));
        digits.and_then(|digits| hex::decode(digits).ok()).is_some_and(|code| key.verify(text.as_bytes(), &code))
    };
    if signatures.iter().any(holds) { Ok(()) } else { Err(Cause::Mismatch.into()) }
}

/// Whether a signature may hold, as far as its parts show without the request: a key in force, a time within the window around `now_s`.
pub fn may_hold(keys: &KeySet, presented: &Presented, now_s: i64) -> bool {
    let is_near = |signed_s: i64| now_s.saturating_sub(signed_s).saturating_abs() <= SIGNATURE_WINDOW_S;
    good_nonce(&presented.nonce)
        && keys.get(&presented.key_id, now_s).is_ok()
        && canonical_number(&presented.timestamp).is_some_and(is_near)
}

/// Who signed a request, by a signature that holds as in [`verify`].
///
/// # Errors
/// Why it does not.
pub fn signed_by(keys: &KeySet, presented: Presented, request: &Request<'_>, now_s: i64) -> Result<SignedBy, Refusal> {
    verify(keys, &presented, request, now_s)?;
    let Presented { key_id, nonce, profile, .. } = presented;
    Ok(SignedBy { key_id, nonce, profile })
}

/// Signs as a sender does; `presented.signature` is not looked at. Answers the value of `X-Signature` or `_sig`.
///
/// # Errors
/// When the request cannot be signed.
pub fn sign(key: &Key, presented: &Presented, request: &Request<'_>) -> Result<String, Rejection> {
    let text = string_to_sign(presented, request)?;
    Ok(format!("sha256={}", hex::encode(key.sign(text.as_bytes()))))
}

/// The eight lines.
///
/// # Errors
/// `bad_path`; the codes of [`canonical_query`]; those of [`canonical_json`] in its profile.
pub fn string_to_sign(presented: &Presented, request: &Request<'_>) -> Result<String, Rejection> {
    let Presented { key_id, timestamp, nonce, signature: _, profile } = presented;
    let Request { method, path, query, body } = request;
    if !good_path(path) {
        let hint = "a signed path is segments of A-Za-z0-9._~-, none empty, '.' or '..', and not percent-encoded";
        return Err(Rejection::of(Code::BadPath, hint));
    }
    let query = canonical_query(query)?;
    let digest = match profile {
        Profile::Raw => Sha256::digest(body),
        Profile::Jcs => Sha256::digest(canonical_json(body)?),
    };
    Ok(format!("bytec-v1\n{key_id}\n{timestamp}\n{nonce}\n{method}\n{path}\n{query}\n{}", hex::encode(digest)))
}

/// A query in its one canonical order and spelling, `_sig` left out.
///
/// # Errors
/// `bad_percent`, `bad_utf8`, `control_char`, a limit's code, or `duplicate_param` for any name that is there twice.
pub fn canonical_query(raw: &str) -> Result<String, Rejection> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in decode_pairs(raw)? {
        if name == SIGNATURE_PARAMS[3] {
            continue;
        }
        let encoded = (encode(&name), encode(&value));
        if pairs.iter().any(|(known, _)| *known == encoded.0) {
            return Err(Rejection::at(Code::DuplicateParam, &name, "send each name once in a signed request"));
        }
        pairs.push(encoded);
    }
    pairs.sort();
    Ok(pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&"))
}

fn encode(text: &str) -> String {
    percent::encode(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// A number in the one spelling that its value has.
fn canonical_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

/// Whether a text can be a nonce: 16 to 64 of `A-Za-z0-9_-`.
pub fn good_nonce(nonce: &str) -> bool {
    (16..=64).contains(&nonce.len()) && nonce.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
}

/// `(/[A-Za-z0-9._~-]+)+` without `.` and `..` segments: refused otherwise, never normalised.
fn good_path(path: &str) -> bool {
    path.strip_prefix('/').is_some_and(|rest| {
        rest.split('/').all(|segment| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~-".contains(&b))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const VECTORS: &str = include_str!("../../testdata/bytec_v1.json");

    fn vectors() -> Vec<Value> {
        serde_json::from_str(VECTORS).unwrap()
    }

    fn text<'v>(vector: &'v Value, name: &str) -> &'v str {
        vector[name].as_str().unwrap()
    }

    fn keys(vector: &Value) -> KeySet {
        KeySet::parse(&format!("{}:{}", text(vector, "kid"), text(vector, "key_hex"))).unwrap()
    }

    fn presented(vector: &Value) -> Presented {
        Presented {
            key_id: text(vector, "kid").to_owned(),
            timestamp: vector["ts"].to_string(),
            nonce: text(vector, "nonce").to_owned(),
            signature: text(vector, "signature").to_owned(),
            profile: if text(vector, "name").contains("JCS") { Profile::Jcs } else { Profile::Raw },
        }
    }

    fn request(vector: &Value) -> Request<'_> {
        Request {
            method: text(vector, "method"),
            path: text(vector, "path"),
            query: text(vector, "raw_query"),
            body: text(vector, "body_utf8").as_bytes(),
        }
    }

    fn invalid(cause: Cause) -> Result<(), Refusal> {
        Err(Refusal::Invalid(cause))
    }

    #[test]
    fn every_vector_is_met() {
        assert_eq!(vectors().len(), 6);
        for vector in &vectors() {
            let (keys, presented, request) = (keys(vector), presented(vector), request(vector));
            let at = vector["ts"].as_i64().unwrap();
            assert_eq!(string_to_sign(&presented, &request).unwrap(), text(vector, "string_to_sign"));
            assert_eq!(sign(keys.newest(at).unwrap(), &presented, &request).unwrap(), presented.signature);
            for now_s in [at - 300, at, at + 300] {
                assert_eq!(verify(&keys, &presented, &request, now_s), Ok(()));
            }
            for now_s in [at - 301, at + 301, i64::MIN, i64::MAX] {
                assert_eq!(verify(&keys, &presented, &request, now_s), invalid(Cause::OutsideWindow));
            }
        }
    }

    #[test]
    fn whatever_is_not_as_it_was_signed_is_refused() {
        let vectors = vectors();
        let (vector, at) = (&vectors[3], vectors[3]["ts"].as_i64().unwrap());
        let (keys, good, request) = (keys(vector), presented(vector), request(vector));
        let changed = |change: &dyn Fn(&mut Presented)| {
            let mut presented = good.clone();
            change(&mut presented);
            verify(&keys, &presented, &request, at)
        };
        assert_eq!(verify(&keys, &good, &Request { body: b"{}", ..request }, at), invalid(Cause::Mismatch));
        assert_eq!(verify(&keys, &good, &Request { method: "GET", ..request }, at), invalid(Cause::Mismatch));
        assert_eq!(verify(&keys, &good, &Request { query: "a=1", ..request }, at), invalid(Cause::Mismatch));
        assert_eq!(verify(&keys, &good, &Request { path: "/pc", ..request }, at), invalid(Cause::Mismatch));
        for nonce in ["short".to_owned(), "x".repeat(15), "x".repeat(65), format!("{}\n", "x".repeat(20))] {
            assert_eq!(changed(&|p| p.nonce.clone_from(&nonce)), invalid(Cause::Malformed), "{nonce:?}");
        }
        assert_eq!(changed(&|p| p.nonce = "Zk3v0q9cTn6yYw1Jb2mXAx".to_owned()), invalid(Cause::Mismatch));
        assert_eq!(changed(&|p| p.key_id = "other".to_owned()), invalid(Cause::UnknownKey));
        assert_eq!(changed(&|p| p.timestamp.insert(0, '0')), invalid(Cause::Malformed));
        assert_eq!(changed(&|p| p.timestamp.insert(0, '+')), invalid(Cause::Malformed));
        assert_eq!(changed(&|p| p.signature = p.signature.replace("sha256=", "")), invalid(Cause::Mismatch));
        assert_eq!(
            changed(&|p| p.signature = p.signature.to_uppercase().replace("SHA256", "sha256")),
            invalid(Cause::Mismatch)
        );
        let zeros = format!("sha256={}", "00".repeat(32));
        assert_eq!(changed(&|p| p.signature = format!("{zeros}, {}", p.signature)), Ok(()), "one of several is enough");
        assert_eq!(
            changed(&|p| p.signature = format!("{zeros},{zeros},{zeros},{}", p.signature)),
            invalid(Cause::Malformed)
        );
        let old = KeySet::parse(&format!("{}:{}@/2020-01-01", text(vector, "kid"), text(vector, "key_hex"))).unwrap();
        assert_eq!(verify(&old, &good, &request, at), invalid(Cause::KeyNotInForce));
    }

    #[test]
    fn the_jcs_profile_signs_what_a_body_says() {
        let vectors = vectors();
        let (raw, jcs) = (&vectors[3], &vectors[5]);
        let at = jcs["ts"].as_i64().unwrap();
        let spelled_otherwise = request(raw);
        assert_ne!(spelled_otherwise.body, request(jcs).body);
        assert_eq!(verify(&keys(jcs), &presented(jcs), &spelled_otherwise, at), Ok(()));
        let downgraded = Presented { profile: Profile::Raw, ..presented(jcs) };
        assert_eq!(verify(&keys(jcs), &downgraded, &spelled_otherwise, at), invalid(Cause::Mismatch));
    }

    #[test]
    fn a_signature_in_the_query_covers_all_but_itself() {
        let vectors = vectors();
        let (vector, at) = (&vectors[0], vectors[0]["ts"].as_i64().unwrap());
        let keys = keys(vector);
        let none = |_: &str| Ok(None);
        let unsigned =
            format!("{}&_kid=involve-2026a&_ts={at}&_nonce=Zk3v0q9cTn6yYw1Jb2mXAw", text(vector, "raw_query"));
        let presented = Presented { profile: Profile::Raw, ..presented(vector) };
        let signature =
            sign(keys.newest(at).unwrap(), &presented, &Request { query: &unsigned, ..request(vector) }).unwrap();
        assert_ne!(signature, presented.signature, "key id, timestamp and nonce are signed as parameters, too");
        let query = format!("{unsigned}&_sig={}", signature.replace('=', "%3D"));
        let found = Presented::find(none, &query).unwrap().unwrap();
        assert_eq!(found, Presented { signature, ..presented });
        assert_eq!(verify(&keys, &found, &Request { query: &query, ..request(vector) }, at), Ok(()));
        let changed = query.replace("click_id=test123", "click_id=test124");
        assert_eq!(
            verify(&keys, &found, &Request { query: &changed, ..request(vector) }, at),
            invalid(Cause::Mismatch)
        );

        assert_eq!(Presented::find(none, "a=1&_kid=x&b=%X%&c=%"), Ok(None), "what is not signed is not judged");
        for wrong in [query.replace("_kid", "kid"), format!("{query}&_sig=x"), format!("{query}&_ts={at}")] {
            assert_eq!(Presented::find(none, &wrong), Err(Refusal::Invalid(Cause::Malformed)), "{wrong}");
        }
        let header = |name: &str| Ok((name == "x-signature").then(|| "sha256=".to_owned()));
        let both = Presented::find(header, &query).unwrap_err();
        assert!(matches!(both, Refusal::Unsignable(rejection) if rejection.code() == Code::TwoSignatures));
    }

    #[test]
    fn a_signature_in_headers_is_whole_or_refused() {
        let all = ["x-key-id", "x-timestamp", "x-nonce", "x-signature", "x-signature-profile"];
        let with = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Presented::find(move |name| Ok(names.iter().any(|known| known == name).then(|| "jcs".to_owned())), "")
        };
        assert_eq!(with(&all).unwrap().unwrap().profile, Profile::Jcs);
        assert_eq!(with(&all[..4]).unwrap().unwrap().profile, Profile::Raw);
        assert_eq!(with(&[]), Ok(None));
        for missing in 0..3 {
            let names: Vec<_> = (0..4).filter(|index| *index != missing).map(|index| all[index]).collect();
            assert_eq!(with(&names), Err(Refusal::Invalid(Cause::Malformed)), "{names:?}");
        }
        let twice = |name: &str| if name == "x-nonce" { Err(()) } else { Ok(Some("x".to_owned())) };
        assert_eq!(Presented::find(twice, ""), Err(Refusal::Invalid(Cause::Malformed)));
        let profile = |name: &str| Ok(Some(if name == header::PROFILE { "raw" } else { "x" }.to_owned()));
        assert_eq!(Presented::find(profile, ""), Err(Refusal::Invalid(Cause::Malformed)));
    }

    #[test]
    fn a_request_that_could_be_read_two_ways_cannot_be_signed() {
        let vectors = vectors();
        let (vector, presented) = (&vectors[0], presented(&vectors[0]));
        let code = |request: Request<'_>| match verify(&keys(vector), &presented, &request, 1_763_683_200) {
            Err(Refusal::Unsignable(rejection)) => rejection.code().as_str(),
            other => panic!("{other:?}"),
        };
        for path in ["", "/", "pb", "/pb/", "//pb", "/./pb", "/pb/..", "/p%62", "/p b"] {
            assert_eq!(code(Request { path, ..request(vector) }), "bad_path", "{path}");
        }
        for (query, expected) in [
            ("a=%", "bad_percent"),
            ("a=%ff", "bad_utf8"),
            ("a=%00", "control_char"),
            ("a=1&%61=1", "duplicate_param"),
            ("a=%X%", "bad_percent"),
        ] {
            assert_eq!(code(Request { query, ..request(vector) }), expected, "{query}");
        }
        assert!(good_path("/involve/event") && good_path("/a.b/~c-d_e"));
    }
}
