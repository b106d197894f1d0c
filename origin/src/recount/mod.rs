//! Sums are recomputed, not trusted: conversions are folded again from their receipts, evaluated again by the rules and rates of now, and
//! totals counted again from conversions. What differs from what is stored is found ([`crate::store::recount`] and [`evaluation`] have the
//! comparisons). `bytec-origin recount` goes through everything, [`night`] through a part of it every night.

#[cfg(not(target_family = "wasm"))]
pub mod mend;
pub mod night;
mod evaluation;

use crate::shared::Shared;
use crate::store::recount::{ConversionDifference, Key, TotalDifference};
use crate::store::{Store, StoreError};
use chrono::NaiveDate;
use postback::partner::Partner;
use postback::time::Timestamp;
use std::collections::HashSet;

/// Keys that one statement recounts at most.
const KEYS_MAX: usize = 250;
/// Their events and conversions together, where they are known: a key may have thousands.
const ROWS_MAX: usize = 500;

/// Whose conversions are made anew, and by which rules and rates.
#[derive(Clone, Copy)]
pub struct Scope<'a> {
    /// What partners share: the rates.
    pub shared: &'a Shared,
    /// The partner and its rules.
    pub partner: &'a Partner,
    /// Its database.
    pub store: &'a Store,
    /// The clock.
    pub now: fn() -> Timestamp,
}

/// How much was recounted, and how much of it differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Count {
    /// Keys of conversions that were recounted.
    pub keys: u64,
    /// Days of UTC whose totals were.
    pub days: u64,
    /// Conversions and revisions that differ.
    pub conversions_differ: u64,
    /// Rows of totals that differ.
    pub totals_differ: u64,
}

/// A difference.
#[derive(Clone, Debug)]
pub enum Difference {
    /// A conversion, or a revision of one.
    Conversion(ConversionDifference),
    /// A row of totals, and its day.
    Total(NaiveDate, TotalDifference),
}

impl Count {
    /// Whether nothing differs.
    pub fn is_clean(&self) -> bool {
        self.conversions_differ == 0 && self.totals_differ == 0
    }
}

/// Recounts a whole database, a page at a time. `progress` hears how many keys and days were recounted, `found` what differs.
///
/// # Errors
/// The database cannot say.
pub async fn whole(
    scope: Scope<'_>,
    mut progress: impl FnMut(u64),
    mut found: impl FnMut(Difference),
) -> Result<Count, StoreError> {
    let store = scope.store;
    let mut count = Count::default();
    let mut after = String::new();
    loop {
        let page = store.conversion_keys(&after, Timestamp::EPOCH).await?;
        for chunk in chunks(&page.keys) {
            let differences = conversions(scope, &chunk).await?;
            count.keys = count.keys.saturating_add(length(chunk.len()));
            count.conversions_differ = count.conversions_differ.saturating_add(length(differences.len()));
            differences.into_iter().map(Difference::Conversion).for_each(&mut found);
            progress(count.keys);
        }
        match page.keys.last() {
            Some(last) if !page.is_last => after.clone_from(&last.conversion_key),
            Some(_) | None => break,
        }
    }
    let mut from = Some(NaiveDate::MIN);
    while let Some(day) = next_day(store, from).await? {
        let differences = store.recount_totals(day).await?;
        count.days = count.days.saturating_add(1);
        count.totals_differ = count.totals_differ.saturating_add(length(differences.len()));
        differences.into_iter().map(|total| Difference::Total(day, total)).for_each(&mut found);
        progress(count.keys.saturating_add(count.days));
        from = day.succ_opt();
    }
    Ok(count)
}

/// The conversions of keys that differ, and their revisions. Of a key that is to be rebuilt, what was evaluated is not compared: it is
/// evaluated again in any case.
async fn conversions(scope: Scope<'_>, keys: &[String]) -> Result<Vec<ConversionDifference>, StoreError> {
    let mut differences = scope.store.recount_conversions(keys).await?;
    let differ: HashSet<_> = differences.iter().map(|difference| difference.conversion_key.as_str()).collect();
    let right: Vec<_> = keys.iter().filter(|key| !differ.contains(key.as_str())).cloned().collect();
    differences.extend(evaluation::differences(scope, &right).await?);
    Ok(differences)
}

async fn next_day(store: &Store, from: Option<NaiveDate>) -> Result<Option<NaiveDate>, StoreError> {
    // No conversion happened before it: the rules accept no earlier time.
    let first = Timestamp::EPOCH.to_chrono().date_naive();
    match from {
        Some(from) => store.next_day_of_totals(from.max(first)).await,
        None => Ok(None),
    }
}

/// Keys in portions that one statement can recount.
fn chunks(keys: &[Key]) -> Vec<Vec<String>> {
    let mut chunks: Vec<Vec<String>> = Vec::new();
    let mut rows: usize = 0;
    for key in keys {
        rows = rows.saturating_add(key.rows);
        match chunks.last_mut() {
            Some(chunk) if rows <= ROWS_MAX && chunk.len() < KEYS_MAX => chunk.push(key.conversion_key.clone()),
            Some(_) | None => {
                rows = key.rows;
                chunks.push(vec![key.conversion_key.clone()]);
            }
        }
    }
    chunks
}

fn length(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_portion_has_few_keys_and_few_rows_and_every_key_is_in_one() {
        let key = |number: usize, rows| Key {
            conversion_key: number.to_string(),
            rows,
            is_changed: false,
            days: BTreeSet::new(),
        };
        let sizes = |rows: &[usize]| {
            let keys: Vec<_> = rows.iter().enumerate().map(|(number, rows)| key(number, *rows)).collect();
            chunks(&keys).iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&[]), [0; 0]);
        assert_eq!(sizes(&[2; 600]), [250, 250, 100]);
        assert_eq!(sizes(&[499, 1, 1, 2_000, 1]), [2, 1, 1, 1]);
    }
}
