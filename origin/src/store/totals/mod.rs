//! What conversions come to, by quarters of an hour, hours and days (R47): every transaction that changes conversions takes out what
//! they came to before and puts in what they come to now.

mod table;
#[cfg(not(target_family = "wasm"))]
mod together;

pub(super) use table::{Table, case, is_counted, is_rejected};

use super::statement::{Column, Dialect, Statement, Step};
use super::turns::{Turn, take_turns};
use super::{Store, StoreError};
use postback::time::Timestamp;

/// PostgreSQL has many writers, and each holds what it wrote until its commit: with one row for one thing they would all stand in
/// one line. So each transaction adds into the rows of one slot, and those of one slot take turns.
const SLOTS: i64 = 8;

/// The slot of a transaction: as good as drawn by lot, because names of receipts and claims are.
pub(super) fn slot(dialect: Dialect, lot: &str) -> i64 {
    match dialect {
        Dialect::Postgres => i64::from(lot.bytes().fold(0, u8::wrapping_add)).rem_euclid(SLOTS),
        // One writer.
        Dialect::Sqlite => 0,
    }
}

/// The slot of what is judged: one of its own, so that no postback waits for a judgement.
pub(super) fn judging_slot(dialect: Dialect) -> i64 {
    match dialect {
        Dialect::Postgres => SLOTS,
        Dialect::Sqlite => 0,
    }
}

/// The turn of all slots, where the database has several writers: whoever has it is alone with conversions and totals, and all that
/// record, judge or put back take theirs behind the transaction.
pub(super) fn turn_of_all_slots(dialect: Dialect) -> Option<Statement> {
    let slots: Vec<_> = (0..=judging_slot(dialect)).map(Turn::Slot).collect();
    take_turns(dialect).map(|step| step.over(&slots))
}

/// What a transaction does to the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Conversions are put in as they stand.
    In,
    /// They are taken out as they stand, because they are about to change.
    Out,
}

/// Counts the conversions that a condition finds for rows with a `slot`: `known`, joined with `input` by `on`. One statement for each
/// table; each may touch a row but once, so conversions are put together first.
pub(super) fn count<T>(
    dialect: Dialect,
    columns: &'static [Column<T>],
    count: Count,
    on: &str,
    condition: &str,
) -> [Step<T>; Table::ALL.len()] {
    Table::ALL.map(|table| {
        let known = dialect.left_join_by_key("conversions", "known", on);
        let counted = table.of_each(dialect, "known").join(", ");
        let sign = match count {
            Count::In => "",
            Count::Out => "-",
        };
        let key = table.key();
        let sums = table.sums(dialect, sign).join(", ");
        Step::new(
            dialect,
            columns,
            &format!(
                ", counted as (select input.slot, {counted} from input {known} where {condition})
                 insert into {} ({key}, {}) select {key}, {sums} from counted where true group by {key} order by {key}
                 {}",
                table.name(),
                table.columns(dialect).join(", "),
                table.or_add(dialect),
            ),
        )
    })
}

/// A conversion's amount in the reporting currency: what its sender says, or else what it was converted to.
pub(super) fn in_reporting_currency(dialect: Dialect, conversion: &str, amount: &str) -> String {
    let [usd, fx] = ["usd", "fx"].map(|prefix| dialect.amount(&format!("{prefix}_{amount}")));
    format!("coalesce({conversion}.{usd}, {conversion}.{fx})")
}

/// When a conversion happened: as it says itself, or else when its event did, or else when it was received.
pub(super) fn happened_at(conversion: &str) -> String {
    format!("coalesce({conversion}.conversion_datetime, {conversion}.ts_event, {conversion}.received_at)")
}

impl Store {
    /// Puts together what several writers have added to totals of periods that ended before an instant, where there are several:
    /// statistics are read faster then. Answers how many rows it has come to.
    ///
    /// # Errors
    /// Not all was put together; the totals are right all the same.
    #[cfg_attr(target_family = "wasm", expect(unused_variables, clippy::unused_async, reason = "for PostgreSQL"))]
    pub async fn put_totals_together(&self, before: Timestamp) -> Result<u64, StoreError> {
        match self.database() {
            #[cfg(not(target_family = "wasm"))]
            super::Database::Postgres(_) => together::all(self, before).await,
            #[cfg(not(target_family = "wasm"))]
            super::Database::Sqlite(_) => Ok(0),
            super::Database::D1(_) => Ok(0),
        }
    }
}
