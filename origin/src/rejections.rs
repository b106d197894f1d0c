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
use postback::limits::{ID_BYTES_MAX, PARAMS_MAX};
use postback::params::Params;
use postback::partner::Partner;
use postback::time::Timestamp;
use postback::zone::Zone;
use serde_json::Value;
use std::collections::BTreeSet;

/// The first characters of a report's id; 32 hexadecimal digits follow.
const REPORT_PREFIX: &str = "report_";
/// What the edge signs as authentication of a request of its own.
const EDGE_AUTH: &str = "edge";
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
    let mut kept = Vec::with_capacity(rejected.len());
    let mut dropped: u64 = 0;
    for one in rejected {
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
    let claims = &edge.claims;
    let digits = claims.event_id.strip_prefix(REPORT_PREFIX)?;
    let is_named = digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_edges_own = claims.auth == EDGE_AUTH && claims.original_target == received.head.path;
    let report: EdgeReport = serde_json::from_slice(received.body).ok()?;
    let is_within_limits = report.rejections.len() <= REJECTIONS_MAX
        && report.outcomes.len() <= OUTCOMES_MAX
        && report.outcomes.iter().all(|batch| {
            Nonce::parse(&batch.batch_id).is_some()
                && batch.counts.len() <= OUTCOMES_MAX
                && batch.counts.iter().all(postback::edge_report::OutcomeCount::is_valid)
        });
    (is_named && is_edges_own && is_within_limits).then_some(report)
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

/// The ids of a rejected request, as far as it can be read. One wrong parameter does not hide the others.
pub fn ids(
    partner: &Partner,
    target: &str,
    content_type: Option<&str>,
    body: Option<&str>,
    received_at: Timestamp,
) -> RejectedIds {
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let body = body.unwrap_or("");
    let read = |query: &str, content_type: Option<&str>, body: &str| {
        let params = Params::from_request(query, content_type, body.as_bytes()).ok()?;
        let examined = partner.examine(&params, received_at);
        // A value over a limit or of the wrong form is no id to look for. What was sent for the field still names the request.
        let id = |field: Field| {
            let sent = || examined.sent.get(&field).map(|sent| sent.text.to_owned());
            let id = examined.text(field).or_else(sent)?;
            let id = invisible::trimmed(&id).0;
            let is_id = (1..=ID_BYTES_MAX).contains(&id.len()) && !id.chars().any(char::is_control);
            is_id.then(|| id.to_owned())
        };
        // A default or derived id names nothing that the sender knows.
        let event_id = examined.sent.contains_key(&Field::EventId).then(|| id(Field::EventId)).flatten();
        Some(RejectedIds {
            event_id,
            conversion_id: id(Field::ConversionId),
            order_id: id(Field::OrderId),
            click_id: id(Field::ClickId),
            account_id: id(Field::AccountId),
        })
    };
    // The whole request where it can be read, or else the parts of it that can.
    let in_parts = || {
        let query = readable(query);
        match scalars(body) {
            Some(json) => read(&query, Some("application/json"), &json.to_string()).or_else(|| read(&query, None, "")),
            None => read(&readable(&format!("{query}&{body}")), None, ""),
        }
    };
    read(query, content_type, body).or_else(in_parts).unwrap_or(RejectedIds::NONE)
}

/// The parameters of a query that can be read, the first of each name.
fn readable(query: &str) -> String {
    let mut names = BTreeSet::new();
    let pieces = query.split('&').filter(|piece| {
        let name = piece.split_once('=').map_or(*piece, |(name, _)| name);
        !piece.is_empty() && Params::from_query(piece).is_ok() && names.insert(name)
    });
    pieces.take(PARAMS_MAX).collect::<Vec<_>>().join("&")
}

/// The members of a JSON object that are single values, the first of each name. None for what is no object.
fn scalars(body: &str) -> Option<Value> {
    let Value::Object(members) = serde_json::from_str(body).ok()? else { return None };
    let is_scalar = |value: &Value| matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_));
    Some(members.into_iter().filter(|(_, value)| is_scalar(value)).take(PARAMS_MAX).collect())
}
