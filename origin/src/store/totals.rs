//! What conversions come to, by quarters of an hour and by hours (R47): every transaction that changes conversions takes out what they came to
//! before and puts in what they come to now.

use super::statement::{Column, Dialect, Statement, Step};
use super::turns::{Turn, take_turns};
#[cfg(not(target_family = "wasm"))]
use super::{End, RECORD_TIMEOUT, in_time};
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

/// How long the periods of a table of totals are. Midnight is at a quarter of an hour in every time zone, and at an hour in most:
/// there is a table of each, so that nobody goes through the quarters of a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grain {
    Quarter,
    Hour,
}

impl Grain {
    pub(super) const ALL: [Grain; 2] = [Grain::Quarter, Grain::Hour];

    pub(super) const fn table(self) -> &'static str {
        match self {
            Grain::Quarter => "totals",
            Grain::Hour => "totals_by_hour",
        }
    }

    /// The beginning of an instant's period.
    fn start(self, dialect: Dialect, time: &str) -> String {
        match (dialect, self) {
            (Dialect::Postgres, Grain::Quarter) => {
                format!("date_bin('15 minutes', {time}, timestamptz '2000-01-01 00:00+00')")
            }
            (Dialect::Postgres, Grain::Hour) => {
                format!("date_bin('1 hour', {time}, timestamptz '2000-01-01 00:00+00')")
            }
            (Dialect::Sqlite, Grain::Quarter) => {
                format!("substr({time}, 1, 14) || printf('%02d', substr({time}, 15, 2) / 15 * 15) || ':00.000000Z'")
            }
            (Dialect::Sqlite, Grain::Hour) => format!("substr({time}, 1, 14) || '00:00.000000Z'"),
        }
    }
}

/// What tells a row of totals from the others.
const KEY: &str = "period_start, event, status, currency, is_duplicate, slot";

/// What a transaction does to the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Conversions are put in as they stand.
    In,
    /// They are taken out as they stand, because they are about to change.
    Out,
}

/// Counts the conversions that a condition finds for rows with a `slot`: `known`, joined with `input` by `on`. One statement for each
/// grain; each may touch a row but once, so conversions are put together first.
pub(super) fn count<T>(
    dialect: Dialect,
    columns: &'static [Column<T>],
    count: Count,
    on: &str,
    condition: &str,
) -> [Step<T>; 2] {
    Grain::ALL.map(|grain| count_by(grain, dialect, columns, count, on, condition))
}

fn count_by<T>(
    grain: Grain,
    dialect: Dialect,
    columns: &'static [Column<T>],
    count: Count,
    on: &str,
    condition: &str,
) -> Step<T> {
    let table = grain.table();
    let sign = match count {
        Count::In => "",
        Count::Out => "-",
    };
    let own = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"].map(|name| dialect.amount(name));
    let selected = own.each_ref().map(|name| format!("known.{name}"));
    let reporting = ["sale_amount", "payout"].map(|name| {
        let column = dialect.amount(&format!("reporting_{name}"));
        (format!("{} as {column}", in_reporting_currency(dialect, "known", name)), column)
    });
    let amounts: Vec<_> = own.iter().chain(reporting.iter().map(|(_, name)| name)).cloned().collect();
    let selected: Vec<_> = selected.iter().chain(reporting.iter().map(|(selected, _)| selected)).cloned().collect();
    let sums: Vec<_> = amounts.iter().map(|name| format!("{sign}{}", sum(dialect, name))).collect();
    let added: Vec<_> = amounts.iter().map(|name| format!("{name} = {}", plus(dialect, table, name))).collect();
    Step::new(
        dialect,
        columns,
        &format!(
            ", counted as (
                select {start} as period_start, known.event, coalesce(known.status, '') as status,
                    coalesce(known.currency, '') as currency, known.is_duplicate, input.slot,
                    case when known.deposit = 'first' then 1 else 0 end as first_deposit, {selected}
                from input {known} where {condition})
             insert into {table} ({KEY}, conversions, first_deposits, {amounts})
             select {KEY}, {sign}count(*), {sign}sum(first_deposit), {sums}
             from counted where true group by {KEY} order by {KEY}
             on conflict ({KEY}) do update set conversions = {table}.conversions + excluded.conversions,
                first_deposits = {table}.first_deposits + excluded.first_deposits, {added}",
            start = grain.start(dialect, &happened_at("known")),
            selected = selected.join(", "),
            known = dialect.left_join_by_key("conversions", "known", on),
            amounts = amounts.join(", "),
            sums = sums.join(", "),
            added = added.join(", "),
        ),
    )
}

/// Rows that are put together at once, so that nobody waits long.
#[cfg(not(target_family = "wasm"))]
const PUT_TOGETHER_MAX: u32 = 2_000;

/// Puts rows of slots together whose periods began before an instant: one for each thing is read faster than nine. Whoever does that
/// has the turn of all slots.
#[cfg(not(target_family = "wasm"))]
pub(super) fn put_together(dialect: Dialect, grain: Grain) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("began_before", |before| Some(*before))];
    let table = grain.table();
    let amounts =
        ["sale_amount", "payout", "usd_sale_amount", "usd_payout", "reporting_sale_amount", "reporting_payout"];
    let names: Vec<_> = ["conversions", "first_deposits"]
        .map(str::to_owned)
        .into_iter()
        .chain(amounts.map(|name| dialect.amount(name)))
        .collect();
    let sums: Vec<_> = names.iter().map(|name| format!("sum({name})")).collect();
    let added: Vec<_> = names.iter().map(|name| format!("{name} = {}", plus(dialect, table, name))).collect();
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", gone as (
                delete from {table} where ctid = any(array(
                    select ctid from {table} where slot <> 0 and period_start < (select began_before from input)
                    order by period_start limit {PUT_TOGETHER_MAX}))
                returning *)
             insert into {table} ({KEY}, {})
             select period_start, event, status, currency, is_duplicate, 0, {} from gone
             group by period_start, event, status, currency, is_duplicate order by 1, 2, 3, 4, 5
             on conflict ({KEY}) do update set {}",
            names.join(", "),
            sums.join(", "),
            added.join(", "),
        ),
    )
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

/// A sum of amounts. In SQLite units and micro-units apart: a sum of integers that is too large for one would be an error, and no
/// postback is refused because there was too much money before it.
fn sum(dialect: Dialect, amount: &str) -> String {
    let amount = format!("coalesce({amount}, 0)");
    match dialect {
        Dialect::Postgres => format!("sum({amount})"),
        Dialect::Sqlite => {
            format!("cast(sum({amount} / 1000000) * 1000000 + sum({amount} % 1000000) as integer)")
        }
    }
}

/// What there was of an amount and what is added. In SQLite it stays at the largest integer when it comes to more, as above.
fn plus(dialect: Dialect, table: &str, amount: &str) -> String {
    let plus = format!("{table}.{amount} + excluded.{amount}");
    match dialect {
        Dialect::Postgres => plus,
        Dialect::Sqlite => format!("cast({plus} as integer)"),
    }
}

impl Store {
    /// Puts together what several writers have added to totals of periods that began before an instant, where there are several:
    /// statistics are read faster then. Answers how many rows it has come to.
    ///
    /// # Errors
    /// Not all was put together; the totals are right all the same.
    #[cfg_attr(target_family = "wasm", expect(unused_variables, clippy::unused_async, reason = "for PostgreSQL"))]
    pub async fn put_totals_together(&self, before: Timestamp) -> Result<u64, StoreError> {
        match self.database() {
            #[cfg(not(target_family = "wasm"))]
            super::Database::Postgres(_) => {
                let mut rows: u64 = 0;
                for grain in Grain::ALL {
                    loop {
                        match self.put_some_together(grain, before).await? {
                            0 => break,
                            some => rows = rows.saturating_add(some),
                        }
                    }
                }
                Ok(rows)
            }
            #[cfg(not(target_family = "wasm"))]
            super::Database::Sqlite(_) => Ok(0),
            super::Database::D1(_) => Ok(0),
        }
    }

    #[cfg(not(target_family = "wasm"))]
    async fn put_some_together(&self, grain: Grain, before: Timestamp) -> Result<u64, StoreError> {
        let dialect = self.database().dialect();
        let statement = put_together(dialect, grain).over(&[before]);
        let statements = turn_of_all_slots(dialect).into_iter().chain([statement]).collect();
        let done = in_time(RECORD_TIMEOUT, self.database().run(statements, End::Commit)).await?;
        Ok(done.last().map_or(0, |done| done.changed))
    }
}
