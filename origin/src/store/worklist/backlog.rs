//! How much there is to do.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::take::is_free;
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};

/// What there is to do in one partner's database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// Items that wait for somebody to take them, or are taken.
    pub waiting: u64,
    /// Items that wait for rates.
    pub delayed: u64,
    /// Items that were given up.
    pub dead: u64,
    /// For how many seconds the oldest has been due that nobody has taken.
    pub lag_s: u64,
    /// Conversions whose receipts were not stored in their order, and are to be rebuilt.
    pub rebuilds: u64,
}

/// Counts what is on the list, which is what is not done.
pub(super) fn backlog(dialect: Dialect) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("asked_at", |now| Some(*now))];
    let count = |state: &str| format!("(select count(*) from work_items where state = '{state}')");
    let least = format!(
        "(select {} - {} from work_items where state = 'waiting' and due_at <= input.asked_at and {}
          order by due_at limit 1)",
        dialect.unix_s("input.asked_at"),
        dialect.unix_s("due_at"),
        is_free("input.asked_at"),
    );
    let answer = dialect.json_object(&[
        ("waiting", count("waiting")),
        ("delayed", count("delayed")),
        ("dead", count("dead")),
        ("lag_s", format!("coalesce({least}, 0)")),
        ("rebuilds", "(select count(*) from rebuilds)".to_owned()),
    ]);
    Step::new(dialect, COLUMNS, &format!("select 'backlog' as id, {answer} as answer from input")).answering()
}

/// How many items are due that somebody has taken, and has not put down yet.
#[cfg(not(target_family = "wasm"))]
pub(super) fn taken(dialect: Dialect) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("asked_at", |now| Some(*now))];
    let statement = format!(
        "select 'taken' as id, cast(count(*) as text) as answer from work_items, input
         where work_items.state = 'waiting' and work_items.due_at <= input.asked_at and not {}",
        is_free("input.asked_at"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

/// The answer of that statement.
#[cfg(not(target_family = "wasm"))]
pub(super) fn read_taken(done: Vec<Done>) -> Result<u64, StoreError> {
    let answer = done.into_iter().flat_map(|done| done.answers).next();
    let count = answer.and_then(|(_, count)| count.parse().ok());
    count.ok_or_else(|| StoreError::Bug("a number of items that is none".to_owned()))
}

/// The answer of that statement.
pub(super) fn read(done: Vec<Done>) -> Result<Backlog, StoreError> {
    read_answers(done.into_iter().flat_map(|done| done.answers))
}

/// The same of its rows.
pub(super) fn read_answers(answers: impl IntoIterator<Item = (String, String)>) -> Result<Backlog, StoreError> {
    let answer = answers.into_iter().next();
    let (_, answer) = answer.ok_or_else(|| StoreError::Bug("a backlog without an answer".to_owned()))?;
    read_json("a backlog", &answer)
}
