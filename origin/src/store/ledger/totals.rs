//! How postbacks move the totals.

use super::super::statement::{Column, Dialect, Step};
use super::super::totals::{Count, count};
use super::conversions::{is_apart, is_newest, is_of_the_event, left_join_last};
use super::entry::{CONVERSION_KEY, EVENT_ID, Entry, IS_DEFERRED, LAST_RECEIVED_MS, RECEIPT_ID, REQUEST_ID};
use super::event_is_new;
use postback::duplicate::{DuplicatePolicy, OnRepeat};

const COLUMNS: &[Column<Entry>] = &[
    RECEIPT_ID,
    EVENT_ID,
    CONVERSION_KEY,
    LAST_RECEIVED_MS,
    REQUEST_ID,
    IS_DEFERRED,
    Column::number("slot", |entry| entry.slot),
];

/// Takes out what conversions came to that are about to be brought up to date. The same condition as of the revision itself,
/// which comes behind: the event is new and the newest, and the last conversion under its key is not another. Where a repeat revises nothing,
/// there is nothing to take out.
pub(super) fn count_out(dialect: Dialect, policy: DuplicatePolicy) -> Vec<Step<Entry>> {
    let is_revised =
        format!("known.occurrence is not null and {} and not {}", is_newest("known"), is_apart(policy, "known"));
    match policy.repeat {
        OnRepeat::Revise => count_of_new(dialect, Count::Out, &is_revised),
        OnRepeat::Ignore | OnRepeat::Flag => Vec::new(),
    }
}

/// Puts in what conversions come to that have begun or were brought up to date.
pub(super) fn count_in(dialect: Dialect, policy: DuplicatePolicy) -> Vec<Step<Entry>> {
    count_of_new(dialect, Count::In, &is_of_the_event(policy))
}

/// Counts the conversions of new events.
fn count_of_new(dialect: Dialect, in_or_out: Count, condition: &str) -> Vec<Step<Entry>> {
    let condition = format!("{} and {condition}", event_is_new(dialect));
    count(dialect, COLUMNS, in_or_out, &left_join_last(dialect, "known"), &condition)
}
