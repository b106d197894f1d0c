//! Stored requests that are read again by other rules ([`crate::reread`]): what is stored of them and of their events, and putting what
//! they say now in the place of what they said.
//!
//! **Events are a function of requests, as conversions are of events.** What replaces events is one transaction that takes turns with
//! whoever records the same events, and changes nothing where one of them is not as it was read. It requests rebuilds of the conversions
//! concerned, so none is forgotten. What each request was before stays in `reread_requests`, as ids, status and amounts.

mod read;
mod related;
mod write;

pub use read::{EventMarks, EventRow, Known, Place, ReceiptRow, RequestRow, RequestSpan, Stored, StoredEvent};
pub use related::Relation;
pub use write::{Accepted, After, Became, EventChange, KeyChange, Link, Rejection, Replacement, RequestChange};

use super::limits::Limits;
use super::statement::{Done, Statement};
use super::{Store, StoreError};
use std::collections::BTreeSet;
use std::time::Duration;

/// Requests that one statement reads.
pub const PAGE: usize = 200;
/// Those of a command, not of a request.
const LIMITS: Limits =
    Limits { settings: &[("statement_timeout", "30000"), ("lock_timeout", "30000")], total: Duration::from_secs(60) };

impl Store {
    /// The next requests that reached a verdict, in the order in which they were received, at most [`PAGE`].
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn stored_requests(&self, span: &RequestSpan) -> Result<Vec<RequestRow>, StoreError> {
        let step = read::page(self.database().dialect(), span);
        read::requests(self.rereading(vec![step.over(std::slice::from_ref(span))]).await?)
    }

    /// Events by their ids, with all their receipts and requests.
    ///
    /// # Errors
    /// The database cannot say, or one is not as it was stored.
    pub async fn stored_events(&self, event_ids: &[String]) -> Result<Stored, StoreError> {
        let dialect = self.database().dialect();
        let statements = read::events(dialect).into_iter().map(|step| step.over(event_ids)).collect();
        read::stored(self.rereading(statements).await?)
    }

    /// The events of these keys of conversions, with all their receipts, without their requests.
    ///
    /// # Errors
    /// As [`Store::stored_events`].
    pub async fn events_of_keys(&self, keys: &[String]) -> Result<Stored, StoreError> {
        let dialect = self.database().dialect();
        let statements = read::events_of_keys(dialect).into_iter().map(|step| step.over(keys)).collect();
        read::stored(self.rereading(statements).await?)
    }

    /// The keys of conversions that are balanced together with others, as far as one step leads.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn related_keys(&self, of: &[Relation]) -> Result<BTreeSet<String>, StoreError> {
        let statement = related::keys(self.database().dialect()).over(of);
        let done = self.rereading(vec![statement]).await?;
        Ok(done.into_iter().flat_map(|done| done.answers).map(|(key, _)| key).collect())
    }

    /// Which of these requests reached a verdict.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn requests_with_verdict(&self, request_ids: &[String]) -> Result<BTreeSet<String>, StoreError> {
        let statement = read::with_verdict(self.database().dialect()).over(request_ids);
        let done = self.rereading(vec![statement]).await?;
        Ok(done.into_iter().flat_map(|done| done.answers).map(|(id, _)| id).collect())
    }

    /// Since when requests are kept, and whether there are events from before.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn requests_kept(&self) -> Result<Known, StoreError> {
        read::known(self.rereading(vec![read::kept(self.database().dialect()).over(&[()])]).await?)
    }

    /// Puts events in the place of those that are stored, as the contract above says. Answers whether it was done: not where one has
    /// changed since it was read.
    ///
    /// # Errors
    /// Nothing was replaced, or, when time ran out, that is not known: reading again finds out.
    pub async fn replace_events(&self, replacement: &Replacement) -> Result<bool, StoreError> {
        let statements = write::statements(self.database().dialect(), replacement);
        let done = self.rereading(statements).await?;
        Ok(done.iter().any(|done| done.answers.iter().any(|(_, answer)| answer == write::DONE)))
    }

    async fn rereading(&self, statements: Vec<Statement>) -> Result<Vec<Done>, StoreError> {
        self.run_within(&LIMITS, statements).await
    }
}
