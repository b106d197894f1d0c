//! What can be repaired of what is missing or differs: conversions of which a postback was refused, and would be taken today, because
//! the partner's file has been mended since; and those of which the edge has parked one.

use crate::ingest::read_partners;
use crate::store::reader::Rejection;
use crate::store::{Receipt, Record, Recorded, Store, StoreError};
use postback::id::Nonce;
use postback::params::Params;
use postback::partner::Partner;
use postback::reading::{Dialect, Reading};
use postback::rejection::Rejection as Refusal;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::collections::BTreeMap;

/// A rejected request that tells of a conversion that is missing or differs.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// As it was written down.
    pub rejection: Rejection,
    /// The conversion, where it can be told.
    pub conversion_id: String,
    /// Whether the conversion has changed since: what it says may be overtaken then, and is not replayed.
    pub is_overtaken: bool,
    /// The postback that it is read into today, or what is wrong with it still.
    pub reading: Result<Reading, Refusal>,
}

/// Conversions that are missing or differ, and when each last changed, where it is stored.
pub type Wanted<'a> = BTreeMap<&'a str, Option<Timestamp>>;

/// Whether a conversion has changed since a postback of it was received.
pub fn is_overtaken(wanted: &Wanted<'_>, conversion_id: &str, received_at: Timestamp) -> bool {
    wanted.get(conversion_id).copied().flatten().is_some_and(|changed_at| received_at < changed_at)
}

impl Rejected {
    /// Whether it can be replayed.
    pub fn is_good(&self) -> bool {
        self.reading.is_ok() && !self.is_overtaken
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
        let page = store.rejections(since, after).await?;
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
    let conversion_id = told.filter(|id| wanted.contains_key(id.as_str()))?;
    let is_overtaken = is_overtaken(wanted, &conversion_id, *received_at);
    Some(Rejected { conversion_id, is_overtaken, reading, rejection })
}

/// The conversion that a parked postback tells of, in canonical form as the edge keeps it.
pub fn conversion_of_parked(partner: &Partner, canonical: &str, received_at: Timestamp) -> Option<String> {
    let params = Params::from_query(canonical).ok()?;
    let reading = partner.read(&params, Dialect::Canonical, received_at).ok()?;
    Some(reading.postback.conversion_id().into_owned())
}

/// Records a rejected postback as it would have been, had it been taken when it was received. One that was recorded meanwhile is a
/// duplicate and changes nothing.
///
/// # Errors
/// The database cannot.
pub async fn replay(
    store: &Store,
    rejected: Rejected,
    receipt_id: Nonce,
    now: Timestamp,
) -> Result<Option<Verdict>, StoreError> {
    let Ok(reading) = rejected.reading else { return Ok(None) };
    let receipt = rejected.rejection.receipt;
    match store.record(Record { receipt_id, reading, receipt, now }).await? {
        Recorded::As(verdict) => Ok(Some(verdict)),
        // It has no nonce.
        Recorded::Replayed => Ok(None),
    }
}
