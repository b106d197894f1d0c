//! How many conversions were converted by the rates of a day.

use super::super::statement::{Column, Dialect, Done, Step};
use super::super::totals::happened_at;
use super::super::{StoreError, statement};
use chrono::NaiveDate;
use postback::time::Timestamp;

/// A question: of conversions that happened within a span of time, by the rates of which day.
pub(super) struct Converted {
    pub day: NaiveDate,
    /// Of which currency; None: whatever theirs is.
    pub currency: Option<String>,
    pub from: Timestamp,
    pub to: Timestamp,
}

/// The span is there for the index on it: on the day of a rate itself there is none.
pub(super) fn count(dialect: Dialect) -> Step<Converted> {
    const COLUMNS: &[Column<Converted>] = &[
        Column::text("day", |converted| Some(converted.day.to_string())),
        Column::text("currency", |converted| converted.currency.clone()),
        Column::time("from_at", |converted| Some(converted.from)),
        Column::time("to_at", |converted| Some(converted.to)),
    ];
    let at = happened_at("known");
    let statement = format!(
        "select 'conversions' as id, cast(count(*) as text) as answer from conversions as known
         where {at} >= (select from_at from input) and {at} < (select to_at from input)
           and known.fx_rate_date = (select {} from input)
           and ((select currency from input) is null or (select currency from input) in
                (known.currency, known.payout_currency, known.counted_currency, known.counted_payout_currency))",
        dialect.date("day")
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read(done: Vec<Done>) -> Result<u64, StoreError> {
    let answer = done.into_iter().flat_map(|done| done.answers).next();
    let (_, count) = answer.ok_or_else(|| StoreError::Bug("a count without an answer".to_owned()))?;
    statement::read_json("a count", &count)
}
