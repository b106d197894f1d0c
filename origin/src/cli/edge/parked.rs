//! What is parked at the edge, in the words of its operations.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Which of what is parked is meant; what is not named matches everything. The edge knows what is right, and refuses the rest, an
/// empty text too: a filter with a typing error must not mean all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// parked, replaying or delivered.
    pub state: Option<String>,
    /// A partner's code.
    pub partner: Option<String>,
    /// Why it was parked: exhausted, refused, unknown_partner or unreadable.
    pub reason: Option<String>,
    /// An event.
    pub event_id: Option<String>,
    /// One request.
    pub request_id: Option<String>,
    /// Parked at this instant or later, in UTC.
    pub from: Option<String>,
    /// Parked before this instant, in UTC.
    pub to: Option<String>,
    /// How many at most; the edge lists 100 and replays 1000 where it is not said.
    pub limit: Option<u32>,
}

impl Filter {
    /// Rows that the edge lists, or replays, at once.
    pub const LIMIT_MAX: u32 = 1_000;

    /// Names and values, as the edge reads them in a query.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        let Filter { state, partner, reason, event_id, request_id, from, to, limit } = self.clone();
        let pairs = [
            ("state", state),
            ("partner", partner),
            ("reason", reason),
            ("event_id", event_id),
            ("request_id", request_id),
            ("from", from),
            ("to", to),
            ("limit", limit.map(|limit| limit.to_string())),
        ];
        pairs.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Part of a list.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Page {
    /// Rows, the longest parked first.
    pub parked: Vec<Row>,
    /// The cursor of the page behind this; None when this is the last.
    pub next: Option<String>,
}

/// A postback or a click that is parked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Row {
    /// The edge's name of the request that brought it; a click's id.
    pub request_id: String,
    /// Its partner's code.
    pub partner: Option<String>,
    /// Its event.
    pub event_id: Option<String>,
    /// When its request arrived.
    pub received_at: Option<String>,
    /// parked, replaying or delivered.
    pub state: String,
    /// Why it was parked.
    pub reason: String,
    /// What was seen.
    pub detail: String,
    /// Attempts at the origin before it was given up.
    pub attempts: u32,
    /// When it was given up.
    pub parked_at: String,
    /// When its state changed last.
    pub changed_at: String,
    /// How often it went back into the queue.
    pub replays: u32,
}

/// One that is parked, with all that is kept of it: one of postback, click and message.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Shown {
    /// The row.
    #[serde(flatten)]
    pub row: Row,
    /// The postback.
    pub postback: Option<Kept>,
    /// The click.
    pub click: Option<serde_json::Map<String, Value>>,
    /// The report of a rejected request.
    pub report: Option<serde_json::Map<String, Value>>,
    /// The message itself, where the edge cannot read it.
    pub message: Option<String>,
}

/// A postback, as it is delivered.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Kept {
    /// The canonical record, as the origin is given it.
    pub canonical: String,
    /// The request's method.
    pub method: String,
    /// The request's path and query.
    pub target: String,
    /// The body's type.
    pub content_type: Option<String>,
    /// The body.
    pub body: String,
    /// How its sender proved who it is.
    pub auth: String,
}

/// What a replay came to, or would come to.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Replayed {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// Rows that the filter has, or had before they were replayed.
    pub matching: u64,
    /// Rows that the queue holds now.
    pub replayed: u32,
    /// Rows that are left for another call.
    pub left: u64,
    /// What matches.
    pub by_partner_and_reason: Vec<Count>,
    /// What failed behind those that were replayed.
    pub problem: Option<String>,
}

/// How many rows of a partner were parked for a reason.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Count {
    /// The partner's code.
    pub partner: Option<String>,
    /// The reason.
    pub reason: String,
    /// Rows.
    pub count: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_query_of_what_is_named() {
        assert_eq!(Filter::default().pairs(), []);
        let text = |text: &str| Some(text.to_owned());
        let filter = Filter {
            state: text("parked"),
            partner: text(""),
            reason: text("refused"),
            event_id: text("evt_1"),
            request_id: text("a&b"),
            from: text("2026-01-31T12:00:00Z"),
            to: text("2026-02-01"),
            limit: Some(5),
        };
        let pairs = filter.pairs().into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>();
        assert_eq!(
            pairs.join(" "),
            "state=parked partner= reason=refused event_id=evt_1 request_id=a&b from=2026-01-31T12:00:00Z to=2026-02-01 limit=5"
        );
    }
}
