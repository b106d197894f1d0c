//! Stored requests that are read again by other rules ([`crate::reread`]): what is stored of them and of their events, and putting what
//! they say now in the place of what they said.
//!
//! **Events are a function of requests, as conversions are of events.** What replaces events is one transaction that takes turns with
//! whoever records the same events, and changes nothing where one of them is not as it was read. It requests rebuilds of the conversions
//! concerned, so none is forgotten. What each request was before stays in `reread_requests`, as ids, status and amounts.

mod read;
mod related;
mod write;

pub use read::{
    EventMarks, EventRow, Known, Place, ReceiptRow, RejectedRow, RejectedSpan, RequestRow, RequestSpan, Stored,
    StoredEvent, StoredPage, Unreadable,
};
pub use related::Relation;
pub use write::{
    Accepted, After, Became, EventChange, KeyChange, Link, Rejection, Replacement, RequestChange, Row, Was,
};

use super::limits::Limits;
use super::reader::Total;
use super::statement::{Done, Statement};
use super::{Store, StoreError};
use postback::time::Timestamp;
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
    pub async fn stored_requests(&self, span: &RequestSpan) -> Result<StoredPage<RequestRow, Place>, StoreError> {
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

    /// The next rejected requests that have reached no verdict since, in the order of their numbers, at most [`PAGE`].
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn stored_rejections(&self, span: RejectedSpan) -> Result<StoredPage<RejectedRow, i64>, StoreError> {
        let step = read::rejected_page(self.database().dialect());
        read::rejected_requests(self.rereading(vec![step.over(&[span])]).await?)
    }

    /// Rejected requests by their numbers: those that have reached no verdict since.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn rejections_by_number(&self, numbers: &[i64]) -> Result<StoredPage<RejectedRow, i64>, StoreError> {
        let step = read::rejected_by_number(self.database().dialect());
        read::rejected_requests(self.rereading(vec![step.over(numbers)]).await?)
    }

    /// What the conversions of keys come to as they are stored, by quarters of an hour that begin at these instants.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn totals_of_keys(&self, keys: &[String]) -> Result<Vec<(Timestamp, Total)>, StoreError> {
        let step = read::totals_of_keys(self.database().dialect());
        read::totals(self.rereading(vec![step.over(keys)]).await?)
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
