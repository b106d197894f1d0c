//! Reading a stored request as it would be read now.

use crate::ingest::read_partners;
use crate::store::Receipt;
use crate::store::reread::RejectedRow;
use postback::params::{Params, REDACTED};
use postback::partner::{AuthMode, Partner};
use postback::reading::Reading;
use postback::rejection::{Code, Rejection};
use postback::signature::{canonical_json, canonical_query};

/// Why a stored request cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Not all of it was kept: its body was too large, compressed, broken off, or may hold a secret.
    Incomplete,
    /// It was signed in one of two spellings of its body, which differ.
    Ambiguous,
}

/// Whether all of a request's body was kept as it came. A body in which a secret may stand anywhere was redacted as a whole: what is left of
/// it may lack the money.
fn is_whole(receipt: &Receipt) -> bool {
    let body = receipt.body.as_deref().unwrap_or("");
    // Characters that stand for what no text holds.
    body != REDACTED && !body.contains(['\u{1a}', '\u{fffd}'])
}

/// Whether all of a rejected request was kept. Of one over the limits, compressed or broken off the body was not, and of one that was
/// erased nothing was.
pub fn is_whole_rejection(receipt: &Receipt, code: &str) -> bool {
    Code::ALL.iter().any(|known| known.as_str() == code) && is_whole(receipt) && !receipt.is_erased()
}

/// Reads a stored request by the rules of now, as if it were received when it was.
///
/// # Errors
/// What is stored of it is not enough to say.
pub fn read(partner: &Partner, receipt: &Receipt) -> Result<Result<Reading, Rejection>, Unreadable> {
    if !is_whole(receipt) {
        return Err(Unreadable::Incomplete);
    }
    let query = receipt.target.split_once('?').map_or("", |(_, query)| query);
    let body = receipt.body.as_deref().unwrap_or("").as_bytes();
    if !is_signed(receipt) {
        return Ok(read_as(partner, receipt, query, receipt.content_type.as_deref(), body));
    }
    // What is read is what was signed ([`crate::ingest`]). Which of a body's two spellings that was is not kept.
    let query = match canonical_query(query) {
        Ok(query) => query,
        Err(rejection) => return Ok(Err(rejection)),
    };
    let as_it_came = read_as(partner, receipt, &query, receipt.content_type.as_deref(), body);
    let Some(canonical) = (!body.is_empty()).then(|| canonical_json(body).ok()).flatten() else {
        return Ok(as_it_came);
    };
    match (as_it_came, read_as(partner, receipt, &query, Some("application/json"), &canonical)) {
        (Ok(one), Ok(other)) if one.postback == other.postback => Ok(Ok(one)),
        (Err(rejection), Err(_)) => Ok(Err(rejection)),
        (Ok(_) | Err(_), Ok(_)) | (Ok(_), Err(_)) => Err(Unreadable::Ambiguous),
    }
}

/// Reads a rejected request likewise. None: not all of it was kept.
pub fn rejected(partner: &Partner, row: &RejectedRow) -> Option<Result<Reading, Rejection>> {
    if !is_whole_rejection(&row.receipt, &row.code) {
        return None;
    }
    read(partner, &row.receipt).ok()
}

fn is_signed(receipt: &Receipt) -> bool {
    receipt.auth_mode.split('+').any(|mode| mode == AuthMode::Signature.name())
}

fn read_as(
    partner: &Partner,
    receipt: &Receipt,
    query: &str,
    content_type: Option<&str>,
    body: &[u8],
) -> Result<Reading, Rejection> {
    read_partners(partner, Params::from_request(query, content_type, body)?, receipt.received_at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postback::field::Field;
    use postback::time::Timestamp;

    fn partner() -> Partner {
        crate::config::registry().unwrap().by_code("involve_asia").unwrap().clone()
    }

    fn receipt(auth_mode: &str, target: &str, body: Option<&str>) -> Receipt {
        Receipt {
            request_id: "r1".to_owned(),
            received_at: Timestamp::from_unix_ms(1_763_712_000_000).unwrap(),
            auth_mode: auth_mode.to_owned(),
            key_id: None,
            client_ip: None,
            method: "POST".to_owned(),
            target: target.to_owned(),
            headers: serde_json::json!({}),
            content_type: body.map(|_| "application/json".to_owned()),
            body: body.map(str::to_owned),
            nonce: None,
        }
    }

    fn id_of(receipt: &Receipt) -> Result<Option<String>, Unreadable> {
        let read = read(&partner(), receipt)?;
        Ok(read.ok().and_then(|reading| reading.postback.text(Field::ConversionId)))
    }

    #[test]
    fn a_request_is_read_as_what_was_signed() {
        let glued = "/involve/event?conversion_id=c1?rewars=5";
        assert_eq!(id_of(&receipt("open", glued, None)), Ok(Some("c1".to_owned())), "glued parameters come apart");
        let signed = id_of(&receipt("ip+signature", glued, None));
        assert_eq!(signed, Ok(Some("c1?rewars=5".to_owned())), "and not those that were signed");
        let body = r#"{"rewars":1.50,"conversion_id":"c1"}"#;
        assert_eq!(id_of(&receipt("signature", "/involve/event", Some(body))), Ok(Some("c1".to_owned())));
    }

    #[test]
    fn a_signed_body_of_two_meanings_is_not_read() {
        let body = r#"{"rewars":1,"conversion_id":1.0}"#;
        assert_eq!(id_of(&receipt("token", "/involve/event", Some(body))), Ok(Some("1.0".to_owned())));
        let signed = id_of(&receipt("token+signature", "/involve/event", Some(body)));
        assert_eq!(signed, Err(Unreadable::Ambiguous));
    }

    #[test]
    fn a_request_that_was_not_kept_whole_is_not_read() {
        for body in ["***", "{\"conversion_id\":\"a\u{1a}b\"}", "{\"conversion_id\":\"a\u{fffd}b\"}"] {
            assert_eq!(id_of(&receipt("open", "/involve/event", Some(body))), Err(Unreadable::Incomplete), "{body}");
        }
        let whole = receipt("open", "/involve/event?conversion_id=c1", None);
        assert!(is_whole_rejection(&whole, "unknown_status") && !is_whole_rejection(&whole, "body_too_large"));
        let erased = receipt("open", "/involve/event", None);
        assert!(!is_whole_rejection(&erased, "missing_field"), "nothing of it was kept");
        let bare = Receipt { client_ip: Some("192.0.2.1".to_owned()), ..erased };
        assert!(is_whole_rejection(&bare, "missing_field"), "nothing came but the request");
    }
}
