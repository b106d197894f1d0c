//! What the edge reports: requests that it rejected, and counts of how its requests and deliveries ended. From a request that the
//! edge signed to what was committed.

#![deny(clippy::disallowed_methods)]

use crate::api::error::Error;
use crate::app::App;
use crate::store::{self, EdgeOutcome, Receipt, Rejected, RejectedIds, Via};
use crate::verify::{FromEdge, Received};
use postback::edge_report::{EdgeReport, OUTCOMES_MAX, OutcomeKind, REJECTIONS_MAX, RejectedRequest};
use postback::field::Field;
use postback::id::Nonce;
use postback::invisible;
use postback::limits::ID_BYTES_MAX;
use postback::params::{Params, REDACTED};
use postback::partner::Partner;
use postback::percent::decode;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The first characters of a report's id; 32 hexadecimal digits follow.
const REPORT_PREFIX: &str = "report_";
/// Parameters that are looked at, of query and body each.
const PAIRS_MAX: usize = 256;
const NOT_A_REPORT: &str = "this is not a report of the edge's making";

/// What was stored of a report.
#[derive(Clone, Debug)]
pub struct Reported {
    /// The report.
    pub report_id: String,
    /// Rejected requests that were new; committed.
    pub stored: u64,
    /// Rejected requests over the partner's limit: counted, not stored.
    pub dropped: u64,
}

/// Reads and stores a report:
///
/// (1) the request is a report of the edge ....................... 400
/// (2) rejected requests over the partner's limit are only counted
/// (3) the partner's store records the others, and the counts .... 503, 500
pub async fn record(
    app: &App,
    partner: &Partner,
    received: &Received<'_>,
    edge: &FromEdge<'_>,
    now: Timestamp,
) -> Result<Reported, Error> {
    // (1)
    let report = report(received, edge).ok_or(Error::MalformedBatch(NOT_A_REPORT))?;
    let mut rejected = Vec::with_capacity(report.rejections.len());
    for request in report.rejections {
        let receipt_id = app.platform.receipt_id()?;
        rejected.push(rejected_of(partner, request, receipt_id).ok_or(Error::MalformedBatch(NOT_A_REPORT))?);
    }
    // (2)
    let store = app.databases.of(&partner.code).await?;
    // The queue delivers at least once: what is stored already uses up nothing of the limit.
    let request_ids: Vec<_> = rejected.iter().map(|one| one.receipt.request_id.clone()).collect();
    let known = store.known_rejections(&request_ids).await?;
    let mut kept = Vec::with_capacity(rejected.len());
    let mut dropped: u64 = 0;
    for one in rejected.into_iter().filter(|one| !known.contains(&one.receipt.request_id)) {
        if app.quotas.count_edge_rejection(partner, store, one.is_authenticated, now).await {
            kept.push(one);
        } else {
            dropped = dropped.saturating_add(1);
        }
    }
    // (3)
    let receipt_id = app.platform.receipt_id()?;
    let mut outcomes: Vec<_> = report
        .outcomes
        .into_iter()
        .flat_map(|batch| {
            let outcome = move |count: postback::edge_report::OutcomeCount| EdgeOutcome {
                batch_id: batch.batch_id.clone(),
                kind: count.kind.name().to_owned(),
                outcome: count.outcome,
                count: count.count,
            };
            batch.counts.into_iter().map(outcome)
        })
        .collect();
    if dropped > 0 {
        outcomes.push(EdgeOutcome {
            batch_id: receipt_id.to_string(),
            kind: OutcomeKind::Rejections.name().to_owned(),
            outcome: "dropped".to_owned(),
            count: dropped,
        });
    }
    let counted: Vec<_> = kept.iter().map(|one| one.is_authenticated).collect();
    let stored = store.record_report(store::EdgeReport { rejected: kept, outcomes, receipt_id, now }).await;
    if stored.is_err() {
        counted.iter().for_each(|is_auth| app.quotas.give_back_edge_rejection(partner, *is_auth, now));
    }
    Ok(Reported { report_id: edge.claims.event_id.to_owned(), stored: stored?, dropped })
}

/// The report in a request. None where it is not as the edge sends it.
fn report(received: &Received<'_>, edge: &FromEdge<'_>) -> Option<EdgeReport> {
    let report: EdgeReport = serde_json::from_slice(received.body).ok()?;
    let is_within_limits = report.rejections.len() <= REJECTIONS_MAX
        && report.outcomes.len() <= OUTCOMES_MAX
        && report.outcomes.iter().all(|batch| {
            Nonce::parse(&batch.batch_id).is_some()
                && batch.counts.len() <= OUTCOMES_MAX
                && batch.counts.iter().all(postback::edge_report::OutcomeCount::is_valid)
        });
    (edge.is_own_batch(REPORT_PREFIX, received.head.path) && is_within_limits).then_some(report)
}

/// A rejected request as it is stored. None where it is not as the edge sends it.
fn rejected_of(partner: &Partner, request: RejectedRequest, receipt_id: Nonce) -> Option<Rejected> {
    let received_at = Timestamp::parse(&request.received_at, &Zone::utc())?;
    Nonce::parse(&request.request_id)?;
    let ids = ids(partner, &request.target, request.content_type.as_deref(), request.body.as_deref(), received_at);
    let receipt = Receipt {
        request_id: request.request_id,
        received_at,
        auth_mode: request.auth,
        key_id: None,
        client_ip: request.client_ip.filter(|address| address.parse::<std::net::IpAddr>().is_ok()),
        method: request.method,
        target: request.target,
        headers: Value::Object(serde_json::Map::new()),
        content_type: request.content_type,
        body: request.body,
        nonce: None,
    };
    Some(Rejected {
        receipt_id,
        receipt,
        via: Via::Edge,
        is_authenticated: request.is_authenticated,
        code: request.code,
        field: request.field,
        status: request.status,
        rules: request.rules,
        ids,
    })
}

/// The ids of a rejected request, as far as it can be read. One wrong parameter does not hide the others: what the whole request does not
/// say is looked for in its parts, the first of each name.
pub fn ids(
    partner: &Partner,
    target: &str,
    content_type: Option<&str>,
    body: Option<&str>,
    received_at: Timestamp,
) -> RejectedIds {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let body = body.unwrap_or("");
    let mut found: BTreeMap<Field, String> = BTreeMap::new();
    if let Ok(params) = Params::from_request(query, content_type, body.as_bytes()) {
        let examined = partner.examine(&params, received_at);
        // A default or derived id names nothing that the sender knows.
        let is_sent = |field: &Field| examined.sent.contains_key(field);
        let ids = IDS.into_iter().filter(is_sent).filter_map(|field| Some((field, id(&examined.text(field)?)?)));
        found.extend(ids);
    }
    let is_json = body.trim_ascii_start().starts_with(['{', '[']);
    let in_body = if is_json { json_pairs(body) } else { pairs(body) };
    for (name, value) in pairs(query).into_iter().chain(in_body) {
        let field = partner.field_of(&name).or_else(|| partner.field_of_any_case(&name));
        if let Some(field) = field.filter(|field| IDS.contains(field))
            && let Some(id) = id(&value)
        {
            found.entry(field).or_insert(id);
        }
    }
    let mut take = |field: Field| found.remove(&field);
    RejectedIds {
        event_id: take(Field::EventId),
        conversion_id: take(Field::ConversionId),
        order_id: take(Field::OrderId),
        click_id: take(Field::ClickId),
        account_id: take(Field::AccountId),
    }
}

/// The fields that a rejected request is found by.
const IDS: [Field; 5] = [Field::EventId, Field::ConversionId, Field::OrderId, Field::ClickId, Field::AccountId];

/// A text as an id. None where it is none to look for.
fn id(text: &str) -> Option<String> {
    let id = invisible::trimmed(text).0;
    let is_id = (1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control) && id != REDACTED;
    is_id.then(|| id.to_owned())
}

/// The parameters of a query or form. One that cannot be decoded is taken as it is.
fn pairs(query: &str) -> Vec<(String, String)> {
    let decoded = |text: &str| decode(text).map_or_else(|_| text.to_owned(), Cow::into_owned);
    let pieces = query.split('&').filter_map(|piece| piece.split_once('='));
    pieces.take(PAIRS_MAX).map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// The members of JSON objects whose values are texts or numbers, in their order and at any depth, whatever is wrong around them. Numbers are as
/// they were written.
fn json_pairs(body: &str) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut rest = body;
    while let Some(start) = rest.find('"').filter(|_| pairs.len() < PAIRS_MAX) {
        let Some((name, behind)) = rest.get(start..).and_then(json_text) else { break };
        rest = behind;
        let Some(value) = behind.trim_ascii_start().strip_prefix(':').map(str::trim_ascii_start) else { continue };
        if value.starts_with('"') {
            let Some((text, behind)) = json_text(value) else { break };
            pairs.push((name, text));
            rest = behind;
        } else {
            let is_number = |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            let end = value.find(|c: char| !is_number(c)).unwrap_or(value.len());
            let (number, behind) = value.split_at(end);
            if !number.is_empty() {
                pairs.push((name, number.to_owned()));
            }
            rest = behind;
        }
    }
    pairs
}

/// The text in quotation marks that a JSON text begins with, and what stands behind it.
fn json_text(json: &str) -> Option<(String, &str)> {
    let mut is_escaped = false;
    let end = json.char_indices().skip(1).find(|(_, c)| {
        let is_end = *c == '"' && !is_escaped;
        is_escaped = *c == '\\' && !is_escaped;
        is_end
    });
    let (quoted, behind) = json.split_at_checked(end?.0.saturating_add(1))?;
    // A raw line break, which JSON does not take, is taken as it is.
    let text = serde_json::from_str(quoted).unwrap_or_else(|_| quoted.trim_matches('"').to_owned());
    Some((text, behind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::registry;

    #[test]
    fn ids_are_found_whatever_else_is_wrong() {
        let registry = registry().unwrap();
        let rector = registry.by_code("rector").unwrap();
        let now = Timestamp::from_unix_ms(1_763_683_200_123).unwrap();
        let of = |query: &str, body: &str| {
            let content_type =
                if body.starts_with(['{', '[']) { "application/json" } else { "application/x-www-form-urlencoded" };
            let ids = ids(rector, &format!("/rector/event?{query}"), Some(content_type), Some(body), now);
            [ids.conversion_id, ids.click_id, ids.event_id].map(|id| id.unwrap_or("-".to_owned())).join(" ")
        };
        for (query, body, expected) in [
            ("conversion_id=c1&click_id=k1&usd_earning=ten", "", "c1 k1 -"),
            ("conversion_id=c1&conversion_id=c2", "", "c1 - -"),
            ("conversion_id=50%&click_id=k%201", "", "50% k 1 -"),
            ("Conversion_ID=c1&usd_earning=%zz", "", "c1 - -"),
            ("conversion_id=%EF%BB%BFc1&x=%ff", "", "c1 - -"),
            ("", r#"{"conversion_id":"c1","click_id":7,}"#, "c1 7 -"),
            ("", "{\"conversion_id\":\"c1\",\n\"x\":\"a\nb\",\"event_id\":\"e1\"} behind", "c1 - e1"),
            ("", r#"[{"conversion_id":98765432109876543210987}]"#, "98765432109876543210987 - -"),
            ("", r#"{"a":{"b":{"c":{"d":{"e":{"f":{"g":{"h":{"conversion_id":"c\"1"}}}}}}}}}"#, "c\"1 - -"),
            ("", r#"{"conversion_id":"c1","x":"unended"#, "c1 - -"),
            ("", "conversion_id=c1&click_id=k1&click_id=k2", "c1 k1 -"),
            ("conversion_id=%0A&click_id=k1", "", "%0A k1 -"),
            ("conversion_id=***&click_id=k1", "", "- k1 -"),
            ("usd_earning=1", "", "- - -"),
        ] {
            assert_eq!(of(query, body), expected, "{query} {body}");
        }
    }
}
