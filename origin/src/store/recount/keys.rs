//! The keys of conversions, by the page: those that events have, and those that conversions have, which should be the same. And those that
//! revisions alone have, which should be none.

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
    /// How many events and conversions it has, or the page has of it. Where it has neither: how many revisions.
    pub rows: usize,
    /// Whether something of it changed since the instant that was asked about: an event came, or a conversion was written or evaluated. A
    /// key without a conversion has changed in any case.
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

/// The rest of a page: up to its last key, or what is behind all others.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub after_key: String,
    pub through_key: Option<String>,
}

const EVENT: &str = "event";
const RECEIVED: &str = "received";
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
    let since = "(select changed_since from input)";
    // What is evaluated is not a statement of a sender's, so it leaves `updated_at` as it is.
    let is_changed = format!("updated_at >= {since} or processed_at >= {since}");
    let statement = format!(
        "select id, answer from (
            select conversion_key as id, case when received_at >= {since} then '{RECEIVED} ' else '{EVENT} ' end as answer from {}
            union all
            select conversion_key as id, case when {is_changed} then '{CHANGED} ' else '{UNCHANGED} ' end || {day} as answer from {}
         ) as both_tables order by id limit {ROWS_MAX}",
        rows("received_at", "events"),
        rows(&format!("updated_at, processed_at, {} as happened_at", happened_at("known")), "conversions"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

/// Keys that neither an event nor a conversion has, and how many revisions of them are left, between two keys.
pub(super) fn orphans(dialect: Dialect, span: &Span) -> Step<Span> {
    const COLUMNS: &[Column<Span>] = &[
        Column::text("after_key", |span| Some(span.after_key.clone())),
        Column::text("through_key", |span| span.through_key.clone()),
    ];
    // A condition that might hold for all would have SQLite go through all of them for each page.
    let until = match span.through_key {
        Some(_) => "and known.conversion_key <= (select through_key from input)",
        None => "",
    };
    let by_key = dialect.by_key();
    let absent = |table: &str| {
        format!("not exists (select 1 from {table} where {table}.conversion_key = known.conversion_key{by_key})")
    };
    let statement = format!(
        "select known.conversion_key as id, cast(count(*) as text) as answer from revisions as known
         where known.conversion_key > (select after_key from input) {until} and {} and {}
         group by known.conversion_key order by known.conversion_key limit {ROWS_MAX}",
        absent("events"),
        absent("conversions"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read_orphans(done: Vec<Done>) -> Result<Vec<Key>, StoreError> {
    let key = |(conversion_key, rows): (String, String)| {
        let rows = rows.parse().map_err(|_| StoreError::Bug("a number of revisions that is none".to_owned()))?;
        Ok(Key { conversion_key, rows, is_changed: true, days: BTreeSet::new() })
    };
    done.into_iter().flat_map(|done| done.answers).map(key).collect()
}

impl KeyPage {
    /// Where keys are that belong to the page, and were not among its rows.
    pub(super) fn span(&self, after: &str) -> Span {
        let last = self.keys.last().filter(|_| !self.is_last);
        Span { after_key: after.to_owned(), through_key: last.map(|key| key.conversion_key.clone()) }
    }

    /// Adds such keys.
    pub(super) fn add(&mut self, keys: Vec<Key>) {
        self.keys.extend(keys);
        self.keys.sort_by(|one, other| one.conversion_key.cmp(&other.conversion_key));
    }
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
    for key in &mut page.keys {
        // Somebody deleted its conversions, or they were never written.
        key.is_changed |= key.days.is_empty();
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
            RECEIVED => {
                self.is_changed = true;
                return Ok(());
            }
            CHANGED => self.is_changed = true,
            UNCHANGED => {}
            _ => return Err(unreadable()),
        }
        self.days.insert(day.parse().map_err(|_| unreadable())?);
        Ok(())
    }
}
