//! What can be repaired of what is missing or differs: conversions of which a postback was refused, and would be taken today, because
//! the partner's file has been mended since; and those of which the edge has parked one.

use super::{Last, Pair};
use crate::ingest::read_partners;
use crate::store::reader::Rejection;
use crate::store::{Receipt, Record, Recorded, Store, StoreError, patiently};
use postback::duplicate::OnRepeat;
use postback::field::Field;
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
    /// The conversion knows of a later one: what this one says may be overtaken.
    Overtaken,
    /// It would begin or change another conversion than what is missing or differs.
    Another,
    /// It is one of several that would begin conversions, more than are missing.
    OneOfMore,
}

/// Conversions that are missing or differ, by id.
pub type Wanted<'a> = BTreeMap<&'a str, Want>;

/// What is wanted of an id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Want {
    /// The keys of all that is stored under it, and the last that is known under each.
    pub stored: BTreeMap<String, Last>,
    /// The keys of what differs.
    pub differs: BTreeSet<String>,
    /// How many are missing.
    pub missing: usize,
    /// The events that are missing, where the report says which.
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
            (_, Some(ours)) => drop(self.differs.insert(ours.key.clone())),
            (Some(theirs), None) => {
                self.missing = self.missing.saturating_add(1);
                match &theirs.event {
                    Some(event) => drop(self.events.insert(event.clone())),
                    None if theirs.takes_back() => self.any_back = true,
                    None => self.any = true,
                }
            }
            (None, None) => {}
        }
    }

    /// What is to be thought of a postback, by the conversion that it would begin or change (R48).
    fn use_of(&self, partner: &Partner, reading: &Reading, received_at: Timestamp) -> Use {
        let policy = &partner.duplicates;
        let key = policy.conversion_key(&reading.postback);
        let event = reading.postback.event();
        match self.stored.get(&key) {
            Some(last) => {
                let apart_s = received_at.unix_s().saturating_sub(last.received_s);
                let is_within = policy.window_s.is_none_or(|window_s| apart_s <= i64::from(window_s));
                let is_revised = policy.repeat == OnRepeat::Revise && self.differs.contains(&key) && is_within;
                match (is_revised, last.is_after(received_at)) {
                    (true, false) => Use::Good,
                    (true, true) => Use::Overtaken,
                    (false, _) => Use::Another,
                }
            }
            None => {
                let is_any = if event.takes_money_back() { self.any_back } else { self.any };
                if is_any || self.events.contains(event.name()) { Use::Good } else { Use::Another }
            }
        }
    }

    /// The key of a new conversion that a postback would begin.
    fn new_key(&self, partner: &Partner, reading: &Reading) -> Option<String> {
        let key = partner.duplicates.conversion_key(&reading.postback);
        (!self.stored.contains_key(&key)).then_some(key)
    }
}

/// Of what would begin more conversions than are missing nobody knows which are meant: none is replayed.
fn without_too_many(partner: &Partner, wanted: &Wanted<'_>, found: &mut [Rejected]) {
    let mut keys: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let new_key = |rejected: &Rejected| {
        let reading = rejected.reading.as_ref().ok().filter(|_| rejected.is_good())?;
        wanted.get(rejected.conversion_id.as_str())?.new_key(partner, reading)
    };
    for rejected in found.iter() {
        if let Some(key) = new_key(rejected) {
            keys.entry(rejected.conversion_id.clone()).or_default().insert(key);
        }
    }
    for rejected in found {
        let missing = wanted.get(rejected.conversion_id.as_str()).map_or(0, |want| want.missing);
        let are_more = keys.get(&rejected.conversion_id).is_some_and(|keys| keys.len() > missing);
        if are_more && new_key(rejected).is_some() {
            rejected.use_of = Use::OneOfMore;
        }
    }
}

impl Rejected {
    /// Whether it can be replayed.
    pub fn is_good(&self) -> bool {
        self.reading.is_ok() && self.use_of == Use::Good
    }
}

/// Reads what was rejected since an instant again, and keeps what tells of a conversion of these, in the order in which it was received.
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
        let Some(last) = page.last() else {
            // The edge's queue keeps no order.
            found.sort_by_key(|rejected: &Rejected| rejected.rejection.receipt.received_at);
            without_too_many(partner, wanted, &mut found);
            return Ok(found);
        };
        after = last.rejection_id;
        found.extend(page.into_iter().filter_map(|rejection| again(partner, wanted, rejection)));
    }
}

fn again(partner: &Partner, wanted: &Wanted<'_>, rejection: Rejection) -> Option<Rejected> {
    let Receipt { target, content_type, body, received_at, .. } = &rejection.receipt;
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let body = body.as_deref().unwrap_or("").as_bytes();
    let params = Params::from_request(query, content_type.as_deref(), body).ok()?;
    let conversion_id = partner.examine(&params, Dialect::Partner, *received_at).text(Field::ConversionId)?;
    let want = wanted.get(conversion_id.as_str())?;
    let reading = read_partners(partner, params, *received_at);
    let use_of = reading.as_ref().map_or(Use::Another, |reading| want.use_of(partner, reading, *received_at));
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
    receipt_id: impl Fn() -> Option<Nonce>,
    now: Timestamp,
) -> Result<Option<Verdict>, StoreError> {
    let Ok(reading) = &rejected.reading else { return Ok(None) };
    let (reading, receipt) = (reading.clone(), rejected.rejection.receipt.clone());
    // A try that was committed and not answered is found by the next one, as long as that has a name of its own.
    let record = async || {
        let receipt_id = receipt_id().ok_or_else(|| StoreError::Bug("the system has no random bytes".to_owned()))?;
        store.record(Record { receipt_id, reading: reading.clone(), receipt: receipt.clone(), now }).await
    };
    match patiently(record).await? {
        Recorded::As(verdict) => Ok(Some(verdict)),
        // It has no nonce.
        Recorded::Replayed => Ok(None),
    }
}
