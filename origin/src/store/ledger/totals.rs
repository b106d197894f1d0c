//! What conversions come to, by quarters of an hour (R47): brought up to date by the transaction that changes them.

use super::super::statement::{Column, Dialect, Step};
use super::conversions::{is_last, is_of_the_event, out_of_window};
use super::entry::{CONVERSION_KEY, EVENT_ID, Entry, RECEIPT_ID};
use super::event_is_new;
use postback::duplicate::{DuplicatePolicy, OnRepeat};

/// PostgreSQL has many writers, and each holds what it wrote until its commit: with one row for one thing they would all stand in
/// one line. So each transaction adds into the rows of one slot, and those of one slot take turns.
const SLOTS: i64 = 8;

/// The slot of a transaction: as good as drawn by lot, because the names of receipts are.
pub(super) fn slot(dialect: Dialect, entries: &[Entry]) -> i64 {
    match dialect {
        Dialect::Postgres => {
            let lot = |entry: &Entry| entry.receipt_id().bytes().fold(0, u8::wrapping_add);
            entries.first().map_or(0, |entry| i64::from(lot(entry)).rem_euclid(SLOTS))
        }
        // One writer.
        Dialect::Sqlite => 0,
    }
}

/// Takes out what conversions came to that are about to be brought up to date. The same condition as of the revision itself,
/// which comes behind: the event is new, and the last conversion under its key is not another. Where a repeat revises nothing,
/// there is nothing to take out.
pub(super) fn count_out(dialect: Dialect, policy: DuplicatePolicy) -> Option<Step<Entry>> {
    let is_revised = format!("known.occurrence is not null and not {}", out_of_window(policy, "known"));
    match policy.repeat {
        OnRepeat::Revise => Some(count(dialect, "-", &is_revised)),
        OnRepeat::Ignore | OnRepeat::Flag => None,
    }
}

/// Puts in what conversions come to that have begun or were brought up to date.
pub(super) fn count_in(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    count(dialect, "", is_of_the_event(policy))
}

/// Adds the conversions of new events to their totals, or with a sign takes them out. A statement may touch a row but once, so
/// they are put together first.
fn count(dialect: Dialect, sign: &str, condition: &str) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        EVENT_ID,
        CONVERSION_KEY,
        Column::number("last_received_s", |entry| entry.record.receipt.received_at.unix_s()),
        Column::number("slot", |entry| entry.slot),
    ];
    const KEY: &str = "period_start, event, status, currency, is_duplicate, slot";
    let amounts = ["sale_amount", "payout", "usd_sale_amount", "usd_payout"].map(|name| dialect.amount(name));
    let sums = amounts.each_ref().map(|name| format!("{sign}{}", sum(dialect, name)));
    let added = amounts.each_ref().map(|name| format!("{name} = {}", plus(dialect, name)));
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", counted as (
                select {quarter} as period_start, known.event, coalesce(known.status, '') as status,
                    coalesce(known.currency, '') as currency, known.is_duplicate, input.slot, {amounts}
                from input {known} where {is_new} and {condition})
             insert into totals ({KEY}, conversions, {amounts})
             select {KEY}, {sign}count(*), {sums} from counted where true group by {KEY} order by {KEY}
             on conflict ({KEY}) do update set conversions = totals.conversions + excluded.conversions, {added}",
            quarter = quarter(dialect, "coalesce(known.conversion_datetime, known.ts_event, known.received_at)"),
            known = dialect.left_join_by_key("conversions", "known", &is_last("known")),
            is_new = event_is_new(dialect),
            amounts = amounts.join(", "),
            sums = sums.join(", "),
            added = added.join(", "),
        ),
    )
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
