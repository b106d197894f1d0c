//! What reading again changes, in conversions and money by the day. Both what is stored of the conversions concerned and what would be are
//! recorded and evaluated in databases of their own, in memory, as everything is that comes: so the difference is that of the reports.

use super::Scope;
use super::plan::event_row;
use crate::app::Platform;
use crate::processing::process;
use crate::reports::days::{begin, timestamp};
use crate::store::reader::{Counts, Money, Span};
use crate::store::reread::{EventRow, ReceiptRow, Relation, StoredEvent};
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
/// Steps from a conversion to those that are balanced with it: to its sale, to the others of that, and one that finds no more.
const STEPS_MAX: usize = 4;

/// An event, and the receipts that it has.
#[derive(Clone, Debug)]
struct Told {
    row: EventRow,
    receipts: Vec<ReceiptRow>,
    /// The number of the request that it is read from.
    read_from: i64,
}

/// What is compared.
#[derive(Debug, Default)]
pub struct Difference {
    /// Keys of conversions that change.
    keys: BTreeSet<String>,
    /// Events that change, before.
    before: BTreeMap<String, Told>,
    /// After.
    after: BTreeMap<String, Told>,
    /// Requests that were rejected and are accepted, in the order in which they were stored.
    accepted: Vec<(Reading, ReceiptRow)>,
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

    /// Adds an event as it is.
    pub fn add_before(&mut self, event_id: &str, event: &StoredEvent) {
        let receipts = event.receipts().cloned().collect();
        let told = Told { row: event.row.clone(), receipts, read_from: 0 };
        self.before.entry(event_id.to_owned()).or_insert(told);
    }

    /// Adds an event as it will be. What was found before that comes to the same event is put together with it: what is not stored yet is
    /// not found again.
    pub fn add_after(&mut self, event_id: &str, row: &EventRow, receipts: Vec<ReceiptRow>, read_from: i64) {
        let told = Told { row: row.clone(), receipts, read_from };
        match self.after.remove(event_id) {
            None => drop(self.after.insert(event_id.to_owned(), told)),
            Some(known) => {
                let (mut stands, other) = if known.read_from <= read_from { (known, told) } else { (told, known) };
                if stands.row.fingerprint == other.row.fingerprint {
                    stands.receipts.extend(other.receipts);
                    stands.receipts.sort();
                    stands.receipts.dedup_by(|one, other| one.request_id == other.request_id);
                }
                self.after.insert(event_id.to_owned(), stands);
            }
        }
    }

    /// Adds a request that was rejected and is accepted.
    pub fn add_accepted(&mut self, scope: Scope<'_>, reading: &Reading, receipt: ReceiptRow) {
        self.add_key(&event_row(&scope.partner.duplicates, reading).conversion_key);
        self.accepted.push((reading.clone(), receipt));
    }

    /// Compares, by days of a time zone: only days that differ are answered.
    ///
    /// # Errors
    /// A database cannot say.
    pub async fn by_day(self, scope: Scope<'_>, zone: &TimeZone) -> Result<Vec<DayDifference>, StoreError> {
        if self.keys.is_empty() {
            return Ok(Vec::new());
        }
        let unchanged = self.unchanged(scope).await?;
        let Difference { before, after, accepted, .. } = self;
        let before = Scratch::of(unchanged.iter().chain(&before), &[], scope).await?;
        let after = Scratch::of(unchanged.iter().chain(&after), &accepted, scope).await?;
        let days = before.days(zone).await?.union(&after.days(zone).await?).copied().collect::<BTreeSet<_>>();
        let mut differences = Vec::new();
        for day in days {
            let [was, is] = [before.day(day, zone).await?, after.day(day, zone).await?];
            if was != is {
                differences.push(DayDifference { day: day.to_string(), before: was, after: is });
            }
        }
        before.store.close().await;
        after.store.close().await;
        Ok(differences)
    }

    /// The events that do not change, of the conversions that do, and of those that are balanced with these. One that cannot be read is
    /// left out, before and after.
    async fn unchanged(&self, scope: Scope<'_>) -> Result<BTreeMap<String, Told>, StoreError> {
        let mut keys = self.keys.clone();
        let mut next: Vec<_> = keys.iter().map(|key| of_key(key)).collect();
        let told = self.before.iter().chain(&self.after).map(|(event_id, told)| of_event(event_id, &told.row));
        next.extend(told);
        next.extend(self.accepted.iter().map(|(reading, _)| {
            of_event(reading.postback.event_id().as_str(), &event_row(&scope.partner.duplicates, reading))
        }));
        for _ in 0..STEPS_MAX {
            let mut found = BTreeSet::new();
            for some in next.chunks(CHUNK) {
                found.extend(patiently(|| scope.store.related_keys(some)).await?);
            }
            next = found.difference(&keys).map(|key| of_key(key)).collect();
            keys.extend(found);
            if next.is_empty() {
                break;
            }
        }
        let mut unchanged = BTreeMap::new();
        let keys: Vec<_> = keys.into_iter().collect();
        for some in keys.chunks(CHUNK) {
            let stored = patiently(|| scope.store.events_of_keys(some)).await?;
            for (event_id, event) in stored.events {
                let is_other = !self.before.contains_key(&event_id) && !self.after.contains_key(&event_id);
                if is_other && reading_of(&event_id, &event.row).is_ok() {
                    let receipts = event.receipts().cloned().collect();
                    unchanged.insert(event_id, Told { row: event.row, receipts, read_from: 0 });
                }
            }
        }
        Ok(unchanged)
    }
}

fn of_key(key: &str) -> Relation {
    Relation { conversion_key: Some(key.to_owned()), ..Relation::default() }
}

fn of_event(event_id: &str, row: &EventRow) -> Relation {
    Relation {
        conversion_key: Some(row.conversion_key.clone()),
        conversion_id: Some(row.conversion_id.clone()),
        event_id: Some(event_id.to_owned()),
        original_event_id: row.content.get("original_event_id").cloned(),
    }
}

/// A database in memory.
struct Scratch {
    store: Store,
}

impl Scratch {
    /// One in which events were recorded and evaluated.
    async fn of<'e>(
        events: impl Iterator<Item = (&'e String, &'e Told)>,
        accepted: &[(Reading, ReceiptRow)],
        scope: Scope<'_>,
    ) -> Result<Scratch, StoreError> {
        let database = Database::Sqlite(Sqlite::in_memory(Tables::Partner).await?);
        let scratch = Scratch { store: Store::over(database, scope.partner.duplicates) };
        let mut records = Vec::new();
        for (event_id, told) in events {
            let reading = reading_of(event_id, &told.row)?;
            records.extend(told.receipts.iter().map(|receipt| (reading.clone(), receipt.clone())));
        }
        // In order, so that little has to be folded again.
        records.sort_by(|(_, one), (_, other)| one.cmp(other));
        for (reading, receipt) in records.iter().chain(accepted) {
            let now = (scope.now)();
            let receipt_id = Platform::SYSTEM.receipt_id()?;
            let record = Record { receipt_id, reading: reading.clone(), receipt: as_received(receipt), now };
            scratch.store.record(record).await?;
        }
        while process(&Platform { now: scope.now, ..Platform::SYSTEM }, scope.shared, scope.partner, &scratch.store)
            .await?
            > 0
        {}
        Ok(scratch)
    }

    /// The days that have any.
    async fn days(&self, zone: &TimeZone) -> Result<BTreeSet<Date>, StoreError> {
        let mut days = BTreeSet::new();
        // No conversion happened before it: the rules accept no earlier time.
        let mut from = Timestamp::EPOCH.to_chrono().date_naive();
        while let Some(day) = self.store.next_day_of_totals(from).await? {
            let midnight = |day: chrono::NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc().timestamp();
            let next = day.succ_opt().ok_or_else(|| StoreError::Bug("a day that has no next".to_owned()))?;
            for second in [midnight(day), midnight(next).saturating_sub(1)] {
                let instant = jiff::Timestamp::from_second(second);
                let instant = instant.map_err(|error| StoreError::Bug(error.to_string()))?;
                days.insert(instant.to_zoned(zone.clone()).date());
            }
            from = next;
        }
        Ok(days)
    }

    /// What a day's conversions come to.
    async fn day(&self, day: Date, zone: &TimeZone) -> Result<DayTotals, StoreError> {
        let no_day = || StoreError::Bug(format!("{day} does not begin"));
        let next = day.tomorrow().map_err(|_| no_day())?;
        let [start, end] = [begin(day, zone), begin(next, zone)].map(|at| at.and_then(timestamp).ok_or_else(no_day));
        let span = Span { number: 0, start: start?, end: end? };
        let totals = self.store.totals_of(span, &[span]).await?;
        Ok(totals.parts.into_iter().next().map_or_else(DayTotals::default, |total| {
            let Counts { conversions, refunds, chargebacks, rejected, duplicates, waiting_for_rates, .. } =
                total.counts;
            let Money { reporting_sale_amount: sale_amount, reporting_payout: payout, .. } = total.money;
            DayTotals {
                conversions,
                refunds,
                chargebacks,
                rejected,
                duplicates,
                waiting_for_rates,
                sale_amount,
                payout,
            }
        }))
    }
}

/// An event as it was read.
fn reading_of(event_id: &str, row: &EventRow) -> Result<Reading, StoreError> {
    let unreadable = |what: &str| StoreError::Bug(format!("event {event_id}: its {what} cannot be read"));
    let id = EventId::parse(event_id).ok_or_else(|| unreadable("id"))?;
    let form = CanonicalForm::new(row.content.iter().map(|(name, text)| (name.clone(), text.clone())));
    let postback = form.into_postback(id).map_err(|why| unreadable(&why.to_string()))?;
    Ok(Reading::of_canonical(postback, row.names_event))
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
