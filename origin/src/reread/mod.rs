//! Reading stored requests again, by a partner's rules of now (R70): a partner file that was wrong costs a command. Afterwards all is as if
//! the requests had been read by these rules when they came, under the times at which they did.
//!
//! Requests that were rejected and are accepted now are recorded as everything is that comes. Of requests that were accepted the new reading
//! takes the place of the old one: it is no further notice. One that is rejected now moves to the rejected ones, and a conversion that no
//! request tells of any more goes. What each request was before stays (`reread_requests`).
//!
//! Whatever is read to the same as before is left alone, so that reading again once more changes nothing.

mod cluster;
mod difference;
mod plan;
pub mod request;

pub use crate::recount::Scope;
pub use difference::{DayDifference, DayTotals};
pub use plan::Left;

use crate::app::Platform;
use crate::processing::finish;
use crate::store::reader::Rejection;
use crate::store::reread::{
    After, Became, EventChange, EventRow, KeyChange, Known, Link, PAGE, Place, ReceiptRow, Replacement, RequestRow,
    RequestSpan, Stored,
};
use crate::store::{Record, Recorded, StoreError, patiently};
use cluster::{Cluster, read};
use difference::Difference;
use jiff::tz::TimeZone;
use plan::{Now, Plan, content, event_row, plan};
use postback::conversion::{Notice, Receipt, fold};
use postback::id::Nonce;
use postback::reading::Reading;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How often requests are read again whose events have changed since they were read.
const TRIES_MAX: usize = 8;

/// Which requests are read again.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Those that were received at this instant or later.
    pub from: Timestamp,
    /// Those that were received before this instant. Others of the same events are read with them.
    pub to: Timestamp,
    /// Whether requests stay accepted that would be rejected now.
    pub keep_accepted: bool,
}

/// What reading again comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    /// Requests that were accepted and were read again.
    pub accepted: u64,
    /// Of these, those that are read otherwise and stay accepted.
    pub changed: u64,
    /// Of these, those that are rejected now, by the code.
    pub rejected: BTreeMap<String, u64>,
    /// Events that are told otherwise, begin or go: also where no request says anything else, and its conversion has another key.
    pub events: u64,
    /// Requests that were rejected and were read again.
    pub rejections: u64,
    /// Of these, those that are accepted now.
    pub recovered: u64,
    /// Of these, those that are still rejected, by the code.
    pub still_rejected: BTreeMap<String, u64>,
    /// Of these, those of which not all was kept.
    pub incomplete: u64,
    /// Events that stay as they are although requests of them might be read otherwise, by the reason.
    pub left: BTreeMap<String, u64>,
    /// Events that could not be read or replaced, and why. They are as they were.
    pub failed: BTreeMap<String, String>,
}

impl Found {
    /// Whether everything is read as it was.
    pub fn is_unchanged(&self) -> bool {
        self.changed == 0 && self.events == 0 && self.rejected.is_empty() && self.recovered == 0
    }
}

/// What was looked at and what of it changes.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Looked {
    /// How much.
    #[serde(flatten)]
    pub found: Found,
    /// Conversions and money by the day, before and after; days that differ.
    pub days: Vec<DayDifference>,
    /// The instant before which requests were dropped for their age, where that is within what was asked about.
    pub kept_since: Option<String>,
}

/// Reads requests again and says what would come of it. Nothing is changed. `progress` hears how many were read.
///
/// # Errors
/// A database cannot say.
pub async fn look(
    scope: Scope<'_>,
    asked: &Asked,
    zone: &TimeZone,
    progress: &mut impl FnMut(u64),
) -> Result<Looked, StoreError> {
    let mut run = Run::new(scope, asked, Mode::Look(Difference::default()));
    run.accepted(progress).await?;
    run.rejections(progress).await?;
    let Run { found, mode, .. } = run;
    let days = match mode {
        Mode::Look(difference) => difference.by_day(scope, zone).await?,
        Mode::Apply => Vec::new(),
    };
    let Known { since, has_older_events } = patiently(|| scope.store.requests_kept()).await?;
    let kept_since = since.filter(|since| has_older_events && asked.from < *since).map(|since| since.to_string());
    Ok(Looked { found, days, kept_since })
}

/// Reads requests again and puts what they say now in the place of what they said; evaluates what changed.
///
/// # Errors
/// Not all was done. What was done is whole, and reading again does the rest.
pub async fn apply(scope: Scope<'_>, asked: &Asked, progress: &mut impl FnMut(u64)) -> Result<Found, StoreError> {
    let mut run = Run::new(scope, asked, Mode::Apply);
    run.accepted(progress).await?;
    run.rejections(progress).await?;
    let platform = Platform { now: scope.now, ..Platform::SYSTEM };
    finish(&platform, scope.shared, scope.partner, scope.store, |_| ()).await?;
    Ok(run.found)
}

enum Mode {
    Look(Difference),
    Apply,
}

/// One time through.
struct Run<'a> {
    scope: Scope<'a>,
    asked: &'a Asked,
    mode: Mode,
    found: Found,
    read: u64,
    /// Events of which all was done that is to be done.
    settled: BTreeSet<String>,
    /// Requests that have moved to the rejected ones.
    moved: BTreeSet<String>,
}

impl<'a> Run<'a> {
    fn new(scope: Scope<'a>, asked: &'a Asked, mode: Mode) -> Run<'a> {
        Run { scope, asked, mode, found: Found::default(), read: 0, settled: BTreeSet::new(), moved: BTreeSet::new() }
    }

    /// Reads again what was accepted.
    async fn accepted(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), StoreError> {
        let mut span = RequestSpan { from: self.asked.from, to: self.asked.to, after: None };
        loop {
            let page = patiently(|| self.scope.store.stored_requests(&span)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            span.after = Some(Place { received_at: last.receipt.received_at, postback_id: last.postback_id });
            let is_last = page.len() < PAGE;
            let count = length(&page);
            self.found.accepted = self.found.accepted.saturating_add(count);
            self.read = self.read.saturating_add(count);
            let events = page.iter().filter(|row| self.may_differ(row)).map(|row| row.event_id.clone());
            let events: BTreeSet<_> = events.filter(|event_id| !self.settled.contains(event_id)).collect();
            if !events.is_empty() {
                self.replace_all(events).await?;
            }
            progress(self.read);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Whether a request may be read otherwise than it was. It is planned for together with all that hangs together with it.
    fn may_differ(&self, row: &RequestRow) -> bool {
        let Now::Postback(reading) = read(self.scope, self.asked, row) else { return true };
        let now = event_row(&self.scope.partner.duplicates, &reading);
        let is_same = |event: &crate::store::reread::EventMarks| {
            event.conversion_key == now.conversion_key
                && event.words == now.words
                && event.names_event == now.names_event
        };
        reading.postback.event_id().as_str() != row.event_id
            || content(&reading) != row.content
            || !row.event.as_ref().is_some_and(is_same)
    }

    /// Replaces events, or notes what would be replaced. Of one that cannot be, the others are not to suffer.
    async fn replace_all(&mut self, event_ids: BTreeSet<String>) -> Result<(), StoreError> {
        match self.replace(event_ids.clone()).await {
            Err(StoreError::Bug(_)) => {}
            outcome => return outcome,
        }
        for event_id in event_ids {
            match self.replace(BTreeSet::from([event_id.clone()])).await {
                Err(StoreError::Bug(reason)) => {
                    self.settled.insert(event_id.clone());
                    self.found.failed.insert(event_id, reason);
                }
                outcome => outcome?,
            }
        }
        Ok(())
    }

    /// Plans for events, and replaces them or notes what would be replaced.
    async fn replace(&mut self, event_ids: BTreeSet<String>) -> Result<(), StoreError> {
        for _ in 0..TRIES_MAX {
            let cluster = Cluster::of(self.scope, self.asked, event_ids.clone()).await?;
            let plan = plan(&self.scope.partner.duplicates, &cluster.stored, &cluster.now);
            let context = self.context(&cluster, &plan).await?;
            // Also where nothing is replaced: what cannot be is to be told before.
            let replacement = self.replacement(&cluster, &plan, &context)?;
            let is_done = match self.mode {
                Mode::Apply if !plan.is_empty() => patiently(|| self.scope.store.replace_events(&replacement)).await?,
                Mode::Apply | Mode::Look(_) => true,
            };
            if !is_done {
                continue;
            }
            self.note(&cluster, &plan, &context);
            return Ok(());
        }
        Err(StoreError::Unavailable("requests of the same events keep coming; try again later".to_owned()))
    }

    /// All events of the conversions that change.
    async fn context(&self, cluster: &Cluster, plan: &Plan) -> Result<Stored, StoreError> {
        let mut keys = BTreeSet::new();
        for (event_id, after) in &plan.events {
            if *after != After::Same {
                let before = cluster.stored.events.get(event_id);
                keys.extend(before.map(|event| event.row.conversion_key.clone()));
                keys.extend(after.row().map(|row| row.conversion_key.clone()));
            }
        }
        if keys.is_empty() {
            return Ok(Stored::default());
        }
        let keys: Vec<_> = keys.into_iter().collect();
        let mut context = patiently(|| self.scope.store.events_of_keys(&keys)).await?;
        for key in keys {
            context.deposit_accounts.entry(key).or_default();
        }
        Ok(context)
    }

    fn replacement(&self, cluster: &Cluster, plan: &Plan, context: &Stored) -> Result<Replacement, StoreError> {
        let mut marked: HashMap<&str, usize> = HashMap::new();
        let is_marked = |verdict: &str| matches!(Verdict::parse(verdict), Some(Verdict::Duplicate | Verdict::Conflict));
        for row in cluster.stored.requests.iter().filter(|row| is_marked(&row.verdict)) {
            let count = marked.entry(&row.event_id).or_default();
            *count = count.saturating_add(1);
        }
        let planned = plan.events.iter().map(|(event_id, after)| EventChange {
            event_id: event_id.clone(),
            before: cluster.stored.events.get(event_id).cloned(),
            others: Some(marked.get(event_id.as_str()).copied().unwrap_or(0)),
            after: after.clone(),
        });
        let others = context.events.iter().filter(|(event_id, _)| !plan.events.contains_key(*event_id));
        let others = others.map(|(event_id, event)| EventChange {
            event_id: event_id.clone(),
            before: Some(event.clone()),
            others: None,
            after: After::Same,
        });
        Ok(Replacement {
            reread_id: Platform::SYSTEM.receipt_id()?,
            now: (self.scope.now)(),
            rules: self.scope.partner.rules_version.clone(),
            events: planned.chain(others).map(Arc::new).collect(),
            requests: plan.requests.iter().cloned().map(Arc::new).collect(),
            keys: self.keys(cluster, plan, context)?,
            links: links(cluster, plan, context).into_iter().collect(),
        })
    }

    /// What the events of keys come to.
    fn keys(&self, cluster: &Cluster, plan: &Plan, context: &Stored) -> Result<Vec<KeyChange>, StoreError> {
        let mut events: BTreeMap<&str, (&EventRow, Vec<&ReceiptRow>)> = BTreeMap::new();
        for (event_id, event) in context.events.iter().chain(&cluster.stored.events) {
            if matches!(plan.events.get(event_id), None | Some(After::Same)) {
                events.insert(event_id, (&event.row, event.receipts().collect()));
            }
        }
        for (event_id, after) in &plan.events {
            if let After::Is(row, first, repeats) = after {
                events.insert(event_id, (row, std::iter::once(first).chain(repeats).collect()));
            }
        }
        let mut told: HashMap<&str, (Vec<Receipt>, HashMap<String, Notice>)> = HashMap::new();
        for (event_id, (row, of_event)) in events {
            let (receipts, notices) = told.entry(&row.conversion_key).or_default();
            notices.insert(event_id.to_owned(), notice(event_id, row)?);
            receipts.extend(of_event.into_iter().map(|receipt| Receipt {
                received_at: receipt.received_at,
                request_id: receipt.request_id.clone(),
                event_id: event_id.to_owned(),
            }));
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for event in context.events.values() {
            let count = counts.entry(&event.row.conversion_key).or_default();
            *count = count.saturating_add(1);
        }
        let key = |(key, accounts): (&String, &Vec<String>)| {
            let (receipts, notices) = told.remove(key.as_str()).unwrap_or_default();
            KeyChange {
                conversion_key: key.clone(),
                events: counts.get(key.as_str()).copied().unwrap_or(0),
                folded: fold(&self.scope.partner.duplicates, receipts, &notices),
                deposit_accounts: accounts.clone(),
            }
        };
        Ok(context.deposit_accounts.iter().map(key).collect())
    }

    fn note(&mut self, cluster: &Cluster, plan: &Plan, context: &Stored) {
        self.settled.extend(plan.events.keys().cloned());
        self.settled.extend(cluster.stored.requests.iter().map(|row| row.event_id.clone()));
        let events = plan.events.values().filter(|after| **after != After::Same).count();
        self.found.events = self.found.events.saturating_add(u64::try_from(events).unwrap_or(u64::MAX));
        for left in plan.left.values() {
            add(&mut self.found.left, left.name());
        }
        for request in &plan.requests {
            match &request.became {
                Became::Accepted(_) => self.found.changed = self.found.changed.saturating_add(1),
                Became::Rejected(rejection) => {
                    add(&mut self.found.rejected, &rejection.code);
                    self.moved.insert(request.request_id.clone());
                }
            }
        }
        let Mode::Look(difference) = &mut self.mode else { return };
        for key in context.deposit_accounts.keys() {
            difference.add_key(key);
        }
        for (event_id, after) in &plan.events {
            if *after == After::Same {
                continue;
            }
            if let Some(before) = cluster.stored.events.get(event_id) {
                difference.add_before(event_id, before);
            }
            if let After::Is(row, first, repeats) = after {
                let receipts = std::iter::once(first).chain(repeats).cloned().collect();
                difference.add_after(event_id, row, receipts, plan.read_from.get(event_id).copied().unwrap_or(0));
            }
        }
    }

    /// Reads again what was rejected.
    async fn rejections(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let page = patiently(|| self.scope.store.rejections(self.asked.from, after)).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = last.rejection_id;
            let page: Vec<_> = page.into_iter().filter(|one| one.receipt.received_at < self.asked.to).collect();
            self.read = self.read.saturating_add(length(&page));
            self.rejected(page).await?;
            progress(self.read);
        }
    }

    async fn rejected(&mut self, page: Vec<Rejection>) -> Result<(), StoreError> {
        let mut readable = Vec::new();
        let page = page.into_iter().filter(|rejection| !self.moved.contains(&rejection.receipt.request_id));
        for rejection in page {
            self.found.rejections = self.found.rejections.saturating_add(1);
            let receipt = rejection.receipt;
            if !request::is_whole_rejection(&receipt, &rejection.code) {
                self.found.incomplete = self.found.incomplete.saturating_add(1);
                continue;
            }
            match request::read(self.scope.partner, &receipt) {
                Ok(Ok(reading)) => readable.push((reading, receipt)),
                Ok(Err(rejection)) => add(&mut self.found.still_rejected, rejection.code().as_str()),
                Err(_) => self.found.incomplete = self.found.incomplete.saturating_add(1),
            }
        }
        if readable.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = readable.iter().map(|(_, receipt)| receipt.request_id.clone()).collect();
        let known = patiently(|| self.scope.store.requests_with_verdict(&ids)).await?;
        for (reading, receipt) in readable.into_iter().filter(|(_, receipt)| !known.contains(&receipt.request_id)) {
            self.found.recovered = self.found.recovered.saturating_add(1);
            match &mut self.mode {
                Mode::Look(difference) => {
                    let receipt = ReceiptRow {
                        received_at: receipt.received_at,
                        request_id: receipt.request_id,
                        receipt_id: String::new(),
                    };
                    difference.add_accepted(self.scope, &reading, receipt);
                }
                Mode::Apply => self.record(&reading, &receipt).await?,
            }
        }
        Ok(())
    }

    /// Records a request that was rejected, as it would have been, had it been accepted when it was received.
    async fn record(&self, reading: &Reading, receipt: &crate::store::Receipt) -> Result<(), StoreError> {
        let nonce = nonce_of(&receipt.request_id);
        let record = async || {
            let now = (self.scope.now)();
            let receipt_id = Platform::SYSTEM.receipt_id()?;
            let reading = reading.clone();
            let receipt = crate::store::Receipt { nonce: nonce.clone(), ..receipt.clone() };
            self.scope.store.record(Record { receipt_id, reading, receipt, now }).await
        };
        match patiently(record).await? {
            Recorded::As(_) | Recorded::Replayed => Ok(()),
        }
    }
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.events.values().all(|after| *after == After::Same)
    }
}

/// The nonce of a request that is recorded again: whoever records the same at the same time, or tries again what was committed and not
/// answered, writes nothing.
fn nonce_of(request_id: &str) -> Option<Nonce> {
    let digest = Sha256::new().chain_update("bytec-reread-v1\0").chain_update(request_id).finalize();
    digest.first_chunk().map(|bytes| Nonce::from_bytes(*bytes))
}

/// Who was linked to which click by events that change, and is; and by which of these and of their conversions' events.
fn links(cluster: &Cluster, plan: &Plan, context: &Stored) -> BTreeSet<Link> {
    let is_changed = |event_id: &String| plan.events.get(event_id).is_some_and(|after| *after != After::Same);
    let before = cluster.stored.events.iter().filter(|(event_id, _)| is_changed(event_id));
    let mut links: BTreeSet<_> = before.flat_map(|(_, event)| links_of(&event.row, None)).collect();
    let after = plan.events.iter().filter_map(|(event_id, after)| Some((event_id, after.row()?)));
    links.extend(after.flat_map(|(event_id, row)| links_of(row, Some(event_id))));
    // Who else says the same is linked by these.
    let others = context.events.iter().filter(|(event_id, _)| !is_changed(event_id));
    let others: Vec<_> = others.flat_map(|(event_id, event)| links_of(&event.row, Some(event_id))).collect();
    let pair = |link: &Link| (link.click_id.clone(), link.kind, link.linked_id.clone());
    let pairs: BTreeSet<_> = links.iter().map(pair).collect();
    links.extend(others.into_iter().filter(|link| pairs.contains(&pair(link))));
    links
}

/// Who is linked to a click by an event.
fn links_of(row: &EventRow, event_id: Option<&String>) -> Vec<Link> {
    let Some(click_id) = row.content.get("click_id") else { return Vec::new() };
    let linked = [("account", "account_id"), ("install", "install_id")];
    let linked = linked.into_iter().filter_map(|(kind, name)| Some((kind, row.content.get(name)?)));
    let link = |(kind, linked_id): (&'static str, &String)| Link {
        click_id: click_id.clone(),
        kind,
        linked_id: linked_id.clone(),
        event_id: event_id.cloned(),
    };
    linked.map(link).collect()
}

fn notice(event_id: &str, row: &EventRow) -> Result<Notice, StoreError> {
    let EventRow { event, conversion_id, names_event, content, .. } = row;
    Notice::from_stored(conversion_id.clone(), event.clone(), *names_event, content)
        .map_err(|field| StoreError::Bug(format!("event {event_id}: its {} cannot be read", field.name())))
}

fn add(counts: &mut BTreeMap<String, u64>, name: &str) {
    let count = counts.entry(name.to_owned()).or_default();
    *count = count.saturating_add(1);
}

fn length<T>(page: &[T]) -> u64 {
    u64::try_from(page.len()).unwrap_or(u64::MAX)
}
