//! Requests and events that hang together: an event with all its requests, the events that these are read into, and so on.

use super::plan::{Left, Now};
use super::{Asked, Scope, request};
use crate::api::error::Error;
use crate::rejections;
use crate::store::reread::{RequestRow, Stored};
use crate::store::{StoreError, patiently};
use std::collections::{BTreeMap, BTreeSet};

/// Events that one statement reads.
const CHUNK: usize = 100;
/// Requests that hang together at most. They are in memory at once, and in one transaction.
const REQUESTS_MAX: usize = 50_000;

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
    /// The database cannot say, or it is too much.
    pub async fn of(scope: Scope<'_>, asked: &Asked, event_ids: BTreeSet<String>) -> Result<Cluster, StoreError> {
        let mut cluster = Cluster::default();
        let mut known = event_ids.clone();
        let mut next: Vec<String> = event_ids.into_iter().collect();
        while !next.is_empty() {
            let rest = next.split_off(next.len().min(CHUNK));
            let Stored { events, requests, .. } = patiently(|| scope.store.stored_events(&next)).await?;
            next = rest;
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
            if cluster.stored.requests.len() > REQUESTS_MAX {
                let requests = REQUESTS_MAX;
                return Err(StoreError::Bug(format!(
                    "more than {requests} requests tell of events that would become one"
                )));
            }
        }
        cluster.stored.requests.sort_by_key(|row| row.postback_id);
        cluster.stored.requests.dedup_by_key(|row| row.postback_id);
        Ok(cluster)
    }
}

/// What a request is read into now.
pub fn read(scope: Scope<'_>, asked: &Asked, row: &RequestRow) -> Now {
    if row.is_erased {
        return Now::Left(Left::Erased);
    }
    let receipt = &row.receipt;
    match request::read(scope.partner, receipt) {
        Ok(Ok(reading)) => Now::Postback(Box::new(reading)),
        Ok(Err(_)) if asked.keep_accepted => Now::Left(Left::Accepted),
        Ok(Err(rejection)) => {
            let (content_type, body) = (receipt.content_type.as_deref(), receipt.body.as_deref());
            let ids = rejections::ids(scope.partner, &receipt.target, content_type, body, receipt.received_at);
            let status = Error::from(rejection.clone()).status();
            Now::Rejected(rejection, Box::new(ids), status)
        }
        Err(why) => Now::Left(Left::Unreadable(why)),
    }
}
