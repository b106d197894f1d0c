//! What the edge reports to the origin behind its replies: rejected requests, and counts of how requests and deliveries ended.

use crate::id::{ContentDigest, EventId};
use serde::{Deserialize, Serialize};

/// Rejected requests in one report.
pub const REJECTIONS_MAX: usize = 100;
/// Batches of counts in one report, and counts in one batch.
pub const OUTCOMES_MAX: usize = 100;

/// A request that the edge rejected, as received. Secrets are redacted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedRequest {
    /// The edge's id of the request, as in the reply.
    pub request_id: String,
    /// When it arrived: RFC 3339, UTC.
    pub received_at: String,
    /// The HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The media type of the body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
    /// The body, where it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The sender's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_ip: Option<String>,
    /// The partner's authentication modes, joined by `+`.
    pub auth: String,
    /// Whether the request passed them all. Of one that did not, every id is unverified.
    pub is_authenticated: bool,
    /// The error code of the reply.
    pub code: String,
    /// The field of the reply, in the sender's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The HTTP status of the reply.
    pub status: u16,
    /// The version of the partner's rules that rejected it ([`crate::partner::Partner::rules_version`]).
    pub rules: String,
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// Requests of senders, by the reply: a verdict, `queued`, or an error code.
    Requests,
    /// Messages of the queue and further attempts at the origin: `delivered`, `retried`, `version_skew` or `parked`.
    Deliveries,
    /// Rejected requests that were not stored, because the limit was reached: `dropped`.
    Rejections,
}

impl OutcomeKind {
    /// The name in the database.
    pub const fn name(self) -> &'static str {
        match self {
            OutcomeKind::Requests => "requests",
            OutcomeKind::Deliveries => "deliveries",
            OutcomeKind::Rejections => "rejections",
        }
    }
}

/// How often something ended in an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCount {
    /// What is counted.
    pub kind: OutcomeKind,
    /// The outcome: lower-case letters, digits and `_`.
    pub outcome: String,
    /// How often.
    pub count: u64,
}

impl OutcomeCount {
    /// Whether it is one that an edge can have counted: an outcome becomes the label of a metric.
    pub fn is_valid(&self) -> bool {
        let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        (1..=64).contains(&self.outcome.len()) && self.outcome.bytes().all(is_word) && self.count <= u64::from(u32::MAX)
    }
}

/// What one isolate counted since its batch before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeBatch {
    /// Unique: a batch that is delivered twice counts once.
    pub batch_id: String,
    /// The counts.
    pub counts: Vec<OutcomeCount>,
}

/// The body of a report: `POST /rejections/{partner}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EdgeReport {
    /// Rejected requests.
    #[serde(default)]
    pub rejections: Vec<RejectedRequest>,
    /// Counts.
    #[serde(default)]
    pub outcomes: Vec<OutcomeBatch>,
}

/// The id of a report, by its body: the same report sent again has the same.
pub fn report_id(body: &str) -> Option<EventId> {
    let mut digest = ContentDigest::of("bytec-edge-report-v1");
    digest.add(body);
    EventId::parse(&digest.into_id("report_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_a_word_that_a_metric_can_bear() {
        let count =
            |outcome: &str, count| OutcomeCount { kind: OutcomeKind::Requests, outcome: outcome.to_owned(), count };
        assert!(count("missing_field", 1).is_valid() && count("created", u64::from(u32::MAX)).is_valid());
        for wrong in ["", "Created", "a b", "a\"", &"a".repeat(65)] {
            assert!(!count(wrong, 1).is_valid(), "{wrong}");
        }
        assert!(!count("created", u64::MAX).is_valid());
    }

    #[test]
    fn a_report_is_read_as_it_was_written() {
        let report = EdgeReport {
            rejections: vec![RejectedRequest { request_id: "r".to_owned(), status: 400, ..RejectedRequest::default() }],
            outcomes: vec![OutcomeBatch {
                batch_id: "b".to_owned(),
                counts: vec![OutcomeCount { kind: OutcomeKind::Deliveries, outcome: "retried".to_owned(), count: 2 }],
            }],
        };
        let body = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<EdgeReport>(&body).unwrap(), report);
        assert_eq!(report_id(&body), report_id(&body));
        assert!(report_id(&body).unwrap().as_str().starts_with("report_"));
    }
}
