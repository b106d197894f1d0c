//! What reading again changes, in conversions and money by the day. Before: the conversions concerned as they are stored. After: their
//! events as they will be, recorded and evaluated in a database of their own, in memory, as everything is that comes: so the difference is
//! that of the reports.

use super::Scope;
use crate::app::Platform;
use crate::processing::process;
use crate::store::reader::{Counts, Money, Total};
use crate::store::reread::{After, EventRow, ReceiptRow, Relation, Stored, StoredEvent};
use crate::store::sqlite::Sqlite;
use crate::store::{Database, Receipt, Record, Store, StoreError, Tables, patiently};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::canonical::CanonicalForm;
use postback::id::EventId;
use postback::reading::Reading;
use postback::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// Keys that one statement is asked about.
const CHUNK: usize = 100;
/// Steps from a conversion to those that are balanced with it, and to those that these are balanced with. Two lead to its sale and to the
/// others of that.
const STEPS_MAX: usize = 64;

/// An event, and the receipts that it has.
#[derive(Clone, Debug)]
struct Told {
    row: EventRow,
    receipts: Vec<ReceiptRow>,
}

/// What is compared.
#[derive(Debug, Default)]
pub struct Difference {
    /// Keys of conversions that change.
    keys: BTreeSet<String>,
    /// Events that change, and where they lead, before.
    before: BTreeMap<String, Option<Relation>>,
    /// What they are after; those that go are none.
    after: BTreeMap<String, Told>,
}

/// What a day's conversions come to, before and after.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct DayDifference {
    /// The day.
    pub day: String,
    /// Those that change, as they stand.
    pub before: DayTotals,
    /// As they would.
    pub after: DayTotals,
}

/// What conversions of a day come to. Amounts are decimals in the reporting currency.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DayTotals {
    /// Those that count, without refunds and chargebacks.
    pub conversions: i64,
    /// Refunds.
    pub refunds: i64,
    /// Chargebacks.
    pub chargebacks: i64,
    /// Conversions that were rejected.
    pub rejected: i64,
    /// Possible duplicates.
    pub duplicates: i64,
    /// Conversions with an amount that waits for a rate.
    pub waiting_for_rates: i64,
    /// What customers paid.
    pub sale_amount: rust_decimal::Decimal,
    /// What we are paid.
    pub payout: rust_decimal::Decimal,
}

impl Difference {
    /// Adds a conversion's key.
    pub fn add_key(&mut self, key: &str) {
        if !self.keys.contains(key) {
            self.keys.insert(key.to_owned());
        }
    }

    /// Adds an event as it is and as it will be.
    pub fn add(&mut self, event_id: &str, before: Option<&StoredEvent>, after: &After) {
        let told = match after {
            After::Same => return,
            After::Is(row, first, repeats) => {
                let receipts = std::iter::once(first).chain(repeats).cloned().collect();
                Some(Told { row: row.as_ref().clone(), receipts })
            }
            After::Gone => None,
        };
        let before = before.map(|event| of_event(event_id, &event.row));
        self.before.insert(event_id.to_owned(), before);
        match told {
            Some(told) => drop(self.after.insert(event_id.to_owned(), told)),
            None => drop(self.after.remove(event_id)),
        }
    }

    /// Compares, by days of a time zone: only days that differ are answered; and how many conversions are in none, because something of them
    /// cannot be read.
    ///
    /// # Errors
    /// A database cannot say.
    pub async fn by_day(self, scope: Scope<'_>, zone: &TimeZone) -> Result<(Vec<DayDifference>, u64), StoreError> {
        if self.keys.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let mut told = Balanced::default();
        told.add_unchanged(&self, scope).await?;
        for (event_id, event) in self.after {
            told.add(scope, &event_id, event);
        }
        let Balanced { keys, unreadable, beyond, events } = told;
        let mut unreadable = unreadable;
        let keys: Vec<_> = keys.difference(&unreadable).filter(|key| !beyond.contains(*key)).cloned().collect();
        let mut before = BTreeMap::new();
        let totals = ask(&keys, &mut unreadable, async |keys| scope.store.totals_of_keys(keys).await).await?;
        totals.into_iter().try_for_each(|totals| add_totals(&mut before, totals, zone))?;
        let counted: Vec<_> = keys.into_iter().filter(|key| !unreadable.contains(key)).collect();
        let is_counted = |(reading, _): &(Reading, ReceiptRow)| {
            !unreadable.contains(&scope.partner.duplicates.conversion_key(&reading.postback))
        };
        let events = events.into_iter().filter(is_counted).collect();
        let after = evaluated(scope, events, &counted, zone).await?;
        let days: BTreeSet<_> = before.keys().chain(after.keys()).copied().collect();
        let of_day = |totals: &BTreeMap<Date, Total>, day: &Date| {
            totals.get(day).cloned().map_or_else(DayTotals::default, DayTotals::of)
        };
        let differences = days.into_iter().filter_map(|day| {
            let [before, after] = [of_day(&before, &day), of_day(&after, &day)];
            (before != after).then(|| DayDifference { day: day.to_string(), before, after })
        });
        Ok((differences.collect(), u64::try_from(unreadable.union(&beyond).count()).unwrap_or(u64::MAX)))
    }
}

/// The conversions that change, those that are balanced with them, and the receipts of their events.
#[derive(Default)]
struct Balanced {
    keys: BTreeSet<String>,
    /// Keys of which something cannot be read, or that events have who would have another now. Nothing can be said of them.
    unreadable: BTreeSet<String>,
    /// Keys of which not all is known that they are balanced with.
    beyond: BTreeSet<String>,
    events: Vec<(Reading, ReceiptRow)>,
}

impl Balanced {
    fn add(&mut self, scope: Scope<'_>, event_id: &str, Told { row, receipts }: Told) {
        let key = &row.conversion_key;
        self.keys.insert(key.clone());
        match reading_of(event_id, &row) {
            Some(reading) if scope.partner.duplicates.conversion_key(&reading.postback) == *key => {
                self.events.extend(receipts.into_iter().map(|receipt| (reading.clone(), receipt)));
            }
            Some(_) | None => drop(self.unreadable.insert(row.conversion_key)),
        }
    }

    /// The events that do not change, of the conversions that do, and of those that are balanced with these.
    async fn add_unchanged(&mut self, of: &Difference, scope: Scope<'_>) -> Result<(), StoreError> {
        self.keys.clone_from(&of.keys);
        let after = of.after.iter().map(|(event_id, told)| of_event(event_id, &told.row));
        let mut next: Vec<_> = of.keys.iter().map(|key| of_key(key)).collect();
        next.extend(of.before.values().flatten().cloned().chain(after));
        let mut last = BTreeSet::new();
        for _ in 0..STEPS_MAX {
            let mut found = BTreeSet::new();
            for some in next.chunks(CHUNK) {
                found.extend(patiently(|| scope.store.related_keys(some)).await?);
            }
            found.retain(|key| !self.keys.contains(key));
            next = found.iter().map(|key| of_key(key)).collect();
            self.keys.extend(found.iter().cloned());
            self.beyond = std::mem::replace(&mut last, found);
            if next.is_empty() {
                break;
            }
        }
        // It ends with nothing more, or in the middle of those that are balanced with the last ones.
        match next.is_empty() {
            true => self.beyond.clear(),
            false => self.beyond.extend(last),
        }
        let keys: Vec<_> = self.keys.iter().cloned().collect();
        let stored = ask(&keys, &mut self.unreadable, async |keys| scope.store.events_of_keys(keys).await).await?;
        stored.into_iter().for_each(|stored| self.add_stored(of, scope, stored));
        Ok(())
    }

    fn add_stored(&mut self, of: &Difference, scope: Scope<'_>, stored: Stored) {
        for (event_id, event) in stored.events {
            if !of.before.contains_key(&event_id) {
                let receipts = event.receipts().cloned().collect();
                self.add(scope, &event_id, Told { row: event.row, receipts });
            }
        }
    }
}

/// Asks about keys together, and one by one where something of one cannot be read: that one is unreadable.
async fn ask<T>(
    keys: &[String],
    unreadable: &mut BTreeSet<String>,
    ask: impl AsyncFn(&[String]) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut answers = Vec::new();
    for some in keys.chunks(CHUNK) {
        match patiently(async || ask(some).await).await {
            Err(StoreError::Bug(_)) => {}
            answer => {
                answers.push(answer?);
                continue;
            }
        }
        for key in some {
            match patiently(async || ask(std::slice::from_ref(key)).await).await {
                Err(StoreError::Bug(_)) => drop(unreadable.insert(key.clone())),
                answer => answers.push(answer?),
            }
        }
    }
    Ok(answers)
}

fn of_key(key: &str) -> Relation {
    Relation { conversion_key: Some(key.to_owned()), ..Relation::default() }
}

/// Its key is asked about once, and not with each event.
fn of_event(event_id: &str, row: &EventRow) -> Relation {
    Relation {
        conversion_key: None,
        conversion_id: Some(row.conversion_id.clone()),
        event_id: Some(event_id.to_owned()),
        original_event_id: row.content.get("original_event_id").cloned(),
    }
}

/// What conversions of keys come to by the day, when events are recorded and evaluated in a database in memory.
async fn evaluated(
    scope: Scope<'_>,
    mut events: Vec<(Reading, ReceiptRow)>,
    keys: &[String],
    zone: &TimeZone,
) -> Result<BTreeMap<Date, Total>, StoreError> {
    let database = Database::Sqlite(Sqlite::in_memory(Tables::Partner).await?);
    let store = Store::over(database, scope.partner.duplicates);
    // In order, so that little has to be folded again.
    events.sort_by(|(_, one), (_, other)| one.cmp(other));
    for some in events.chunks(CHUNK) {
        let records = some.iter().map(async |(reading, receipt)| {
            let receipt_id = Platform::SYSTEM.receipt_id()?;
            let (reading, receipt) = (reading.clone(), as_received(receipt));
            let record = Record { receipt_id, reading, receipt, now: (scope.now)() };
            // One that came twice because its answer did not come in time is a duplicate.
            patiently(|| store.record(record.clone())).await
        });
        // Those that come at once are recorded together.
        futures_util::future::try_join_all(records).await?;
    }
    let platform = Platform { now: scope.now, ..Platform::SYSTEM };
    while process(&platform, scope.shared, scope.partner, &store).await? > 0 {}
    let mut totals = BTreeMap::new();
    for some in keys.chunks(CHUNK) {
        add_totals(&mut totals, store.totals_of_keys(some).await?, zone)?;
    }
    store.close().await;
    Ok(totals)
}

/// Adds totals of quarters of an hour to those of their days.
fn add_totals(
    days: &mut BTreeMap<Date, Total>,
    totals: Vec<(Timestamp, Total)>,
    zone: &TimeZone,
) -> Result<(), StoreError> {
    for (start, total) in totals {
        let instant = jiff::Timestamp::from_second(start.unix_s());
        let instant = instant.map_err(|error| StoreError::Bug(error.to_string()))?;
        let day = days.entry(instant.to_zoned(zone.clone()).date()).or_default();
        *day = day
            .clone()
            .plus(&total)
            .ok_or_else(|| StoreError::Bug("sums that are too large to be added".to_owned()))?;
    }
    Ok(())
}

impl DayTotals {
    fn of(total: Total) -> DayTotals {
        let Counts { conversions, refunds, chargebacks, rejected, duplicates, waiting_for_rates, .. } = total.counts;
        let Money { reporting_sale_amount: sale_amount, reporting_payout: payout, .. } = total.money;
        DayTotals { conversions, refunds, chargebacks, rejected, duplicates, waiting_for_rates, sale_amount, payout }
    }
}

/// An event as it was read; None: that cannot be told from what is stored.
fn reading_of(event_id: &str, row: &EventRow) -> Option<Reading> {
    let form = CanonicalForm::new(row.content.iter().map(|(name, text)| (name.clone(), text.clone())));
    let postback = form.into_postback(EventId::parse(event_id)?).ok()?;
    Some(Reading::of_canonical(postback, row.names_event))
}

/// A receipt of which only the order matters.
fn as_received(receipt: &ReceiptRow) -> Receipt {
    Receipt {
        request_id: receipt.request_id.clone(),
        received_at: receipt.received_at,
        auth_mode: String::new(),
        key_id: None,
        client_ip: None,
        method: String::new(),
        target: String::new(),
        headers: serde_json::Value::Object(serde_json::Map::new()),
        content_type: None,
        body: None,
        nonce: None,
    }
}
