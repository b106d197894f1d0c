//! Everything that is stored about an id, whatever it is the id of: a request, an event, a conversion, an order, a click or an account.
//!
//! An id leads to events and conversions ([`found`]), these to their sales and returns ([`linked`]), and all of them to what happened
//! ([`parts`]). Each step reads its own moment: what is stored meanwhile may be missing from a trace.

mod found;
mod linked;
mod parts;

pub use found::Key;
pub use parts::{Change, ClickRow, EventRow, Job, Reread, State};

#[cfg(test)]
use super::super::statement::Dialect;
use super::super::statement::{Done, Statement};
use super::super::{End, Store, StoreError, in_time};
use super::rejected::{self, RejectedRequest};
use super::requests::{self, Request};
use super::{Conversion, READ_TIMEOUT, conversions};
use std::collections::BTreeSet;

/// Conversions in a trace at most.
pub const CONVERSIONS_MAX: usize = 50;
/// Events in a trace at most.
pub const EVENTS_MAX: usize = 200;
/// Requests in a trace at most.
pub const REQUESTS_MAX: usize = 500;
/// Revisions in a trace at most.
pub const REVISIONS_MAX: usize = 500;
/// Rejected requests in a trace at most.
pub const REJECTIONS_MAX: usize = 200;
/// Requests that were read again in a trace at most, each time counted.
pub const REREADS_MAX: usize = 500;
/// Clicks in a trace at most.
pub const CLICKS_MAX: usize = 50;
/// Rows with an id that are put in order to take the latest: of an id that more rows have, any of them are taken.
const ORDERED_MAX: usize = 1_000;
/// How often linked conversions are looked for: a refund leads to its sale, and that to its other returns.
const LINKED_STEPS: usize = 2;

/// Everything that is stored about an id.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    /// Clicks.
    pub clicks: Vec<ClickRow>,
    /// Events.
    pub events: Vec<EventRow>,
    /// Requests that reached a verdict.
    pub requests: Vec<Request>,
    /// Rejected requests.
    pub rejections: Vec<RejectedRequest>,
    /// How requests were read again.
    pub rereads: Vec<Reread>,
    /// Revisions, each behind the one before it.
    pub revisions: Vec<Change>,
    /// Conversions as they stand, the first received first.
    pub conversions: Vec<(Key, Conversion)>,
    /// What is beside them: pending rebuilds, clicks that were dropped.
    pub states: Vec<State>,
    /// What is still to be processed.
    pub jobs: Vec<Job>,
    /// Which of these have more than a trace shows.
    pub cut: BTreeSet<&'static str>,
}

impl Store {
    /// Everything that is stored about an id, within limits.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn trace(&self, id: &str) -> Result<Trace, StoreError> {
        let mut trace = Trace::default();
        let id = id.to_owned();
        let (keys, mut events) = self.lead(&id, &mut trace).await?;
        self.of_conversions(&keys, &mut events, &mut trace).await?;
        self.of_events(&id, &events, &mut trace).await?;
        self.of_requests(&id, &mut trace).await?;
        trace.put_in_order();
        Ok(trace)
    }

    /// The conversions that an id leads to, sales and returns among them, and its own events.
    async fn lead(&self, id: &String, trace: &mut Trace) -> Result<(BTreeSet<Key>, BTreeSet<String>), StoreError> {
        let dialect = self.dialect();
        let ids = std::slice::from_ref(id);
        let mut statements = vec![found::events(dialect).over(ids)];
        statements.extend(found::COLUMNS.map(|name| found::conversions(dialect, name).over(ids)));
        statements.push(found::conversions_of_rejected(dialect).over(ids));
        let mut done = self.answers(statements).await?.into_iter();
        let found = found::read_events(done.next())?;
        let mut keys = BTreeSet::new();
        for of_column in done {
            trace.cut_keys(&mut keys, found::read_keys(of_column)?);
        }
        if !found.is_empty() {
            let of_events = self.answers(vec![found::conversions_of_events(dialect).over(&found)]).await?;
            for of_event in of_events {
                trace.cut_keys(&mut keys, found::read_keys(of_event)?);
            }
        }
        let mut newest: Vec<Key> = keys.iter().cloned().collect();
        for _ in 0..LINKED_STEPS {
            if newest.is_empty() {
                break;
            }
            let statements = linked::all(dialect).into_iter().map(|step| step.over(&newest)).collect();
            let mut linked = BTreeSet::new();
            for of_link in self.answers(statements).await? {
                linked.extend(found::read_keys(of_link)?);
            }
            newest = linked.into_iter().filter(|key| !keys.contains(key)).collect();
            trace.cut_keys(&mut keys, newest.clone());
            newest.retain(|key| keys.contains(key));
        }
        let mut events: BTreeSet<_> = found.into_iter().map(|event| event.event_id).collect();
        trace.cut_at("events", EVENTS_MAX, &mut events);
        Ok((keys, events))
    }

    /// What is stored of conversions by their keys; their events are added to the others.
    async fn of_conversions(
        &self,
        keys: &BTreeSet<Key>,
        events: &mut BTreeSet<String>,
        trace: &mut Trace,
    ) -> Result<(), StoreError> {
        if keys.is_empty() {
            return Ok(());
        }
        let dialect = self.dialect();
        let keys: Vec<_> = keys.iter().cloned().collect();
        let steps =
            [parts::conversions(dialect), parts::revisions(dialect), parts::states(dialect), parts::events(dialect)];
        let mut done = self.answers(steps.iter().map(|step| step.over(&keys)).collect()).await?.into_iter();
        let mut next = || done.next().into_iter().collect::<Vec<Done>>();
        for conversion in conversions::read(next())? {
            let key = Key { conversion_key: conversion.conversion_key.clone(), occurrence: conversion.occurrence };
            trace.conversions.push((key, conversion));
        }
        trace.revisions = trace.cut_list("revisions", REVISIONS_MAX, parts::read("a revision", next())?);
        trace.states = parts::read("a conversion's state", next())?;
        // What the id itself leads to stays, and of the others the latest.
        for (event_id, _) in next().into_iter().flat_map(|done| done.answers) {
            if events.len() < EVENTS_MAX {
                events.insert(event_id);
            } else if !events.contains(&event_id) {
                trace.cut.insert("events");
            }
        }
        Ok(())
    }

    /// What is stored of events, of the clicks that conversions name, and of requests that were rejected.
    async fn of_events(&self, id: &String, events: &BTreeSet<String>, trace: &mut Trace) -> Result<(), StoreError> {
        let dialect = self.dialect();
        let ids: Vec<_> = events.iter().cloned().collect();
        let named = |name: fn(&Conversion) -> Option<String>| {
            trace.conversions.iter().filter_map(|(_, conversion)| name(conversion)).collect::<BTreeSet<_>>()
        };
        let conversion_ids = named(|conversion| Some(conversion.conversion_id.clone()));
        let click_ids = named(|conversion| conversion.origin.click_id.clone());
        let with_own = |others: &BTreeSet<String>| others.iter().chain([id]).cloned().collect::<BTreeSet<_>>();
        let listed = |ids: BTreeSet<String>| ids.into_iter().collect::<Vec<_>>();
        let own = std::slice::from_ref(id);
        let mut statements = vec![
            parts::clicks(dialect).over(&listed(with_own(&click_ids))),
            parts::clicks_of_account(dialect).over(own),
            parts::rejections(dialect, "request_id").over(own),
            parts::rejections(dialect, "event_id").over(&listed(with_own(events))),
            parts::rejections(dialect, "conversion_id").over(&listed(with_own(&conversion_ids))),
            parts::rejections(dialect, "order_id").over(own),
            parts::rejections(dialect, "click_id").over(own),
            parts::rejections(dialect, "account_id").over(own),
        ];
        statements.extend(
            [parts::event_rows(dialect), parts::requests(dialect), parts::jobs(dialect)]
                .iter()
                .filter(|_| !ids.is_empty())
                .map(|step| step.over(&ids)),
        );
        let mut done = self.answers(statements).await?.into_iter();
        let mut next = |count: usize| done.by_ref().take(count).collect::<Vec<Done>>();
        let mut clicks: Vec<ClickRow> = parts::read("a click", next(2))?;
        clicks.sort_by(|one, other| one.click_id.cmp(&other.click_id));
        clicks.dedup_by(|one, other| one.click_id == other.click_id);
        let mut rejections: Vec<RejectedRequest> = rejected::read(next(6))?;
        rejections.sort_by_key(|rejected| std::cmp::Reverse(rejected.rejection_id));
        rejections.dedup_by_key(|rejected| rejected.rejection_id);
        let events = parts::read("an event", next(1))?;
        let requests = requests::read(next(1))?;
        trace.jobs = parts::read("a job", next(1))?;
        trace.events = events;
        trace.clicks = trace.cut_list("clicks", CLICKS_MAX, clicks);
        trace.rejections = trace.cut_list("rejections", REJECTIONS_MAX, rejections);
        trace.requests = trace.cut_list("requests", REQUESTS_MAX, requests);
        Ok(())
    }

    /// How requests were read again, and requests that were what the id names before.
    async fn of_requests(&self, id: &String, trace: &mut Trace) -> Result<(), StoreError> {
        let dialect = self.dialect();
        let requests = trace.requests.iter().map(|request| &request.request_id);
        let requests = requests.chain(trace.rejections.iter().map(|rejected| &rejected.request_id)).chain([id]);
        let requests: Vec<_> = requests.cloned().collect::<BTreeSet<_>>().into_iter().collect();
        let own = std::slice::from_ref(id);
        let done = self
            .answers(vec![
                parts::rereads(dialect, "request_id").over(&requests),
                parts::rereads(dialect, "before_event_id").over(own),
                parts::rereads(dialect, "before_conversion_id").over(own),
            ])
            .await?;
        let mut rereads: Vec<Reread> = parts::read("a request that was read again", done)?;
        let key = |reread: &Reread| (std::cmp::Reverse(reread.reread_at), reread.request_id.clone());
        rereads.sort_by_key(key);
        rereads.dedup();
        trace.rereads = trace.cut_list("rereads", REREADS_MAX, rereads);
        Ok(())
    }

    async fn answers(&self, statements: Vec<Statement>) -> Result<Vec<Done>, StoreError> {
        in_time(READ_TIMEOUT, self.database().run(statements, End::Commit)).await
    }
}

impl Trace {
    /// Whether anything is stored about the id.
    pub fn is_empty(&self) -> bool {
        self.clicks.is_empty()
            && self.events.is_empty()
            && self.requests.is_empty()
            && self.rejections.is_empty()
            && self.rereads.is_empty()
            && self.conversions.is_empty()
    }

    /// Adds keys as far as there is room for them.
    fn cut_keys(&mut self, keys: &mut BTreeSet<Key>, more: Vec<Key>) {
        for key in more {
            if keys.len() < CONVERSIONS_MAX {
                keys.insert(key);
            } else if !keys.contains(&key) {
                self.cut.insert("conversions");
            }
        }
    }

    fn cut_at(&mut self, name: &'static str, max: usize, ids: &mut BTreeSet<String>) {
        while ids.len() > max {
            ids.pop_last();
            self.cut.insert(name);
        }
    }

    fn cut_list<T>(&mut self, name: &'static str, max: usize, mut rows: Vec<T>) -> Vec<T> {
        if rows.len() > max {
            rows.truncate(max);
            self.cut.insert(name);
        }
        rows
    }

    fn put_in_order(&mut self) {
        self.conversions.sort_by(|(one_key, one), (other_key, other)| {
            (one.received_at, one_key).cmp(&(other.received_at, other_key))
        });
        self.revisions.sort_by(|one, other| (&one.key, one.revision).cmp(&(&other.key, other.revision)));
        self.requests.sort_by_key(|request| (request.received_at, request.postback_id));
        self.rejections.sort_by_key(|rejected| (rejected.received_at, rejected.rejection_id));
        self.clicks.sort_by(|one, other| (one.clicked_at, &one.click_id).cmp(&(other.clicked_at, &other.click_id)));
    }
}

/// Every statement of a trace, over one row each.
#[cfg(test)]
pub(super) fn statements(dialect: Dialect) -> Vec<Statement> {
    let id = ["one".to_owned()];
    let key = [Key { conversion_key: "one".to_owned(), occurrence: 1 }];
    let event = [found::Event { event_id: "one".to_owned(), conversion_key: "one".to_owned() }];
    let of_keys =
        [parts::conversions(dialect), parts::revisions(dialect), parts::states(dialect), parts::events(dialect)];
    let of_ids = [
        found::events(dialect),
        found::conversions_of_rejected(dialect),
        parts::event_rows(dialect),
        parts::requests(dialect),
        parts::jobs(dialect),
        parts::clicks(dialect),
        parts::clicks_of_account(dialect),
    ];
    let rejected = ["request_id", "event_id"].into_iter().chain(found::COLUMNS);
    let reread = ["request_id", "before_event_id", "before_conversion_id"];
    let mut statements = vec![found::conversions_of_events(dialect).over(&event)];
    statements.extend(reread.map(|name| parts::rereads(dialect, name).over(&id)));
    statements.extend(of_ids.iter().map(|step| step.over(&id)));
    statements.extend(found::COLUMNS.map(|name| found::conversions(dialect, name).over(&id)));
    statements.extend(rejected.map(|name| parts::rejections(dialect, name).over(&id)));
    statements.extend(linked::all(dialect).iter().chain(&of_keys).map(|step| step.over(&key)));
    statements
}
