//! What postbacks are good for: each by itself, and all of a conversion together.

use super::beginning::{Beginning, Link};
use super::said::Said;
use super::want::{Want, Wanted};
use super::{Notice, Use};
use crate::reconcile::Known;
use postback::duplicate::{DuplicateKey, OnRepeat};
use postback::money::Amount;
use postback::partner::Partner;
use postback::reading::Reading;
use postback::status::{Status, Transition};
use postback::time::Timestamp;
use std::collections::BTreeMap;

/// By what postbacks are judged.
#[derive(Clone, Debug)]
pub struct Judge<'a> {
    /// Whose they are.
    pub partner: &'a Partner,
    /// What is missing or differs.
    pub wanted: Wanted<'a>,
    /// By how much amounts may differ.
    pub tolerance: Amount,
}

impl Judge<'_> {
    /// What is to be thought of a postback by itself, by the conversion that it would begin or change (R48). Of one that would begin one
    /// [`Judge::together`] decides.
    pub(super) fn use_of(&self, want: &Want<'_>, reading: &Reading, received_at: Timestamp) -> Use {
        let policy = &self.partner.duplicates;
        // What is stored under the key may have another id. With this key alone there are windows.
        if policy.key == DuplicateKey::ClickIdAndEvent {
            return Use::ByClick;
        }
        let key = policy.conversion_key(&reading.postback);
        match want.known(&key) {
            Some(known) => self.use_for_known(want, &key, known, reading, received_at),
            None if want.rows_of(reading.postback.event()).is_empty() => Use::Another,
            None => Use::Good,
        }
    }

    /// What is to be thought of one that would change a conversion.
    fn use_for_known(
        &self,
        want: &Want<'_>,
        key: &str,
        known: &Known,
        reading: &Reading,
        received_at: Timestamp,
    ) -> Use {
        let is_revised = self.partner.duplicates.repeat == OnRepeat::Revise && known.conversions == 1;
        let differs = want.differs.get(key).filter(|_| is_revised);
        let Some((pair, theirs, ours)) =
            differs.and_then(|pair| Some((pair, pair.theirs.as_ref()?, pair.ours.as_ref()?)))
        else {
            return Use::Another;
        };
        if known.last.is_after(received_at) {
            return Use::Overtaken;
        }
        let said = Said::of(theirs, reading, self.tolerance);
        let is_late = Status::transition(ours.status, reading.postback.status()) == Transition::Late;
        let mends = said.same.iter().any(|field| pair.differences.iter().any(|differs| differs.field == field.name()));
        match (said.other.is_empty(), mends && !is_late) {
            (true, true) => Use::Good,
            (true, false) => Use::SaysNothing,
            (false, _) => Use::SaysOther,
        }
    }

    /// Judges all that tells of one id together, and puts it into the order in which it came, which the edge's queue does not keep.
    #[must_use]
    pub fn together(&self, conversion_id: &str, mut notices: Vec<Notice>) -> Vec<Notice> {
        notices.sort_by_key(|notice| notice.received_at);
        if let Some(want) = self.wanted.get(conversion_id) {
            self.judge_beginnings(want, &mut notices);
        }
        // What is parked is delivered behind what was rejected.
        let last = notices
            .iter()
            .filter(|notice| notice.is_good() && !notice.is_parked())
            .map(|notice| notice.received_at)
            .max();
        let mut parked: Vec<_> = notices.iter_mut().filter(|notice| notice.is_good() && notice.is_parked()).collect();
        parked
            .iter_mut()
            .filter(|notice| last.is_some_and(|last| notice.received_at <= last))
            .for_each(|notice| notice.use_of = Use::Overtaken);
        parked.into_iter().filter(|notice| notice.is_good()).skip(1).for_each(|notice| notice.use_of = Use::Behind);
        notices.into_iter().map(Notice::without_what_is_not_needed).collect()
    }

    /// Of what would begin conversions only that is good which can be told to be what is missing: there are rows to which it says
    /// nothing else, and no more such conversions than such rows.
    fn judge_beginnings(&self, want: &Want<'_>, notices: &mut [Notice]) {
        let mut by_key: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (place, notice) in notices.iter().enumerate().filter(|(_, notice)| notice.is_good()) {
            let key = notice.reading.as_ref().map(|reading| self.partner.duplicates.conversion_key(&reading.postback));
            if let Some(key) = key.filter(|key| want.known(key).is_none()) {
                by_key.entry(key).or_default().push(place);
            }
        }
        let mut beginnings = Vec::new();
        for places in by_key.into_values() {
            let link = |place: &usize| {
                let notice = notices.get(*place)?;
                Some(Link { place: *place, notice, reading: notice.reading.as_deref()? })
            };
            let chain: Vec<_> = places.iter().filter_map(link).collect();
            let found = Beginning::of(self, want, &chain);
            let left = match &found {
                Ok(_) => Use::SaysOther,
                Err(why) => *why,
            };
            let is_of_it = |place: &usize| found.as_ref().is_ok_and(|found| found.notices.contains(place));
            for place in places.iter().filter(|place| !is_of_it(place)) {
                set(notices, *place, left);
            }
            beginnings.extend(found);
        }
        for beginning in Beginning::unclear(&beginnings) {
            for place in &beginning.notices {
                set(notices, *place, Use::OneOfMore);
            }
        }
    }
}

fn set(notices: &mut [Notice], place: usize, use_of: Use) {
    if let Some(notice) = notices.get_mut(place) {
        notice.use_of = use_of;
    }
}
