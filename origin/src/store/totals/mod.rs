//! What conversions come to, by quarters of an hour, hours and days (R47): every transaction that changes conversions takes out what
//! they came to before and puts in what they come to now.

mod table;
mod hours;
mod amounts;
#[cfg(not(target_family = "wasm"))]
mod together;

pub(super) use amounts::in_reporting_currency;
pub(super) use hours::{Hourly, NUMBERS, SUMS, is_counted};
pub(super) use table::{KIND, KIND_AMOUNTS, KIND_NUMBERS, Table};

use super::statement::{Column, Dialect, Statement, Step};
use super::turns::{Turn, take_turns};
use super::{Store, StoreError};
use postback::time::Timestamp;
use table::as_kind;

/// PostgreSQL has many writers, and each holds what it wrote until its commit: with one row for one thing they would all stand in
/// one line. So each transaction adds into the rows of one slot, and those of one slot take turns.
const SLOTS: i64 = 8;

/// One of the transactions that a store has under way at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lane {
    pub(super) number: i64,
    /// How many there are.
    pub(super) of: i64,
}

impl Lane {
    /// What is in no lane: it may have any slot, and wait for whoever has it.
    pub(super) const NONE: Lane = Lane { number: 0, of: 1 };

    /// The slot of a transaction. Lanes of one store have none in common, so that they never wait for each other; which of its own it
    /// is, is as good as drawn by lot, because names of receipts are: those of several origins seldom meet.
    pub(super) fn slot(self, dialect: Dialect, lot: &str) -> i64 {
        match dialect {
            Dialect::Postgres => {
                let own = SLOTS.checked_div(self.of).unwrap_or(1).max(1);
                let drawn = i64::from(lot.bytes().fold(0, u8::wrapping_add)).rem_euclid(own);
                drawn.saturating_mul(self.of).saturating_add(self.number).rem_euclid(SLOTS)
            }
            // One writer.
            Dialect::Sqlite => 0,
        }
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

/// Counts the conversions that a condition finds for rows with a `slot`: `known`, as a join puts it beside `input`. Each statement may touch
/// a row but once, so conversions are put together first. Finding them costs more than counting them, so that where one statement can
/// write into several tables, all are in one.
pub(super) fn count<T>(
    dialect: Dialect,
    columns: &'static [Column<T>],
    count: Count,
    join: &str,
    condition: &str,
) -> Vec<Step<T>> {
    let put_in = |table: Table, counted: &str| {
        let sign = match count {
            Count::In => "",
            Count::Out => "-",
        };
        let key = table.key();
        format!(
            "insert into {} ({key}, {}) select {key}, {} from {counted} where true group by {key} order by {key} {}",
            table.name(),
            table.columns(dialect).join(", "),
            table.sums(dialect, sign).join(", "),
            table.or_add(dialect),
        )
    };
    let found =
        format!("select input.slot, {} from input {join} where {condition}", as_kind(dialect, "known").join(", "));
    let counted =
        |table: Table| format!("select one.slot, {} from found as one", table.of_each(dialect, "one").join(", "));
    match dialect {
        Dialect::Postgres => {
            let [quarters, hours, days] =
                Table::ALL.map(|table| put_in(table, &format!("({}) as counted", counted(table))));
            let statement =
                format!(", found as materialized ({found}), quarters as ({quarters}), hours as ({hours}) {days}");
            vec![Step::new(dialect, columns, &statement)]
        }
        Dialect::Sqlite => {
            let statement = |table: Table| {
                let rows = format!(", found as ({found}), counted as ({})", counted(table));
                Step::new(dialect, columns, &format!("{rows} {}", put_in(table, "counted")))
            };
            Table::ALL.map(statement).into()
        }
    }
}

/// A query for the rows that conversions are in a table, of those that a condition on `known` finds: under the names of the table's key and
/// columns, not summed.
pub(super) fn counted(dialect: Dialect, table: Table, condition: &str) -> String {
    let found = format!("select {} from conversions as known where {condition}", as_kind(dialect, "known").join(", "));
    format!("select {} from ({found}) as one", table.of_each(dialect, "one").join(", "))
}

/// A query for what conversions come to, as [`super::reader::Total`] reads it, by quarters of an hour: those that a join puts as `known`
/// beside `input`. Its `span` is the beginning of the quarter in Unix seconds.
#[cfg(not(target_family = "wasm"))]
pub(super) fn totals_by_quarter(dialect: Dialect, join: &str) -> String {
    let found = format!("select {} from input {join}", as_kind(dialect, "known").join(", "));
    let summed = NUMBERS
        .iter()
        .map(|number| format!("sum({}) as {}", number.over.only("one", &format!("one.{}", number.of)), number.name));
    let money = SUMS.iter().map(|sum| {
        let amount = sum.over.only("one", &format!("coalesce(one.{}, 0)", sum.of));
        format!("{} as {}", dialect.sum_text(&amount), sum.name)
    });
    let member = |hourly: &Hourly| (hourly.name, format!("total.{}", hourly.name));
    let amounts = dialect.json_members(&SUMS.iter().map(member).collect::<Vec<_>>());
    let span = ("span", dialect.unix_s("total.period_start"));
    let members: Vec<_> = std::iter::once(span).chain(NUMBERS.iter().map(member)).chain([("money", amounts)]).collect();
    format!(
        "select 'total' as id, {} as answer
         from (select {quarter} as period_start, {} from ({found}) as one group by {quarter}) as total",
        dialect.json_object(&members),
        summed.chain(money).collect::<Vec<_>>().join(", "),
        quarter = Table::Quarters.period_start(dialect, "one.happened_at"),
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_one_store_have_no_slot_in_common() {
        for of in 1..=4 {
            let slots = |number| {
                let lots = ["a", "b", "c", "d", "e", "f", "g", "h"];
                lots.map(|lot| Lane { number, of }.slot(Dialect::Postgres, lot))
                    .into_iter()
                    .collect::<std::collections::BTreeSet<_>>()
            };
            let all: Vec<_> = (0..of).flat_map(slots).collect();
            let distinct: std::collections::BTreeSet<_> = all.iter().copied().collect();
            assert_eq!(all.len(), distinct.len(), "{of} lanes: {all:?}");
            assert!(distinct.iter().all(|slot| (0..SLOTS).contains(slot)), "{distinct:?}");
        }
        assert_eq!(Lane { number: 3, of: 4 }.slot(Dialect::Sqlite, "a"), 0);
    }
}
