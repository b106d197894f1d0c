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

use crate::store::reader::{Filter, Page, Position};
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
}

/// Compares a report with a partner's conversions. `progress` is told how many of these were read.
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
    let mut ours = all(store, happened, &mut progress).await.map_err(|error| error.to_string())?;
    let known: BTreeSet<_> = ours.iter().map(|ours| ours.conversion_id.clone()).collect();
    // What the report has under another day than we have.
    let asked: BTreeSet<_> = report.rows.iter().map(|row| row.conversion_id.as_str()).collect();
    for id in asked.into_iter().filter(|id| !known.contains(*id)) {
        let named = Filter { conversion_id: Some(id.to_owned()), ..Filter::default() };
        ours.extend(all(store, named, &mut |_| ()).await.map_err(|error| error.to_string())?);
        progress(u64::try_from(ours.len()).unwrap_or(u64::MAX));
    }
    let is_meant = |pair: &Pair| pair.day(&rules.zone).is_none_or(|day| (from..=to).contains(&day));
    let pairs: Vec<_> = pair(&report.rows, ours, rules).into_iter().filter(is_meant).collect();
    let (days, total) = days::of(&pairs, rules, report.has_usd());
    Ok(Reconciliation { from, to, pairs, days, total })
}

impl Rules {
    /// When a day begins on the zone's clocks.
    pub fn begin(&self, day: Date) -> Option<Timestamp> {
        let begin = day.to_zoned(self.zone.clone()).ok()?.start_of_day().ok()?;
        Timestamp::from_unix_ms(begin.timestamp().as_millisecond())
    }
}

async fn all(store: &Store, filter: Filter, progress: &mut impl FnMut(u64)) -> Result<Vec<Ours>, StoreError> {
    let mut found = Vec::new();
    let mut after = None;
    loop {
        let page = store.conversions(&Page { filter: filter.clone(), after, limit: PAGE }).await?;
        after = page.last().map(|last| Position {
            happened_at: last.happened_at,
            conversion_key: last.conversion_key.clone(),
            occurrence: last.occurrence,
        });
        let is_last = u32::try_from(page.len()).is_ok_and(|count| count < PAGE);
        found.extend(page.into_iter().map(Ours::from));
        progress(u64::try_from(found.len()).unwrap_or(u64::MAX));
        if is_last {
            return Ok(found);
        }
    }
}

/// The day of an instant on a zone's clocks.
fn day_of(at: Timestamp, zone: &TimeZone) -> Option<Date> {
    Some(Instant::from_millisecond(at.unix_ms()).ok()?.to_zoned(zone.clone()).date())
}

/// Amounts by currency, in micro-units.
type Sums = BTreeMap<String, i128>;
