//! What is done for events after they were stored (R52): each item of a partner's worklist is taken, judged and put down again, apart
//! from the request that brought it. [`crate::store::worklist`] has the contract; the rules are here, and pure but for this file.

mod finding;
mod judgement;
mod rates;
pub mod balance;
mod group;
mod rebuild;
pub mod again;

pub use finding::Finding;
pub use judgement::{Judgement, REPORTING_CURRENCY, judge};
pub use rates::{Rate, Rates};
pub use rebuild::rebuild_due;

use crate::app::Platform;
use crate::shared::Shared;
use crate::store::worklist::{Conclusion, Facts, Failure, GroupsRead, Item, Judged, Lease, Member, Next};
use crate::store::{Store, StoreError};
use chrono::NaiveDate;
use group::Group;
use postback::partner::Partner;
use postback::retry::Schedule;
use postback::time::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use tracing::{debug, error, warn};

/// For how long items are taken: longer than judging them can take.
const LEASE_MS: i64 = 30_000;

/// Takes items of a partner that are due, judges them and puts them down; answers how many were taken. What cannot be written because
/// of one of them is written one by one, and what fails then is tried again by the schedule of deliveries, for 72 hours.
///
/// (0) conversions are rebuilt whose receipts were not stored in their order
/// (1) items are taken, for a while
/// (2) what they are judged by is read
/// (3) and the rates of their days
/// (4) they are judged
/// (5) what was judged is written
///
/// # Errors
/// Nothing was written of some or all of them; they are due again when their lease ends.
pub async fn process(
    platform: &Platform,
    shared: &Shared,
    partner: &Partner,
    store: &Store,
) -> Result<usize, StoreError> {
    process_round(platform, shared, partner, store).await.map(|processed| processed.items)
}

/// Processes what is due until nothing is: also what another process has taken, which may have been stopped in the middle. `progress` hears
/// how many items were taken.
///
/// # Errors
/// The database was not to be had for a while; an origin does the rest.
#[cfg(not(target_family = "wasm"))]
pub async fn finish(
    platform: &Platform,
    shared: &Shared,
    partner: &Partner,
    store: &Store,
    mut progress: impl FnMut(u64),
) -> Result<(), StoreError> {
    use crate::store::patiently;
    use std::time::{Duration, Instant};
    let mut done: u64 = 0;
    let mut idle_since = Instant::now();
    loop {
        let items = patiently(|| process(platform, shared, partner, store)).await?;
        done = done.saturating_add(u64::try_from(items).unwrap_or(u64::MAX));
        progress(done);
        if items > 0 {
            idle_since = Instant::now();
        }
        if items > 0 || !patiently(|| store.due_rebuilds((platform.now)())).await?.is_empty() {
            continue;
        }
        // Whoever has taken some puts them down, or its lease ends. Clocks may be apart.
        let is_over = idle_since.elapsed() > Duration::from_millis(LEASE_MS.unsigned_abs()).saturating_mul(2);
        if is_over || patiently(|| store.taken_items((platform.now)())).await? == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// What a round of processing did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Processed {
    /// How many items were taken.
    pub items: usize,
    /// How many conversions were newly found to be odd, by the code of what was found.
    pub found: BTreeMap<&'static str, u64>,
}

impl Processed {
    fn add(&mut self, conclusion: &Conclusion) {
        let Some((facts, judged)) = conclusion.of_last_event() else { return };
        let known = facts.judged.as_ref().map_or("", |before| &before.findings);
        judged.findings.iter().filter(|code| !is_listed(known, code)).for_each(|code| self.count(code));
    }

    /// Adds what the database found of a deposit: `codes` is the list of all that is found of it now.
    fn add_of_deposit(&mut self, known: Option<&String>, codes: &str) {
        let known = known.map_or("", String::as_str);
        let is_new = |code: &&&'static str| is_listed(codes, code) && !is_listed(known, code);
        Judged::FOUND_OF_DEPOSITS.iter().filter(is_new).for_each(|code| self.count(code));
    }

    fn count(&mut self, code: &'static str) {
        let count = self.found.entry(code).or_default();
        *count = count.saturating_add(1);
    }
}

/// Whether a JSON list of codes has a code, which stands in quotes there.
fn is_listed(list: &str, code: &str) -> bool {
    list.contains(&format!("\"{code}\""))
}

/// The event of an item, and what was found of its conversion before.
fn known_findings(conclusion: &Conclusion) -> Option<(String, String)> {
    let (facts, _) = conclusion.of_last_event()?;
    Some((conclusion.item.event_id.clone(), facts.judged.as_ref()?.findings.clone()))
}

/// The same as [`process`], and says what was found.
///
/// # Errors
/// As [`process`].
pub async fn process_round(
    platform: &Platform,
    shared: &Shared,
    partner: &Partner,
    store: &Store,
) -> Result<Processed, StoreError> {
    // (0)
    rebuild_due(platform, partner, store).await?;
    let now = (platform.now)();
    let mut steps = Steps { partner, now: platform.now, since_ms: now.unix_ms() };
    // (1)
    let until = Timestamp::from_unix_ms(now.unix_ms().saturating_add(LEASE_MS)).unwrap_or(now);
    let lease = Lease { id: platform.receipt_id()?, now, until };
    let items = store.take_items(&lease).await?;
    if items.is_empty() {
        return Ok(Processed::default());
    }
    let taken = items.len();
    steps.done(1, "taken", taken);
    // (2)
    let (items, mut facts) = read(platform, store, &lease, items).await?;
    steps.done(2, "facts read", facts.len());
    // (3)
    let GroupsRead { groups, refused } = group::read(store, facts.values()).await?;
    let items = without_refused(platform, store, &lease, items, &facts, &refused).await?;
    let days = facts.values().filter_map(|facts| judgement::needs_rates(facts, partner));
    let days: Vec<_> = days.chain(groups.values().flat_map(|members| group::days(members))).collect();
    let rates = rates_of(shared, &days, now).await;
    steps.done(3, "rates read", days.len());
    // (4)
    let groups = Groups::new(groups, partner, rates.as_ref().ok());
    let conclusions: Vec<_> = items
        .into_iter()
        .filter_map(|item| conclusion(item, &mut facts, &groups, partner, rates.as_ref().ok()))
        .collect();
    steps.done(4, "judged", conclusions.len());
    let mut processed = Processed { items: taken, ..Processed::default() };
    conclusions.iter().for_each(|conclusion| processed.add(conclusion));
    let known: HashMap<_, _> = conclusions.iter().filter_map(known_findings).collect();
    // (5)
    let of_deposits = write(platform, store, &lease, conclusions).await?;
    of_deposits.iter().for_each(|(event_id, codes)| processed.add_of_deposit(known.get(event_id), codes));
    steps.done(5, "written", taken);
    match rates {
        Ok(_) => Ok(processed),
        Err(error) => Err(error),
    }
}

/// What items are judged by. What cannot be read together because of one of them is read one by one, and what fails then is put off.
async fn read(
    platform: &Platform,
    store: &Store,
    lease: &Lease,
    items: Vec<Item>,
) -> Result<(Vec<Item>, HashMap<String, Facts>), StoreError> {
    match store.facts_of(&items).await {
        Ok(facts) => Ok((items, facts)),
        Err(StoreError::Bug(reason)) => {
            warn!(reason, items = items.len(), "facts could not be read together; each is read alone");
            let (mut readable, mut facts) = (Vec::new(), HashMap::new());
            for item in items {
                match store.facts_of(std::slice::from_ref(&item)).await {
                    Ok(read) => {
                        facts.extend(read);
                        readable.push(item);
                    }
                    Err(StoreError::Bug(reason)) => give_back((platform.now)(), store, lease, item, reason).await?,
                    Err(error) => return Err(error),
                }
            }
            Ok((readable, facts))
        }
        Err(error) => Err(error),
    }
}

/// The items that can be evaluated. Those whose group cannot be balanced are put off, and hold up no other.
async fn without_refused(
    platform: &Platform,
    store: &Store,
    lease: &Lease,
    items: Vec<Item>,
    facts: &HashMap<String, Facts>,
    refused: &HashMap<String, String>,
) -> Result<Vec<Item>, StoreError> {
    let mut rest = Vec::with_capacity(items.len());
    for item in items {
        let group_id = facts.get(&item.event_id).and_then(Facts::group_id);
        match group_id.and_then(|id| refused.get(id)) {
            Some(reason) => give_back((platform.now)(), store, lease, item, reason.clone()).await?,
            None => rest.push(item),
        }
    }
    Ok(rest)
}

/// The rates that things of these days can need, by a clock.
async fn rates_of(shared: &Shared, days: &[NaiveDate], now: Timestamp) -> Result<Rates, StoreError> {
    match (days.iter().min(), days.iter().max()) {
        (Some(first), Some(last)) => {
            let (first, last) = Rates::days_needed(*first, *last);
            shared.rates(first, last, now.to_chrono().date_naive()).await
        }
        (None, _) | (_, None) => Ok(Rates::default()),
    }
}

/// The groups of a round, balanced. Those that need rates are none where these could not be read.
struct Groups {
    balanced: HashMap<String, Group>,
    unknown: HashSet<String>,
}

impl Groups {
    fn new(groups: HashMap<String, Vec<Member>>, partner: &Partner, rates: Option<&Rates>) -> Groups {
        let none = Rates::default();
        let (mut balanced, mut unknown) = (HashMap::new(), HashSet::new());
        for (id, members) in groups {
            match rates {
                None if group::days(&members).next().is_some() => {
                    unknown.insert(id);
                }
                rates => {
                    balanced.insert(id, Group::new(members, &partner.refunds, rates.unwrap_or(&none)));
                }
            }
        }
        Groups { balanced, unknown }
    }

    fn of(&self, facts: &Facts) -> Option<&Group> {
        self.balanced.get(facts.group_id()?)
    }

    /// Whether rates are missing that its group needs.
    fn is_unknown(&self, facts: &Facts) -> bool {
        facts.group_id().is_some_and(|id| self.unknown.contains(id))
    }
}

/// What becomes of an item. None where it needs rates that could not be read: it is due again when its lease ends.
fn conclusion(
    item: Item,
    facts: &mut HashMap<String, Facts>,
    groups: &Groups,
    partner: &Partner,
    rates: Option<&Rates>,
) -> Option<Conclusion> {
    let Some(facts) = facts.remove(&item.event_id) else {
        // The event changed no conversion: there is nothing to judge.
        return Some(Conclusion { item, judged: None, next: Next::Done, others: Vec::new() });
    };
    let none = Rates::default();
    let rates = match rates {
        Some(rates) => rates,
        None if judgement::needs_rates(&facts, partner).is_none() && !groups.is_unknown(&facts) => &none,
        None => return None,
    };
    let group = groups.of(&facts);
    let Judgement { judged, waits_for_rates } = judge(&facts, group, partner, rates);
    let others = group.map(|group| group.others_of(&facts)).unwrap_or_default();
    debug!(
        partner = partner.code,
        event_id = item.event_id,
        attribution = judged.attribution,
        deposit = judged.deposit,
        findings = ?judged.findings,
        "judged"
    );
    let next = if waits_for_rates { Next::WhenRatesCome } else { Next::Done };
    Some(Conclusion { item, judged: Some((facts, judged)), next, others })
}

async fn write(
    platform: &Platform,
    store: &Store,
    lease: &Lease,
    conclusions: Vec<Conclusion>,
) -> Result<Vec<(String, String)>, StoreError> {
    match store.conclude_items(lease, conclusions.clone()).await {
        Err(StoreError::Bug(reason)) => {
            warn!(reason, items = conclusions.len(), "judgements were refused together; each is written alone");
            let mut found = Vec::new();
            for conclusion in conclusions {
                let item = conclusion.item.clone();
                match store.conclude_items(lease, vec![conclusion]).await {
                    Ok(of_deposits) => found.extend(of_deposits),
                    Err(StoreError::Bug(reason)) => give_back((platform.now)(), store, lease, item, reason).await?,
                    // It is due again when the lease ends.
                    Err(StoreError::Unavailable(_)) => {}
                }
            }
            Ok(found)
        }
        outcome => outcome,
    }
}

/// Puts an item off that could not be written, or gives it up after its last try.
async fn give_back(now: Timestamp, store: &Store, lease: &Lease, item: Item, reason: String) -> Result<(), StoreError> {
    let attempts = item.attempts.saturating_add(1);
    let delay_s = Schedule::standard().delay_s(attempts, &item.event_id);
    let after = |delay_s: u32| now.unix_ms().saturating_add(i64::from(delay_s).saturating_mul(1000));
    let due_at = delay_s.and_then(|delay_s| Timestamp::from_unix_ms(after(delay_s)));
    match due_at {
        Some(_) => warn!(event_id = item.event_id, reason, attempts, "an item failed; trying again"),
        None => error!(event_id = item.event_id, reason, attempts, "an item was given up"),
    }
    store.fail_item(Failure { item, lease: lease.id.clone(), reason, due_at, now }).await
}

/// Tells of each step and how long it took.
struct Steps<'a> {
    partner: &'a Partner,
    now: fn() -> Timestamp,
    since_ms: i64,
}

impl Steps<'_> {
    fn done(&mut self, step: u8, name: &str, items: usize) {
        let now_ms = (self.now)().unix_ms();
        let duration_ms = now_ms.saturating_sub(self.since_ms);
        self.since_ms = now_ms;
        debug!(partner = self.partner.code, step, name, items, duration_ms, "processing");
    }
}
