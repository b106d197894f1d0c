//! What conversions come to, by quarters of an hour (R47): every transaction that changes conversions takes out what they came to
//! before and puts in what they come to now.

use super::statement::{Column, Dialect, Step};
use std::ops::RangeInclusive;

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

/// All slots: whoever has the turn of each of them is alone with the conversions.
pub(super) fn all_slots(dialect: Dialect) -> RangeInclusive<i64> {
    0..=judging_slot(dialect)
}

/// What a transaction does to the totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// Conversions are put in as they stand.
    In,
    /// They are taken out as they stand, because they are about to change.
    Out,
}

/// Counts the conversions that a condition finds for rows with a `slot`: `known`, joined with `input` by `on`. A statement may touch
/// a row but once, so they are put together first.
pub(super) fn count<T>(
    dialect: Dialect,
    columns: &'static [Column<T>],
    count: Count,
    on: &str,
    condition: &str,
) -> Step<T> {
    const KEY: &str = "period_start, event, status, currency, is_duplicate, slot";
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
    let added: Vec<_> = amounts.iter().map(|name| format!("{name} = {}", plus(dialect, name))).collect();
    Step::new(
        dialect,
        columns,
        &format!(
            ", counted as (
                select {quarter} as period_start, known.event, coalesce(known.status, '') as status,
                    coalesce(known.currency, '') as currency, known.is_duplicate, input.slot,
                    case when known.deposit = 'first' then 1 else 0 end as first_deposit, {selected}
                from input {known} where {condition})
             insert into totals ({KEY}, conversions, first_deposits, {amounts})
             select {KEY}, {sign}count(*), {sign}sum(first_deposit), {sums}
             from counted where true group by {KEY} order by {KEY}
             on conflict ({KEY}) do update set conversions = totals.conversions + excluded.conversions,
                first_deposits = totals.first_deposits + excluded.first_deposits, {added}",
            quarter = quarter(dialect, &happened_at("known")),
            selected = selected.join(", "),
            known = dialect.left_join_by_key("conversions", "known", on),
            amounts = amounts.join(", "),
            sums = sums.join(", "),
            added = added.join(", "),
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

/// The beginning of an instant's quarter of an hour.
fn quarter(dialect: Dialect, time: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("date_bin('15 minutes', {time}, timestamptz '2000-01-01 00:00+00')"),
        Dialect::Sqlite => {
            format!("substr({time}, 1, 14) || printf('%02d', substr({time}, 15, 2) / 15 * 15) || ':00.000000Z'")
        }
    }
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
fn plus(dialect: Dialect, amount: &str) -> String {
    let plus = format!("totals.{amount} + excluded.{amount}");
    match dialect {
        Dialect::Postgres => plus,
        Dialect::Sqlite => format!("cast({plus} as integer)"),
    }
}
