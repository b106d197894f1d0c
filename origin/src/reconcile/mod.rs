//! A partner's own report against what is stored (R55): what it has and we have not, what we have and it has not, where status or money
//! differ, day by day; and what of it can be repaired, because a postback that says it was rejected or parked.
//!
//! Nothing here changes anything but [`repair::replay`].

mod report;
mod head;
mod cells;
mod rows;
mod pairs;
mod days;
pub mod repair;

pub use days::{Day, Money, Share};
pub use pairs::{Difference, Pair, pair};
pub use report::{Last, Ours, Report, Theirs, Unread};
pub use rows::read;

use crate::reports::days::{begin, timestamp};
use crate::store::reader::{Conversion, Filter, Page, Position};
use crate::store::{Store, StoreError, patiently};
use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::money::Amount;
use postback::time::Timestamp;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Conversions that are read at once.
const PAGE: u32 = 500;
/// Ids that are asked for at once.
const NAMED_AT_ONCE: usize = 500;

/// By what is compared.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose days they are.
    pub zone: TimeZone,
    /// The first and the last day.
    pub days: (Date, Date),
    /// By how much amounts may differ.
    pub tolerance: Amount,
    /// From how many per cent on a day is flagged.
    pub threshold: Decimal,
}

/// What a comparison came to.
#[derive(Clone, Debug)]
pub struct Reconciliation {
    /// The first day.
    pub from: Date,
    /// The last day.
    pub to: Date,
    /// What was compared, in the order of days and of ids.
    pub pairs: Vec<Pair>,
    /// By the day; what has no time stands under none.
    pub days: Vec<Day>,
    /// All days together.
    pub total: Day,
    /// What is stored under each id that was looked at.
    pub stands: BTreeMap<String, Standing>,
}

/// Compares a report with a partner's conversions. `progress` is told how many of these were read or looked for.
///
/// # Errors
/// The database cannot say, or there are no such days.
pub async fn reconcile(
    store: &Store,
    report: &Report,
    rules: &Rules,
    mut progress: impl FnMut(u64),
) -> Result<Reconciliation, String> {
    let (from, to) = rules.days;
    let (from_at, to_at) = (rules.begin(from), to.tomorrow().ok().and_then(|day| rules.begin(day)));
    if from_at.is_none() || to_at.is_none() {
        return Err("there are no such days".to_owned());
    }
    let told = |error: StoreError| error.to_string();
    let mut ours = Stored::default();
    let happened = Filter { from: from_at, to: to_at, ..Filter::default() };
    ours.read(store, &happened, &mut progress).await.map_err(told)?;
    // What does not agree with what we have within the days may be stored under another one.
    let rows = ours.rows_of(report, rules);
    let off: BTreeSet<_> = pair(&rows, &ours.compared(report), rules).iter().filter_map(Pair::id_where_off).collect();
    ours.read_named(store, &off.into_iter().collect::<Vec<_>>(), &mut progress).await.map_err(told)?;
    let stands = Standing::of_each(ours.found.values());
    let mut pairs = pair(&ours.rows_of(report, rules), &ours.compared(report), rules);
    pairs.retain(|pair| pair.is_on(from..=to, &rules.zone));
    let (days, total) = days::of(&pairs, rules, report.says());
    Ok(Reconciliation { from, to, pairs, days, total, stands })
}

impl Reconciliation {
    /// Whether a day, or all of them together, is off by more than the threshold.
    pub fn is_flagged(&self) -> bool {
        self.total.is_flagged || self.days.iter().any(|day| day.is_flagged)
    }
}

/// Conversions that were read, by key and occurrence: one that is revised meanwhile may be read twice.
#[derive(Default)]
struct Stored {
    found: BTreeMap<(String, i64), Ours>,
    ids: BTreeSet<String>,
    looked: u64,
}

impl Stored {
    /// Reads what a filter lets through.
    async fn read(&mut self, store: &Store, filter: &Filter, progress: &mut impl FnMut(u64)) -> Result<(), StoreError> {
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
    async fn read_named(
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
    fn rows_of<'r>(&self, report: &'r Report, rules: &Rules) -> Vec<&'r Theirs> {
        let (from, to) = rules.days;
        let unread = report.unread_ids();
        let is_on_a_day = |row: &&Theirs| {
            let day = row.happened_at.and_then(|at| day_of(at, &rules.zone));
            day.is_none_or(|day| (from..=to).contains(&day)) || self.ids.contains(&row.conversion_id)
        };
        report.rows.iter().filter(|row| !unread.contains(row.conversion_id.as_str())).filter(is_on_a_day).collect()
    }

    /// What is compared with a report: all but what it has in rows that cannot be read.
    fn compared(&self, report: &Report) -> Vec<&Ours> {
        let unread = report.unread_ids();
        self.found.values().filter(|ours| !unread.contains(ours.conversion_id.as_str())).collect()
    }
}

/// What is stored under an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// How many conversions that count.
    pub counted: u64,
    /// How many that are marked as possible duplicates.
    pub marked: u64,
    /// Their keys, and the last that is known under each.
    pub keys: BTreeMap<String, Last>,
}

impl Standing {
    fn of_each<'o>(ours: impl Iterator<Item = &'o Ours>) -> BTreeMap<String, Standing> {
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for ours in ours {
            let standing = standings.entry(ours.conversion_id.clone()).or_default();
            let count = if ours.is_duplicate { &mut standing.marked } else { &mut standing.counted };
            *count = count.saturating_add(1);
            let last = standing.keys.entry(ours.key.clone()).or_insert(ours.last);
            *last = last.or_later(ours.last);
        }
        standings
    }
}

impl Rules {
    /// When a day begins on the zone's clocks.
    pub fn begin(&self, day: Date) -> Option<Timestamp> {
        timestamp(begin(day, &self.zone)?)
    }
}

/// The day of an instant on a zone's clocks.
fn day_of(at: Timestamp, zone: &TimeZone) -> Option<Date> {
    Some(Instant::from_millisecond(at.unix_ms()).ok()?.to_zoned(zone.clone()).date())
}

/// Amounts by currency, in micro-units.
type Sums = BTreeMap<String, i128>;
