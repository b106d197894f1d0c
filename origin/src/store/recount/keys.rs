//! The keys of conversions, by the page: those that events have, and those that conversions have, which should be the same.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step};
use super::super::totals::happened_at;
use chrono::NaiveDate;
use postback::time::Timestamp;
use std::collections::BTreeSet;

/// Rows of events and conversions that one page is made of.
pub const ROWS_MAX: usize = 2_000;

/// A key of conversions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// The key.
    pub conversion_key: String,
    /// How many events and conversions it has, or the page has of it.
    pub rows: usize,
    /// Whether one of its conversions changed since the instant that was asked about.
    pub is_changed: bool,
    /// The days of UTC on which its conversions happened.
    pub days: BTreeSet<NaiveDate>,
}

/// A page of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys, in their order.
    pub keys: Vec<Key>,
    /// Whether there are none behind them.
    pub is_last: bool,
}

/// Where a page begins.
#[derive(Clone, Debug)]
pub(super) struct After {
    pub conversion_key: String,
    pub changed_since: Timestamp,
}

const EVENT: &str = "event";
const CHANGED: &str = "changed";
const UNCHANGED: &str = "unchanged";

pub(super) fn page(dialect: Dialect) -> Step<After> {
    const COLUMNS: &[Column<After>] = &[
        Column::text("after_key", |after| Some(after.conversion_key.clone())),
        Column::time("changed_since", |after| Some(after.changed_since)),
    ];
    let rows = |columns: &str, table: &str| {
        format!(
            "(select conversion_key, {columns} from {table} as known
              where conversion_key > (select after_key from input) order by conversion_key limit {ROWS_MAX}) as next_{table}"
        )
    };
    let day = format!("substr({}, 1, 10)", dialect.time_text("happened_at"));
    let statement = format!(
        "select id, answer from (
            select conversion_key as id, '{EVENT} ' as answer from {}
            union all
            select conversion_key as id,
                case when updated_at >= (select changed_since from input) then '{CHANGED} ' else '{UNCHANGED} ' end || {day} as answer
            from {}
         ) as both_tables order by id limit {ROWS_MAX}",
        rows("event_id", "events"),
        rows(&format!("updated_at, {} as happened_at", happened_at("known")), "conversions"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read(done: Vec<Done>) -> Result<KeyPage, StoreError> {
    let mut page = KeyPage::default();
    let mut rows: usize = 0;
    for (conversion_key, answer) in done.into_iter().flat_map(|done| done.answers) {
        rows = rows.saturating_add(1);
        match page.keys.last_mut().filter(|last| last.conversion_key == conversion_key) {
            Some(last) => last.add(&answer)?,
            None => {
                let mut key = Key { conversion_key, rows: 0, is_changed: false, days: BTreeSet::new() };
                key.add(&answer)?;
                page.keys.push(key);
            }
        }
    }
    page.is_last = rows < ROWS_MAX;
    if !page.is_last {
        match page.keys.as_mut_slice() {
            // Only a part of it was read, and that may be the part that did not change.
            [only] => only.is_changed = true,
            // So may it be of the last one, which begins the next page.
            _ => drop(page.keys.pop()),
        }
    }
    Ok(page)
}

impl Key {
    fn add(&mut self, answer: &str) -> Result<(), StoreError> {
        self.rows = self.rows.saturating_add(1);
        let unreadable = || StoreError::Bug("a row of a key that cannot be read".to_owned());
        let (what, day) = answer.split_once(' ').ok_or_else(unreadable)?;
        match what {
            EVENT => return Ok(()),
            CHANGED => self.is_changed = true,
            UNCHANGED => {}
            _ => return Err(unreadable()),
        }
        self.days.insert(day.parse().map_err(|_| unreadable())?);
        Ok(())
    }
}
