//! Reading stored requests again, by a partner's rules of now (R70): a partner file that was wrong costs a command. Afterwards all is as if
//! the requests had been read by these rules when they came, under the times at which they did.
//!
//! Of requests that were accepted the new reading takes the place of the old one: it is no further notice. Requests that were rejected and are
//! accepted now have the place that they would have had. One that is rejected now moves to the rejected ones, and a conversion that no
//! request tells of any more goes. What each request was before stays (`reread_requests`).
//!
//! (1) all requests are read: events that may be told otherwise are found, and what leads to each
//! (2) events are planned for and replaced, together with all that hangs together with them, a conversion's one after the other
//! (3) what has changed is evaluated
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
use crate::store::reread::{
    After, Became, EventChange, EventMarks, EventRow, KeyChange, Known, Link, PAGE, ReceiptRow, RejectedRow,
    RejectedSpan, Replacement, RequestRow, RequestSpan, Stored, Unreadable, Was,
};
use crate::store::{StoreError, patiently};
use cluster::{Cluster, Leads, kept_from, read};
use difference::Difference;
use jiff::tz::TimeZone;
use plan::{Now, Plan, event_row, plan};
use postback::conversion::{Notice, Receipt, fold};
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// How often requests are read again whose events have changed since they were read.
const TRIES_MAX: usize = 8;
/// Events of one conversion that are replaced in one transaction.
const EVENTS_MAX: usize = 2_000;

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
    /// Events, and rejected requests, that could not be read or replaced, and why. They are as they were.
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
    /// Conversions that are in no day's difference, because something of them cannot be read.
    pub uncounted: u64,
    /// The instant before which requests were dropped for their age, where that is within what was asked about.
    pub kept_since: Option<String>,
    /// Conversions that wait to be evaluated or rebuilt, by earlier changes as well.
    pub waiting: u64,
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
    let run = Run::through(scope, asked, Mode::Look(Box::default()), progress).await?;
    let Run { found, mode, .. } = run;
    let (days, uncounted) = match mode {
        Mode::Look(difference) => difference.by_day(scope, zone).await?,
        Mode::Apply => (Vec::new(), 0),
    };
    let kept_since = kept_since(scope, asked).await?.map(|since| since.to_string());
    let backlog = patiently(|| scope.store.backlog((scope.now)())).await?;
    Ok(Looked { found, days, uncounted, kept_since, waiting: backlog.waiting.saturating_add(backlog.rebuilds) })
}

/// The instant before which requests were dropped, where that is within what was asked about.
async fn kept_since(scope: Scope<'_>, asked: &Asked) -> Result<Option<Timestamp>, StoreError> {
    let now = (scope.now)();
    let Known { since, has_older_events } = patiently(|| scope.store.requests_kept()).await?;
    // Of what was rejected nothing else is left. Where no day was said, nobody asked about what may never have been.
    let dropped_before = kept_from(scope).filter(|_| has_older_events || asked.from > Timestamp::EPOCH);
    let kept_since = since.or(Some(now)).filter(|_| has_older_events).max(dropped_before);
    Ok(kept_since.filter(|since| asked.from < *since))
}

/// Reads requests again and puts what they say now in the place of what they said; evaluates what changed.
///
/// # Errors
/// Not all was done. What was done is whole, and reading again does the rest.
pub async fn apply(scope: Scope<'_>, asked: &Asked, progress: &mut impl FnMut(u64)) -> Result<Found, StoreError> {
    let run = Run::through(scope, asked, Mode::Apply, progress).await?;
    evaluate(scope).await?;
    Ok(run.found)
}

/// Evaluates what waits for it, also what somebody has changed who was stopped before.
///
/// # Errors
/// The database cannot.
pub async fn evaluate(scope: Scope<'_>) -> Result<(), StoreError> {
    let platform = Platform { now: scope.now, ..Platform::SYSTEM };
    finish(&platform, scope.shared, scope.partner, scope.store, |_| ()).await
}

enum Mode {
    Look(Box<Difference>),
    Apply,
}

/// One time through.
struct Run<'a> {
    scope: Scope<'a>,
    asked: &'a Asked,
    mode: Mode,
    found: Found,
    read: u64,
    /// Events that may be told otherwise, behind the keys of their conversions: those of one conversion follow each other, so that it is
    /// not changed more often than it must be.
    due: BTreeSet<(String, String)>,
    leads: Leads,
    /// Events of which all was done that is to be done.
    settled: BTreeSet<String>,
}

impl<'a> Run<'a> {
    async fn through(
        scope: Scope<'a>,
        asked: &'a Asked,
        mode: Mode,
        progress: &mut impl FnMut(u64),
    ) -> Result<Run<'a>, StoreError> {
        let mut run = Run {
            scope,
            asked,
            mode,
            found: Found::default(),
            read: 0,
            due: BTreeSet::new(),
            leads: Leads::default(),
            settled: BTreeSet::new(),
        };
        // (1)
        run.accepted(progress).await?;
        run.rejected(progress).await?;
        // (2)
        let mut due = std::mem::take(&mut run.due).into_iter().peekable();
        while due.peek().is_some() {
            let events = run.next_events(&mut due);
            run.read = run.read.saturating_add(length(&events));
            if !events.is_empty() {
                run.replace_all(events.into_iter().collect()).await?;
            }
            progress(run.read);
        }
        Ok(run)
    }

    /// The next events to be replaced, those of one conversion together, as far as a transaction goes.
    fn next_events(&self, due: &mut std::iter::Peekable<impl Iterator<Item = (String, String)>>) -> Vec<String> {
        let (mut events, mut last) = (Vec::new(), String::new());
        while let Some((key, event_id)) =
            due.next_if(|(key, _)| events.len() < PAGE || *key == last && events.len() < EVENTS_MAX)
        {
            if !self.settled.contains(&event_id) {
                events.push(event_id);
            }
            last = key;
        }
        events
    }

    /// Reads what was accepted.
    async fn accepted(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), StoreError> {
        let mut span = RequestSpan { from: self.asked.from, to: self.asked.to, after: None };
        loop {
            let page = patiently(|| self.scope.store.stored_requests(&span)).await?;
            let Some(end) = page.end else { return Ok(()) };
            span.after = Some(end);
            let count = length(&page.rows).saturating_add(length(&page.unreadable));
            self.found.accepted = self.found.accepted.saturating_add(count);
            self.read = self.read.saturating_add(count);
            page.rows.iter().for_each(|row| self.find_due(row));
            page.unreadable.into_iter().for_each(|unreadable| self.fail(unreadable));
            progress(self.read);
        }
    }

    /// Notes a request's event where the request may be read otherwise than it was. It is planned for together with all that hangs together
    /// with it.
    fn find_due(&mut self, row: &RequestRow) {
        let now = match read(self.scope, self.asked, row) {
            Now::Postback(reading) => reading,
            Now::Rejected(..) | Now::Left(_) => {
                let key = row.event.as_ref().map_or("", |event| &event.conversion_key);
                self.due.insert((key.to_owned(), row.event_id.clone()));
                return;
            }
        };
        let event_id = now.postback.event_id().as_str();
        let event = event_row(&self.scope.partner.duplicates, &now);
        let is_same = |marks: &EventMarks| {
            marks.conversion_key == event.conversion_key
                && marks.words == event.words
                && marks.names_event == event.names_event
        };
        let is_told_the_same = event.content == row.content && now.ignored == row.ignored;
        if event_id != row.event_id || !is_told_the_same || !row.event.as_ref().is_some_and(is_same) {
            self.leads.add_event(&row.event_id, event_id);
            self.due.insert((event.conversion_key, row.event_id.clone()));
        }
    }

    /// Reads what was rejected.
    async fn rejected(&mut self, progress: &mut impl FnMut(u64)) -> Result<(), StoreError> {
        let mut span = RejectedSpan { from: self.asked.from, to: self.asked.to, after: 0 };
        loop {
            let page = patiently(|| self.scope.store.stored_rejections(span)).await?;
            let Some(end) = page.end else { return Ok(()) };
            span.after = end;
            let count = length(&page.rows).saturating_add(length(&page.unreadable));
            self.found.rejections = self.found.rejections.saturating_add(count);
            self.read = self.read.saturating_add(count);
            page.rows.iter().for_each(|row| self.find_accepted(row));
            page.unreadable.into_iter().for_each(|unreadable| self.fail(unreadable));
            progress(self.read);
        }
    }

    fn find_accepted(&mut self, row: &RejectedRow) {
        match request::rejected(self.scope.partner, row) {
            Some(Ok(reading)) => {
                let event_id = reading.postback.event_id().as_str();
                self.leads.add_rejected(row.rejection_id, event_id);
                let key = self.scope.partner.duplicates.conversion_key(&reading.postback);
                self.due.insert((key, event_id.to_owned()));
            }
            Some(Err(rejection)) => add(&mut self.found.still_rejected, rejection.code().as_str()),
            None => self.found.incomplete = self.found.incomplete.saturating_add(1),
        }
    }

    /// A request that cannot be read keeps none of the others; its event stays as it is.
    fn fail(&mut self, unreadable: Unreadable) {
        let Unreadable { event_id, request_id, reason } = unreadable;
        let reason = format!("request {request_id}: {reason}");
        match event_id {
            Some(event_id) => {
                self.settled.insert(event_id.clone());
                self.found.failed.insert(event_id, reason);
            }
            None => drop(self.found.failed.insert(request_id, reason)),
        }
    }

    /// Replaces events, or notes what would be replaced. Of one that cannot be, the others are not to suffer.
    async fn replace_all(&mut self, event_ids: BTreeSet<String>) -> Result<(), StoreError> {
        match self.replace(event_ids.clone()).await {
            Err(StoreError::Bug(_)) => {}
            outcome => return outcome,
        }
        for event_id in event_ids {
            if self.settled.contains(&event_id) {
                continue;
            }
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
            let cluster = Cluster::of(self.scope, self.asked, &self.leads, event_ids.clone()).await?;
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
        // What requests received at other times lead to is known only now. What was planned for before is planned for once more then, with
        // all that leads to it, and is not counted again.
        for row in &cluster.stored.requests {
            if let Some(Now::Postback(reading)) = cluster.now.get(&row.receipt.request_id) {
                self.leads.add_event(&row.event_id, reading.postback.event_id().as_str());
            }
        }
        let is_new = |event_id: &str| !self.settled.contains(event_id);
        let changed = plan.events.iter().filter(|(event_id, after)| **after != After::Same && is_new(event_id)).count();
        self.found.events = self.found.events.saturating_add(u64::try_from(changed).unwrap_or(u64::MAX));
        for (_, left) in plan.left.iter().filter(|(event_id, _)| is_new(event_id)) {
            add(&mut self.found.left, left.name());
        }
        for request in &plan.requests {
            match (&request.was, &request.became) {
                (Was::Rejected { .. }, Became::Accepted(accepted)) if is_new(&accepted.event_id) => {
                    self.found.recovered = self.found.recovered.saturating_add(1);
                }
                (Was::Accepted { event_id, .. }, Became::Accepted(_)) if is_new(event_id) => {
                    self.found.changed = self.found.changed.saturating_add(1);
                }
                (Was::Accepted { event_id, .. }, Became::Rejected(rejection)) if is_new(event_id) => {
                    add(&mut self.found.rejected, &rejection.code);
                }
                (Was::Accepted { .. } | Was::Rejected { .. }, Became::Accepted(_) | Became::Rejected(_)) => {}
            }
        }
        self.settled.extend(plan.events.keys().cloned());
        self.settled.extend(cluster.stored.requests.iter().map(|row| row.event_id.clone()));
        let Mode::Look(difference) = &mut self.mode else { return };
        for key in context.deposit_accounts.keys() {
            difference.add_key(key);
        }
        for (event_id, after) in &plan.events {
            difference.add(event_id, cluster.stored.events.get(event_id), after);
        }
    }
}

impl Plan {
    fn is_empty(&self) -> bool {
        self.requests.is_empty() && self.events.values().all(|after| *after == After::Same)
    }
}

/// Who was linked to which click by events that change, and is; and by which of these and of their conversions' events.
fn links(cluster: &Cluster, plan: &Plan, context: &Stored) -> BTreeSet<Link> {
    let is_changed = |event_id: &String| plan.events.get(event_id).is_some_and(|after| *after != After::Same);
    let before = cluster.stored.events.iter().filter(|(event_id, _)| is_changed(event_id));
    let before = before.flat_map(|(event_id, event)| {
        let link = |link: Link| Link { before_event_id: Some(event_id.clone()), ..link };
        links_of(&event.row, None).into_iter().map(link)
    });
    let mut links: BTreeSet<_> = before.collect();
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
        before_event_id: None,
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
