//! What is stored of a partner's conversions, as it is compared with a report, and how it stands under an id.

use super::Rules;
use super::report::{Last, Ours, Report, Theirs};
use crate::store::reader::{Conversion, Filter, Page, Position};
use crate::store::{Store, StoreError, patiently};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

/// Conversions that are read at once.
const PAGE: u32 = 500;
/// Ids that are asked for at once.
const NAMED_AT_ONCE: usize = 500;

/// What is stored under an id. Two of them are equal when nothing was written under it between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many conversions that count.
    pub counted: u64,
    /// How many that are marked as possible duplicates.
    pub marked: u64,
    /// What is known under each of their keys.
    pub keys: BTreeMap<String, Known>,
}

/// What is known under a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// How many conversions it has: more than one with a window, or where repeats are marked, or were.
    pub conversions: u64,
    /// The last that is known of them.
    pub last: Last,
}

impl Standing {
    /// What is stored under an id now.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn read(store: &Store, conversion_id: &str) -> Result<Standing, StoreError> {
        let mut stored = Stored::default();
        stored.read_named(store, &[conversion_id.to_owned()], &mut |_| ()).await?;
        Ok(Standing::of_each(stored.all()).remove(conversion_id).unwrap_or_default())
    }

    pub(super) fn of_each<'o>(ours: impl Iterator<Item = &'o Ours>) -> BTreeMap<String, Standing> {
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for ours in ours {
            let standing = standings.entry(ours.conversion_id.clone()).or_default();
            let count = if ours.is_duplicate { &mut standing.marked } else { &mut standing.counted };
            *count = count.saturating_add(1);
            match standing.keys.entry(ours.key.clone()) {
                Entry::Vacant(none) => drop(none.insert(Known { conversions: 1, last: ours.last })),
                Entry::Occupied(mut known) => {
                    let Known { conversions, last } = *known.get();
                    known.insert(Known { conversions: conversions.saturating_add(1), last: last.or_later(ours.last) });
                }
            }
        }
        standings
    }
}

/// Conversions that were read, by key and occurrence: one that is revised meanwhile may be read twice.
#[derive(Default)]
pub(super) struct Stored {
    found: BTreeMap<(String, i64), Ours>,
    ids: BTreeSet<String>,
    looked: u64,
}

impl Stored {
    /// Reads what a filter lets through.
    pub(super) async fn read(
        &mut self,
        store: &Store,
        filter: &Filter,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = Page { filter: filter.clone(), after, limit: PAGE };
            let found = patiently(async || store.conversions(&page).await).await?;
            after = found.last().map(|last| Position {
                happened_at: last.happened_at,
                conversion_key: last.conversion_key.clone(),
                occurrence: last.occurrence,
            });
            let is_last = u32::try_from(found.len()).is_ok_and(|count| count < PAGE);
            self.add(found, progress);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Reads what has these ids.
    pub(super) async fn read_named(
        &mut self,
        store: &Store,
        ids: &[String],
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        for some in ids.chunks(NAMED_AT_ONCE) {
            match patiently(async || store.conversions_named(some).await).await? {
                Some(found) => self.add(found, progress),
                None => {
                    for id in some {
                        let filter = Filter { conversion_id: Some(id.clone()), ..Filter::default() };
                        self.read(store, &filter, progress).await?;
                    }
                }
            }
            self.looked = self.looked.saturating_add(u64::try_from(some.len()).unwrap_or(u64::MAX));
            progress(self.looked);
        }
        Ok(())
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Ours> {
        self.found.values()
    }

    fn add(&mut self, found: Vec<Conversion>, progress: &mut impl FnMut(u64)) {
        self.looked = self.looked.saturating_add(u64::try_from(found.len()).unwrap_or(u64::MAX));
        progress(self.looked);
        self.ids.extend(found.iter().map(|conversion| conversion.conversion_id.clone()));
        let keyed = found
            .into_iter()
            .map(|conversion| ((conversion.conversion_key.clone(), conversion.occurrence), Ours::from(conversion)));
        self.found.extend(keyed);
    }

    /// The rows that are compared: those of the days or without one, and others of the ids that we have there, which may be what we have.
    /// Of ids of which a row cannot be read none is.
    pub(super) fn rows_of<'r>(&self, report: &'r Report, rules: &Rules) -> Vec<&'r Theirs> {
        let (from, to) = rules.days;
        let unread = report.unread_ids();
        let is_on_a_day = |row: &&Theirs| {
            row.day(&rules.zone).is_none_or(|day| (from..=to).contains(&day)) || self.ids.contains(&row.conversion_id)
        };
        report.rows.iter().filter(|row| !unread.contains(row.conversion_id.as_str())).filter(is_on_a_day).collect()
    }

    /// What is compared with a report: all but what it has in rows that cannot be read.
    pub(super) fn compared(&self, report: &Report) -> Vec<&Ours> {
        let unread = report.unread_ids();
        self.found.values().filter(|ours| !unread.contains(ours.conversion_id.as_str())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::pairs::tests::ours;
    use super::*;
    use postback::time::Timestamp;
    use postback::zone::Zone;

    #[test]
    fn a_standing_is_another_when_anything_was_written_under_its_id() {
        let at = |text: &str| Timestamp::parse(text, &Zone::utc()).unwrap();
        let sale = || Ours { key: "k1".to_owned(), ..ours("a purchase pending 1 2025-11-20T10:00:00Z") };
        let of = |all: &[Ours]| Standing::of_each(all.iter()).remove("a").unwrap_or_default();
        let judged = of(&[sale()]);
        assert_eq!(judged, of(&[sale()]));
        let Last { received_s, changed_at } = sale().last;
        let later = at("2025-12-02T00:00:00Z");
        for written in [
            // Revised: by what came later, by what came earlier and was late, within the second.
            vec![Ours { last: Last { received_s: received_s + 1, changed_at: later }, ..sale() }],
            vec![Ours { last: Last { received_s, changed_at: later }, ..sale() }],
            // Ignored.
            vec![Ours { last: Last { received_s: received_s + 1, changed_at }, ..sale() }],
            // Begun: under another key, as a duplicate, and as another under this key.
            vec![sale(), Ours { key: "k2".to_owned(), ..sale() }],
            vec![sale(), Ours { key: "k2".to_owned(), is_duplicate: true, ..sale() }],
            vec![sale(), sale()],
            // Erased.
            vec![],
        ] {
            assert_ne!(of(&written), judged, "{written:?}");
        }
    }
}
