//! What is still to be done for events that entered (R52).

use super::super::statement::{Column, Dialect, Step};
use super::entry::{CONVERSION_KEY, EVENT_ID, Entry, RECEIPT_ID};
use super::{event_is_new, of};

/// Enters one item for each event that is new, due at once. Whatever became of the event, processing hears of it: that it was
/// late or ignored is for it to judge.
pub(super) fn enter_work(dialect: Dialect) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        EVENT_ID,
        CONVERSION_KEY,
        Column::time("due_at", |entry| Some(entry.record.now)),
        Column::time("created_at", |entry| Some(entry.record.now)),
        Column::time("updated_at", |entry| Some(entry.record.now)),
    ];
    const NAMES: [&str; 5] = ["event_id", "conversion_key", "due_at", "created_at", "updated_at"];
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into work_items ({}) select {} from input where {}",
            NAMES.join(", "),
            of("input", &NAMES),
            event_is_new(dialect),
        ),
    )
}
