//! Parked postbacks: list, show, replay.

use super::{Failed, Operated, unavailable};
use crate::delivery::parcel::Parcel;
use crate::error::Error;
use crate::parked::filter::{Filter, LIMIT_MAX, State, Unclear};
use crate::parked::returning;
use crate::parked::table::{Count, Row, Table};
use crate::platform::Bindings;
use crate::queue::item::{Item, Reported};
use crate::reply;
use postback::click::Click;
use postback::id::Nonce;
use serde::Serialize;

fn filter(query: &str) -> Result<Filter, Failed> {
    Filter::parse(query).map_err(|unclear| Error::Unclear(unclear).into())
}

fn unclear(name: &str, hint: &'static str) -> Failed {
    Error::Unclear(Unclear { name: name.to_owned(), hint }).into()
}

/// The rows of a filter, a page at a time.
pub(super) async fn list(bindings: &Bindings, query: &str, request_id: &Nonce) -> Result<Operated, Failed> {
    #[derive(Serialize)]
    struct Page {
        parked: Vec<Row>,
        /// The cursor of the page behind this; null when this is the last.
        next: Option<String>,
    }
    let filter = filter(query)?;
    if filter.dry_run.is_some() {
        return Err(unclear("dry_run", "a list changes nothing; ask for it with a replay"));
    }
    let table = Table::open(bindings).await.map_err(unavailable)?;
    let parked = table.list(&filter).await.map_err(unavailable)?;
    let is_full = u32::try_from(parked.len()).is_ok_and(|count| count == filter.limit());
    let next = parked.last().filter(|_| is_full).map(Row::cursor);
    let reason = format!("{} rows", parked.len());
    Ok(Operated { reply: reply::json(200, request_id, &Page { parked, next }), reason })
}

/// One row with all that is kept of the postback.
pub(super) async fn show(bindings: &Bindings, name: &str, request_id: &Nonce) -> Result<Operated, Failed> {
    #[derive(Serialize)]
    struct Shown {
        #[serde(flatten)]
        row: Row,
        postback: Option<Kept>,
        click: Option<Click>,
        report: Option<Reported>,
        /// The message itself, where it cannot be read.
        message: Option<String>,
    }
    #[derive(Serialize)]
    struct Kept {
        canonical: String,
        method: String,
        target: String,
        content_type: Option<String>,
        body: String,
        auth: String,
    }
    let table = Table::open(bindings).await.map_err(unavailable)?;
    let found = table.show(name).await.map_err(unavailable)?;
    let (row, message) = found.ok_or(Error::NotParked)?;
    let (postback, click, report, message) = match Item::from_message(&message) {
        Ok(Item::Postback(Parcel { canonical, method, target, content_type, body, auth, .. })) => {
            let canonical = canonical.to_query();
            (Some(Kept { canonical, method, target, content_type, body, auth }), None, None, None)
        }
        Ok(Item::Click(clicked)) => (None, Some(clicked.click), None, None),
        Ok(Item::Report(reported)) => (None, None, Some(reported), None),
        Err(_) => (None, None, None, Some(message)),
    };
    let reason = row.request_id.clone();
    Ok(Operated { reply: reply::json(200, request_id, &Shown { row, postback, click, report, message }), reason })
}

/// Gives the rows of a filter back to the queue, or says which they would be.
pub(super) async fn replay(bindings: &Bindings, query: &str, request_id: &Nonce) -> Result<Operated, Failed> {
    #[derive(Serialize)]
    struct Replayed {
        dry_run: bool,
        /// Parked rows that the filter has now, or had before they were replayed.
        matching: u64,
        /// Rows that the queue holds now.
        replayed: u32,
        /// Rows that are left for another call.
        left: u64,
        by_partner_and_reason: Vec<Count>,
        /// What failed behind those that were replayed.
        problem: Option<String>,
    }
    let filter = filter(query)?;
    let dry_run = filter.dry_run.ok_or_else(|| {
        unclear("dry_run", "say dry_run=true to see what would be replayed, dry_run=false to replay it")
    })?;
    if filter.state == Some(State::Delivered) {
        return Err(unclear("state", "what is delivered needs no replay"));
    }
    if filter.cursor.is_some() {
        return Err(unclear("cursor", "a replay begins with the longest parked"));
    }
    let limit = filter.limit.unwrap_or(LIMIT_MAX);
    let filter = Filter { state: filter.state.or(Some(State::Parked)), ..filter };
    let table = Table::open(bindings).await.map_err(unavailable)?;
    let counts = table.count(&filter).await.map_err(unavailable)?;
    let matching = counts.iter().map(|count| count.count).fold(0, u64::saturating_add);
    let (replayed, problem) = if dry_run {
        (0, None)
    } else {
        match returning::replay(bindings, &table, &filter, limit).await {
            Ok(replayed) => (replayed, None),
            Err((replayed, problem)) => (replayed, Some(problem)),
        }
    };
    let mut reason = format!("dry_run={dry_run}: {replayed} of {matching} replayed");
    if let Some(problem) = &problem {
        reason.push_str(&format!("; {problem}"));
    }
    let status = if problem.is_some() { 503 } else { 200 };
    let left = matching.saturating_sub(u64::from(replayed));
    let body = Replayed { dry_run, matching, replayed, left, by_partner_and_reason: counts, problem };
    Ok(Operated { reply: reply::json(status, request_id, &body), reason })
}
