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
pub use report::{Ours, Report, Theirs, Unread};
pub use rows::read;

use crate::store::reader::{Conversion, Filter, Page, Position};
use crate::store::{Store, StoreError};
use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::money::Amount;
use postback::time::Timestamp;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Conversions that are read at once.
const PAGE: u32 = 500;

/// By what is compared.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whose days they are.
    pub zone: TimeZone,
    /// The first and the last day; those of the report where nothing is said.
    pub days: Option<(Date, Date)>,
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
/// The database cannot say, or the report has no day that could be asked about.
pub async fn reconcile(
    store: &Store,
    report: &Report,
    rules: &Rules,
    mut progress: impl FnMut(u64),
) -> Result<Reconciliation, String> {
    let (from, to) = rules
        .days
        .or_else(|| report.days(&rules.zone))
        .ok_or("the report has no times, so it is not known which days it is about: say them with --from and --to")?;
    let (from_at, to_at) = (rules.begin(from), to.tomorrow().ok().and_then(|day| rules.begin(day)));
    if from_at.is_none() || to_at.is_none() {
        return Err("there are no such days".to_owned());
    }
    let happened = Filter { from: from_at, to: to_at, ..Filter::default() };
    let mut ours = Stored::default();
    ours.read(store, happened, &mut progress).await.map_err(|error| error.to_string())?;
    // What the report has under another day than we have.
    for id in ours.lacking(&report.rows) {
        let named = Filter { conversion_id: Some(id.to_owned()), ..Filter::default() };
        ours.read(store, named, &mut progress).await.map_err(|error| error.to_string())?;
    }
    let mut ours: Vec<_> = ours.found.into_values().collect();
    let unread: BTreeSet<_> = report.unread.iter().filter_map(|unread| unread.conversion_id.as_deref()).collect();
    ours.retain(|ours| !unread.contains(ours.conversion_id.as_str()));
    let is_meant = |pair: &Pair| pair.day(&rules.zone).is_none_or(|day| (from..=to).contains(&day));
    let stands = Standing::of_each(&ours);
    let pairs: Vec<_> = pair(&report.rows, ours, rules).into_iter().filter(is_meant).collect();
    let (days, total) = days::of(&pairs, rules, report.says());
    Ok(Reconciliation { from, to, pairs, days, total, stands })
}

/// Conversions that were read, by key and occurrence: one that is revised meanwhile may be read twice.
#[derive(Default)]
struct Stored {
    found: BTreeMap<(String, i64), Ours>,
    looked: u64,
}

impl Stored {
    /// Reads what a filter lets through.
    async fn read(&mut self, store: &Store, filter: Filter, progress: &mut impl FnMut(u64)) -> Result<(), StoreError> {
        let mut after = None;
        loop {
            let page = store.conversions(&Page { filter: filter.clone(), after, limit: PAGE }).await?;
            after = page.last().map(|last| Position {
                happened_at: last.happened_at,
                conversion_key: last.conversion_key.clone(),
                occurrence: last.occurrence,
            });
            let is_last = u32::try_from(page.len()).is_ok_and(|count| count < PAGE);
            self.looked = self.looked.saturating_add(u64::try_from(page.len().max(1)).unwrap_or(u64::MAX));
            progress(self.looked);
            let keyed = |conversion: Conversion| {
                ((conversion.conversion_key.clone(), conversion.occurrence), Ours::from(conversion))
            };
            self.found.extend(page.into_iter().map(keyed));
            if is_last {
                return Ok(());
            }
        }
    }

    /// The ids of which there are fewer than the report has.
    fn lacking<'r>(&self, rows: &'r [Theirs]) -> Vec<&'r str> {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for ours in self.found.values().filter(|ours| !ours.is_duplicate) {
            let count = counts.entry(&ours.conversion_id).or_default();
            *count = count.saturating_add(1);
        }
        let mut lacking = BTreeSet::new();
        for row in rows {
            match counts.get_mut(row.conversion_id.as_str()) {
                Some(count @ 1..) => *count = count.saturating_sub(1),
                Some(0) | None => drop(lacking.insert(row.conversion_id.as_str())),
            }
        }
        lacking.into_iter().collect()
    }
}

/// What is stored under an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// How many conversions that count.
    pub counted: u64,
    /// How many that are marked as possible duplicates.
    pub marked: u64,
    /// When one of them last changed.
    pub changed_at: Timestamp,
}

impl Standing {
    fn of_each(ours: &[Ours]) -> BTreeMap<String, Standing> {
        let mut standings: BTreeMap<String, Standing> = BTreeMap::new();
        for ours in ours {
            let nothing = Standing { counted: 0, marked: 0, changed_at: ours.changed_at };
            let standing = standings.entry(ours.conversion_id.clone()).or_insert(nothing);
            let count = if ours.is_duplicate { &mut standing.marked } else { &mut standing.counted };
            *count = count.saturating_add(1);
            standing.changed_at = standing.changed_at.max(ours.changed_at);
        }
        standings
    }
}

impl Rules {
    /// When a day begins on the zone's clocks.
    pub fn begin(&self, day: Date) -> Option<Timestamp> {
        let begin = day.to_zoned(self.zone.clone()).ok()?.start_of_day().ok()?;
        Timestamp::from_unix_ms(begin.timestamp().as_millisecond())
    }
}

/// The day of an instant on a zone's clocks.
fn day_of(at: Timestamp, zone: &TimeZone) -> Option<Date> {
    Some(Instant::from_millisecond(at.unix_ms()).ok()?.to_zoned(zone.clone()).date())
}

/// Amounts by currency, in micro-units.
type Sums = BTreeMap<String, i128>;
