//! Partner to us: the `bytec-v1` signature in headers. HMAC-SHA256 over eight lines; parameters are put into one
//! canonical order and spelling first, the body is hashed as it came.

use crate::key::KeySet;
use crate::limits::SIGNATURE_WINDOW_S;
use crate::params::{decode_pairs, percent_encode};
use crate::rejection::{Code, Rejection};
use sha2::{Digest, Sha256};

/// Signatures that one request may carry, so that a sender can change keys.
const SIGNATURES_MAX: usize = 3;

/// The four headers, as they came.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    /// `X-Key-Id`.
    pub key_id: &'a str,
    /// `X-Timestamp`: Unix seconds.
    pub timestamp: &'a str,
    /// `X-Nonce`.
    pub nonce: &'a str,
    /// `X-Signature`: `sha256=<64 lower-case hex>`, up to three, separated by commas.
    pub signature: &'a str,
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

/// Whether the headers prove that the holder of a key sent the request, within the window around `now_s`.
pub fn verify(keys: &KeySet, headers: Headers<'_>, request: &Request<'_>, now_s: i64) -> bool {
    let timely = canonical_number(headers.timestamp)
        .is_some_and(|signed_s| now_s.saturating_sub(signed_s).saturating_abs() <= SIGNATURE_WINDOW_S);
    let signatures: Vec<_> = headers.signature.split(',').map(str::trim).collect();
    if !timely || !good_nonce(headers.nonce) || !good_path(request.path) || signatures.len() > SIGNATURES_MAX {
        return false;
    }
    let (Some(key), Ok(text)) = (keys.get(headers.key_id), string_to_sign(headers, request)) else { return false };
    signatures.iter().any(|signature| {
        let digits = signature.strip_prefix("sha256=").filter(|hex| !hex.bytes().any(|b| b.is_ascii_uppercase()));
        digits.and_then(|digits| hex::decode(digits).ok()).is_some_and(|code| key.verify(text.as_bytes(), &code))
    })
}

/// The eight lines.
///
/// # Errors
/// When the query cannot be put into canonical form.
pub fn string_to_sign(headers: Headers<'_>, request: &Request<'_>) -> Result<String, Rejection> {
    let Headers { key_id, timestamp, nonce, signature: _ } = headers;
    let Request { method, path, query, body } = request;
    let query = canonical_query(query)?;
    let body = hex::encode(Sha256::digest(body));
    Ok(format!("bytec-v1\n{key_id}\n{timestamp}\n{nonce}\n{method}\n{path}\n{query}\n{body}"))
}

/// A query in its one canonical order and spelling, `_sig` left out.
///
/// # Errors
/// `bad_percent`, `bad_utf8`, `control_char`, a limit's code, or `duplicate_param` for any name that is there twice.
pub fn canonical_query(raw: &str) -> Result<String, Rejection> {
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, value) in decode_pairs(raw)? {
        if name == "_sig" {
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
    percent_encode(text, |byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
}

/// A number in the one spelling that its value has.
fn canonical_number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number: &i64| number.to_string() == text)
}

fn good_nonce(nonce: &str) -> bool {
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

    const VECTORS: &str = include_str!("../testdata/bytec_v1.json");

    /// The vectors that hash the body as it came.
    fn vectors() -> Vec<Value> {
        let all: Vec<Value> = serde_json::from_str(VECTORS).unwrap();
        all.into_iter().filter(|vector| !text(vector, "name").contains("JCS")).collect()
    }

    fn text<'v>(vector: &'v Value, name: &str) -> &'v str {
        vector[name].as_str().unwrap()
    }

    #[test]
    fn every_vector_is_met() {
        let vectors = vectors();
        assert_eq!(vectors.len(), 5);
        for vector in &vectors {
            let at = vector["ts"].as_i64().unwrap();
            let timestamp = at.to_string();
            let keys = KeySet::parse(&format!("{}:{}", text(vector, "kid"), text(vector, "key_hex"))).unwrap();
            let headers = Headers {
                key_id: text(vector, "kid"),
                timestamp: &timestamp,
                nonce: text(vector, "nonce"),
                signature: text(vector, "signature"),
            };
            let body = text(vector, "body_utf8").as_bytes();
            let request = Request {
                method: text(vector, "method"),
                path: text(vector, "path"),
                query: text(vector, "raw_query"),
                body,
            };
            assert_eq!(string_to_sign(headers, &request).unwrap(), text(vector, "string_to_sign"));
            assert!(verify(&keys, headers, &request, at) && verify(&keys, headers, &request, at + 300));
            assert!(!verify(&keys, headers, &request, at + 301) && !verify(&keys, headers, &request, at - 301));
            assert!(!verify(&keys, headers, &Request { body: b"{}", ..request }, at));
            assert!(!verify(&keys, Headers { nonce: "short", ..headers }, &request, at));
            let upper = headers.signature.to_uppercase().replace("SHA256", "sha256");
            assert!(!verify(&keys, Headers { signature: &upper, ..headers }, &request, at), "hex is lower case");
            let two = format!("sha256={}, {}", "00".repeat(32), headers.signature);
            assert!(verify(&keys, Headers { signature: &two, ..headers }, &request, at), "one of several is enough");
        }
    }

    #[test]
    fn a_path_that_could_be_read_two_ways_is_refused() {
        for path in ["", "/", "pb", "/pb/", "//pb", "/./pb", "/pb/..", "/p%62", "/p b"] {
            assert!(!good_path(path), "{path}");
        }
        assert!(good_path("/involve/event") && good_path("/a.b/~c-d_e"));
    }
}
