//! Requests and events that hang together: an event with all its requests, the events that these are read into, and so on; and the rejected
//! requests that are read into any of them.

use super::plan::{Left, Now};
use super::{Asked, Scope, request};
use crate::api::error::Error;
use crate::rejections;
use crate::store::reread::{PAGE, RequestRow, Stored};
use crate::store::{StoreError, patiently};
use postback::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Events that one statement reads.
const CHUNK: usize = 100;
/// Requests that hang together at most. They are in memory at once, and in one transaction.
const REQUESTS_MAX: usize = 50_000;

/// What leads to an event, beside its own requests.
#[derive(Debug, Default)]
pub struct Leads {
    /// Events of which a request is read into it.
    events: HashMap<String, BTreeSet<String>>,
    /// Rejected requests that are read into it, by their numbers.
    rejected: HashMap<String, Vec<i64>>,
}

impl Leads {
    /// A request of an event is read into another.
    pub fn add_event(&mut self, from: &str, to: &str) {
        if from != to {
            self.events.entry(to.to_owned()).or_default().insert(from.to_owned());
        }
    }

    /// A rejected request is read into an event.
    pub fn add_rejected(&mut self, rejection_id: i64, to: &str) {
        self.rejected.entry(to.to_owned()).or_default().push(rejection_id);
    }
}

/// What hangs together.
#[derive(Debug, Default)]
pub struct Cluster {
    /// Events and requests as they are stored.
    pub stored: Stored,
    /// What each request is read into, by its name.
    pub now: BTreeMap<String, Now>,
}

impl Cluster {
    /// All that hangs together with events.
    ///
    /// # Errors
    /// The database cannot say, or it is too much, or something of it cannot be read.
    pub async fn of(
        scope: Scope<'_>,
        asked: &Asked,
        leads: &Leads,
        event_ids: BTreeSet<String>,
    ) -> Result<Cluster, StoreError> {
        let mut cluster = Cluster::default();
        let mut known = event_ids.clone();
        let mut next: Vec<String> = event_ids.into_iter().collect();
        while !next.is_empty() {
            let rest = next.split_off(next.len().min(CHUNK));
            let Stored { events, requests, .. } = patiently(|| scope.store.stored_events(&next)).await?;
            let of_these = next.iter().filter_map(|event_id| leads.events.get(event_id)).flatten();
            let mut further: Vec<String> =
                of_these.filter(|event_id| known.insert((*event_id).clone())).cloned().collect();
            further.extend(rest);
            next = further;
            cluster.stored.events.extend(events);
            for row in requests {
                let now = cluster.now.entry(row.receipt.request_id.clone()).or_insert_with(|| read(scope, asked, &row));
                if let Now::Postback(reading) = now {
                    let event_id = reading.postback.event_id().to_string();
                    if known.insert(event_id.clone()) {
                        next.push(event_id);
                    }
                }
                cluster.stored.requests.push(row);
            }
            cluster.check_size(0)?;
        }
        cluster.stored.requests.sort_by_key(|row| row.postback_id);
        cluster.stored.requests.dedup_by_key(|row| row.postback_id);
        let numbers = known.iter().filter_map(|event_id| leads.rejected.get(event_id)).flatten().copied();
        cluster.add_rejected(scope, &numbers.collect::<Vec<_>>()).await?;
        Ok(cluster)
    }

    async fn add_rejected(&mut self, scope: Scope<'_>, numbers: &[i64]) -> Result<(), StoreError> {
        self.check_size(numbers.len())?;
        for some in numbers.chunks(PAGE) {
            let page = patiently(|| scope.store.rejections_by_number(some)).await?;
            // One that could be read a moment ago, and cannot now.
            if let Some(unreadable) = page.unreadable.into_iter().next() {
                return Err(StoreError::Bug(unreadable.reason));
            }
            for row in page.rows {
                // Whoever leads here has read them all: what is none any more was changed meanwhile.
                if let Some(Ok(reading)) = request::rejected(scope.partner, &row) {
                    self.now.insert(row.receipt.request_id.clone(), Now::Postback(Box::new(reading)));
                    self.stored.rejected.push(row);
                }
            }
        }
        Ok(())
    }

    fn check_size(&self, more: usize) -> Result<(), StoreError> {
        if self.stored.requests.len().saturating_add(more) > REQUESTS_MAX {
            let requests = REQUESTS_MAX;
            return Err(StoreError::Bug(format!("more than {requests} requests tell of events that would become one")));
        }
        Ok(())
    }
}

/// The instant before which rejected requests are dropped for their age.
pub fn kept_from(scope: Scope<'_>) -> Option<Timestamp> {
    let days_ms = i64::from(scope.partner.data_retention_days).saturating_mul(86_400_000);
    Timestamp::from_unix_ms((scope.now)().unix_ms().saturating_sub(days_ms))
}

/// What a request is read into now.
pub fn read(scope: Scope<'_>, asked: &Asked, row: &RequestRow) -> Now {
    let receipt = &row.receipt;
    if receipt.is_erased() {
        return Now::Left(Left::Erased);
    }
    match request::read(scope.partner, receipt) {
        Ok(Ok(reading)) => Now::Postback(Box::new(reading)),
        Ok(Err(_)) if asked.keep_accepted => Now::Left(Left::Accepted),
        // Among the rejected ones it would be dropped, and nothing would bring it back.
        Ok(Err(_)) if kept_from(scope).is_some_and(|from| receipt.received_at < from) => Now::Left(Left::Dropped),
        Ok(Err(rejection)) => {
            let (content_type, body) = (receipt.content_type.as_deref(), receipt.body.as_deref());
            let ids = rejections::ids(scope.partner, &receipt.target, content_type, body, receipt.received_at);
            let status = Error::from(rejection.clone()).status();
            Now::Rejected(rejection, Box::new(ids), status)
        }
        Err(why) => Now::Left(Left::Unreadable(why)),
    }
}
