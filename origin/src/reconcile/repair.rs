//! What can be repaired of what is missing or differs: conversions of which a postback was refused, and would be taken today, because
//! the partner's file has been mended since; and those of which the edge has parked one.

use super::{Pair, Theirs};
use crate::ingest::read_partners;
use crate::store::reader::Rejection;
use crate::store::{Receipt, Record, Recorded, Store, StoreError, patiently};
use postback::id::Nonce;
use postback::params::Params;
use postback::partner::Partner;
use postback::reading::{Dialect, Reading};
use postback::rejection::Rejection as Refusal;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet};

/// A rejected request that tells of a conversion that is missing or differs.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// As it was written down.
    pub rejection: Rejection,
    /// The conversion, where it can be told.
    pub conversion_id: String,
    /// What is to be thought of it.
    pub use_of: Use,
    /// The postback that it is read into today, or what is wrong with it still.
    pub reading: Result<Reading, Refusal>,
}

/// Whether a postback may be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It may.
    Good,
    /// The conversion has changed since it was received: what it says may be overtaken.
    Overtaken,
    /// It is of another event than what is missing or differs.
    OtherEvent,
}

/// Conversions that are missing or differ, by id.
pub type Wanted<'a> = BTreeMap<&'a str, Want>;

/// What is wanted of an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// When what is stored under it last changed; None: nothing is.
    pub changed_at: Option<Timestamp>,
    /// The events that are missing or differ.
    pub events: BTreeSet<String>,
    /// Whether any event is missing that takes no money back, because the report does not say which.
    pub any: bool,
    /// The same of one that does.
    pub any_back: bool,
}

impl Want {
    /// Adds what is missing or differs of a pair.
    pub fn add(&mut self, pair: &Pair) {
        match (&pair.theirs, &pair.ours) {
            (_, Some(ours)) => drop(self.events.insert(ours.event.clone())),
            (Some(Theirs { event: Some(event), .. }), None) => drop(self.events.insert(event.clone())),
            (Some(theirs), None) if theirs.takes_back() => self.any_back = true,
            (Some(_), None) => self.any = true,
            (None, None) => {}
        }
    }

    fn use_of(&self, partner: &Partner, reading: &Reading, received_at: Timestamp) -> Use {
        let event = reading.postback.event();
        let is_any = if event.takes_money_back() { self.any_back } else { self.any };
        // A notice that names no event is about what is known.
        let is_nameless = !reading.names_event || partner.default_event.as_deref() == Some(event.name());
        if !(is_any || self.events.contains(event.name()) || is_nameless && self.changed_at.is_some()) {
            Use::OtherEvent
        } else if self.changed_at.is_some_and(|changed_at| received_at < changed_at) {
            Use::Overtaken
        } else {
            Use::Good
        }
    }
}

impl Rejected {
    /// Whether it can be replayed.
    pub fn is_good(&self) -> bool {
        self.reading.is_ok() && self.use_of == Use::Good
    }
}

/// Reads what was rejected since an instant again, and keeps what tells of a conversion of these.
///
/// # Errors
/// The database cannot say.
pub async fn rejected(
    store: &Store,
    partner: &Partner,
    wanted: &Wanted<'_>,
    since: Timestamp,
) -> Result<Vec<Rejected>, StoreError> {
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let page = patiently(async || store.rejections(since, after).await).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.rejection_id;
        found.extend(page.into_iter().filter_map(|rejection| again(partner, wanted, rejection)));
    }
}

fn again(partner: &Partner, wanted: &Wanted<'_>, rejection: Rejection) -> Option<Rejected> {
    let Receipt { target, content_type, body, received_at, .. } = &rejection.receipt;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let body = body.as_deref().unwrap_or("").as_bytes();
    let params = Params::from_request(query, content_type.as_deref(), body);
    let told = params.as_ref().ok().and_then(|params| {
        let examined = partner.examine(params, Dialect::Partner, *received_at);
        examined.text(postback::field::Field::ConversionId)
    });
    let reading = params.and_then(|params| read_partners(partner, params, *received_at));
    let conversion_id = told?;
    let want = wanted.get(conversion_id.as_str())?;
    let use_of = reading.as_ref().map_or(Use::OtherEvent, |reading| want.use_of(partner, reading, *received_at));
    Some(Rejected { conversion_id, use_of, reading, rejection })
}

/// The conversion that a parked postback tells of, in canonical form as the edge keeps it, and what is to be thought of it; None where it
/// is none that is wanted.
pub fn use_of_parked(
    partner: &Partner,
    wanted: &Wanted<'_>,
    canonical: &str,
    received_at: Timestamp,
) -> Option<(String, Use)> {
    let params = Params::from_query(canonical).ok()?;
    let reading = partner.read(&params, Dialect::Canonical, received_at).ok()?;
    let conversion_id = reading.postback.conversion_id().into_owned();
    let use_of = wanted.get(conversion_id.as_str())?.use_of(partner, &reading, received_at);
    Some((conversion_id, use_of))
}

/// Records a rejected postback as it would have been, had it been taken when it was received. One that was recorded meanwhile is a
/// duplicate and changes nothing.
///
/// # Errors
/// The database cannot.
pub async fn replay(
    store: &Store,
    rejected: &Rejected,
    receipt_id: Nonce,
    now: Timestamp,
) -> Result<Option<Verdict>, StoreError> {
    let Ok(reading) = &rejected.reading else { return Ok(None) };
    let (reading, receipt) = (reading.clone(), rejected.rejection.receipt.clone());
    let record = Record { receipt_id, reading, receipt, now };
    match patiently(async || store.record(record.clone()).await).await? {
        Recorded::As(verdict) => Ok(Some(verdict)),
        // It has no nonce.
        Recorded::Replayed => Ok(None),
    }
}
