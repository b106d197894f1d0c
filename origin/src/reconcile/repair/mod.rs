//! What can be repaired of what is missing or differs: conversions of which a postback was refused, and would be taken today, because
//! the partner's file has been mended since; and those of which the edge has parked one.
//!
//! Money is in it, so in doubt nothing is replayed, and [`Use`] says why.

mod beginning;
mod judge;
mod said;
mod want;

pub use judge::Judge;
pub use want::{Want, Wanted};

use super::Standing;
use crate::reread::request::{is_whole_rejection, read};
use crate::store::reader::Rejection;
use crate::store::{Receipt, Record, Recorded, Store, StoreError, patiently};
use postback::canonical::CanonicalForm;
use postback::field::Field;
use postback::id::{EventId, Nonce};
use postback::params::Params;
use postback::reading::Reading;
use postback::rejection::Code;
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// A postback that was refused or parked, and tells of a conversion that is missing or differs.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The conversion.
    pub conversion_id: String,
    /// The name of its request.
    pub request_id: String,
    /// When that was received.
    pub received_at: Timestamp,
    /// Where it is kept.
    pub kept: Kept,
    /// What is to be thought of it.
    pub use_of: Use,
    /// What it is read into today; None of what is not replayed.
    reading: Option<Box<Reading>>,
}

/// Where a postback is kept that was not taken.
#[derive(Clone, Debug)]
pub enum Kept {
    /// Among what the origin refused.
    Rejected {
        /// Why, then.
        code: String,
        /// How it came; None of what is not replayed.
        receipt: Option<Box<Receipt>>,
    },
    /// At the edge.
    Parked,
}

/// Whether a postback may be replayed, and why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It may.
    Good,
    /// It would be refused today as well.
    Refused(Code),
    /// Not all of it was kept: its body was too large, compressed, broken off, or may hold a secret.
    Incomplete,
    /// The partner's conversions are told apart by click and event: which of them it would change, its id does not say.
    ByClick,
    /// It would begin or change another conversion than what is missing or differs; or it would change none, or it is not told which.
    Another,
    /// Something later is known of the conversion, or replayed before it: what this one says may be overtaken.
    Overtaken,
    /// It says other than the report.
    SaysOther,
    /// It says nothing of what differs, or could not change it.
    SaysNothing,
    /// It is one of several that would begin conversions, and more than are missing, or it is not clear which are meant.
    OneOfMore,
    /// It is parked, and so is an earlier one of the id; the edge's queue keeps no order.
    Behind,
    /// The conversion has changed since it was compared.
    Changed,
    /// It was replayed.
    Replayed,
}

impl Notice {
    /// What was rejected, where it tells of a conversion that is wanted.
    fn of_rejection(judge: &Judge<'_>, rejection: Rejection) -> Option<Notice> {
        let Rejection { receipt, code, conversion_id: stored_id, .. } = rejection;
        let is_whole = is_whole_rejection(&receipt, &code);
        let query = receipt.target.split_once('?').map_or("", |(_, query)| query);
        let body = receipt.body.as_deref().unwrap_or("").as_bytes();
        let params = Params::from_request(query, receipt.content_type.as_deref(), body);
        let received_at = receipt.received_at;
        let read_id = params
            .as_ref()
            .ok()
            .and_then(|params| judge.partner.examine(params, received_at).text(Field::ConversionId));
        // Of a request that cannot be read whole, its id was stored as far as it could be read.
        let conversion_id = read_id.or(stored_id)?;
        let want = judge.wanted.get(conversion_id.as_str())?;
        let (use_of, reading) = match read(judge.partner, &receipt) {
            Err(_) => (Use::Incomplete, None),
            Ok(_) if !is_whole => (Use::Incomplete, None),
            Ok(Ok(reading)) => (judge.use_of(want, &reading, received_at), Some(Box::new(reading))),
            Ok(Err(rejection)) => (Use::Refused(rejection.code()), None),
        };
        let request_id = receipt.request_id.clone();
        let kept = Kept::Rejected { code, receipt: Some(Box::new(receipt)) };
        Some(Notice { conversion_id, request_id, received_at, kept, use_of, reading }.without_what_is_not_needed())
    }

    /// A parked postback, in canonical form as the edge keeps it, where it tells of a conversion that is wanted.
    pub fn of_parked(
        judge: &Judge<'_>,
        request_id: String,
        event_id: EventId,
        canonical: &str,
        received_at: Timestamp,
    ) -> Option<Notice> {
        let postback = CanonicalForm::from_query(canonical).into_postback(event_id).ok()?;
        let reading = Reading::of_canonical(postback, true);
        let conversion_id = reading.postback.conversion_id().into_owned();
        let use_of = judge.use_of(judge.wanted.get(conversion_id.as_str())?, &reading, received_at);
        let (kept, reading) = (Kept::Parked, Some(Box::new(reading)));
        Some(Notice { conversion_id, request_id, received_at, kept, use_of, reading }.without_what_is_not_needed())
    }

    /// Whether it can be replayed.
    pub fn is_good(&self) -> bool {
        self.use_of == Use::Good
    }

    /// Whether the edge has it.
    pub fn is_parked(&self) -> bool {
        matches!(self.kept, Kept::Parked)
    }

    /// A report may have a million conversions, and a sender may have tried each many times.
    fn without_what_is_not_needed(mut self) -> Notice {
        if !self.is_good() {
            self.reading = None;
            if let Kept::Rejected { receipt, .. } = &mut self.kept {
                *receipt = None;
            }
        }
        self
    }
}

/// Reads what was rejected since an instant again, and keeps what tells of a conversion that is wanted. What several of one conversion
/// are good for together says [`Judge::together`].
///
/// # Errors
/// The database cannot say.
pub async fn rejected(store: &Store, judge: &Judge<'_>, since: Timestamp) -> Result<Vec<Notice>, StoreError> {
    let mut found = Vec::new();
    let mut after = 0;
    loop {
        let page = patiently(async || store.rejections(since, after).await).await?;
        let Some(last) = page.last() else { return Ok(found) };
        after = last.rejection_id;
        found.extend(page.into_iter().filter_map(|rejection| Notice::of_rejection(judge, rejection)));
    }
}

/// Whether under an id all stands as it did when it was judged. Between the two lie questions to the edge and to a person, and what came
/// meanwhile must not be undone.
///
/// # Errors
/// The database cannot say.
pub async fn stands_as_judged(
    store: &Store,
    conversion_id: &str,
    judged: Option<&Standing>,
) -> Result<bool, StoreError> {
    Ok(Standing::read(store, conversion_id).await? == judged.cloned().unwrap_or_default())
}

/// Records a rejected postback as it would have been, had it been taken when it was received. One that was recorded meanwhile is a
/// duplicate and changes nothing; what is not good changes nothing either.
///
/// # Errors
/// The database cannot.
pub async fn replay(
    store: &Store,
    notice: &Notice,
    receipt_id: impl Fn() -> Option<Nonce>,
    now: Timestamp,
) -> Result<Option<Verdict>, StoreError> {
    let (Use::Good, Some(reading), Kept::Rejected { receipt: Some(receipt), .. }) =
        (notice.use_of, &notice.reading, &notice.kept)
    else {
        return Ok(None);
    };
    // A try that was committed and not answered is found by the next one, as long as that has a name of its own.
    let record = async || {
        let receipt_id = receipt_id().ok_or_else(|| StoreError::Bug("the system has no random bytes".to_owned()))?;
        let (reading, receipt) = (reading.as_ref().clone(), receipt.as_ref().clone());
        store.record(Record { receipt_id, reading, receipt, now }).await
    };
    match patiently(record).await? {
        Recorded::As(verdict) => Ok(Some(verdict)),
        // It has no nonce.
        Recorded::Replayed => Ok(None),
    }
}

#[cfg(test)]
mod tests;
