//! A partner's own report against what is stored (R55): what it has and we have not, what we have and it has not, where status or money
//! differ, day by day; and what of it can be repaired, because a postback that says it was rejected or parked.
//!
//! Nothing here changes anything but [`repair::replay`].

mod report;
mod head;
mod cells;
mod rows;
mod export;
mod pairs;
mod days;
mod stored;
pub mod repair;

pub use days::{Day, Money, Share};
pub use pairs::{Difference, Pair, pair};
pub use report::{Form, Last, Ours, Report, Theirs, Unread};
pub use rows::read;
pub use stored::{Known, Standing};

use crate::reports::days::{begin, timestamp};
use crate::store::reader::Filter;
use crate::store::{Store, StoreError};
use jiff::Timestamp as Instant;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::money::Amount;
use postback::time::Timestamp;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};
use stored::Stored;

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
    let stands = Standing::of_each(ours.all());
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
