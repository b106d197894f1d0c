//! What the edge reported: how many requests it rejected, and how its requests and deliveries ended.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use postback::time::Timestamp;
use serde::Deserialize;

/// Which rejected requests of the edge are counted.
#[derive(Clone, Copy, Debug)]
pub struct RejectionsSince {
    /// They were received by the edge at this instant or later.
    pub since: Timestamp,
    /// Whether they passed authentication.
    pub is_authenticated: bool,
}

/// How often something ended in an outcome.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct OutcomeTotal {
    /// What is counted: `requests`, `deliveries` or `rejections`.
    pub kind: String,
    /// The outcome.
    pub outcome: String,
    /// How often, since the database was created.
    pub count: u64,
}

pub(super) fn count_rejections(dialect: Dialect) -> Step<RejectionsSince> {
    const COLUMNS: &[Column<RejectionsSince>] = &[
        Column::time("since", |asked| Some(asked.since)),
        Column::flag("is_authenticated", |asked| Some(asked.is_authenticated)),
    ];
    let statement = "select 'rejections' as id, cast(count(*) as text) as answer from rejections
         where rejections.received_at >= (select since from input) and rejections.via = 'edge'
           and rejections.is_authenticated = (select is_authenticated from input)";
    Step::new(dialect, COLUMNS, statement).answering()
}

pub(super) fn known(dialect: Dialect) -> Step<String> {
    const COLUMNS: &[Column<String>] = &[Column::text("request_id", |request_id| Some(request_id.clone()))];
    let statement = format!(
        "select known.request_id as id, '' as answer from input {}",
        dialect.join_by_key("rejections", "known", "known.request_id = input.request_id")
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read_count(done: Vec<Done>) -> Result<u64, StoreError> {
    let mut answers = done.into_iter().flat_map(|done| done.answers);
    let count = answers.next().and_then(|(_, count)| count.parse().ok());
    count.ok_or_else(|| StoreError::Bug("a count of rejections that is none".to_owned()))
}

pub(super) fn outcomes(dialect: Dialect) -> Step<()> {
    const COLUMNS: &[Column<()>] = &[Column::number("one", |()| 1)];
    let column = |name: &'static str| (name, format!("edge_outcomes.{name}"));
    let members = [column("kind"), column("outcome"), column("count")];
    let statement = format!(
        "select edge_outcomes.kind as id, {} as answer from edge_outcomes order by edge_outcomes.kind, edge_outcomes.outcome",
        dialect.json_object(&members)
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read_outcomes(done: Vec<Done>) -> Result<Vec<OutcomeTotal>, StoreError> {
    let total = |(_, answer): (String, String)| read_json("an outcome", &answer);
    done.into_iter().flat_map(|done| done.answers).map(total).collect()
}
