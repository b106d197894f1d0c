//! A conversion that would begin: which rows of the report it may be, and which of its postbacks that takes.

use super::judge::Judge;
use super::said::Said;
use super::want::Want;
use super::{Notice, Use};
use crate::reconcile::Theirs;
use postback::duplicate::OnRepeat;
use postback::field::Field;
use postback::money::Amount;
use postback::reading::Reading;
use postback::status::{Status, Transition};
use std::collections::{BTreeMap, BTreeSet};

/// Of one conversion there are a few postbacks, and a few rows. Of more pairs than this nobody can say which are meant.
const LOOKED_AT_MAX: usize = 40_000;

/// A conversion that would begin.
pub struct Beginning {
    /// The places of the postbacks that are good for it.
    pub notices: BTreeSet<usize>,
    /// The places of the rows that it may be.
    pub rows: BTreeSet<usize>,
    /// How many conversions they would begin: more than one where repeats are marked.
    pub count: usize,
}

/// A postback of it, in the order in which they came.
pub struct Link<'n> {
    /// Its place.
    pub place: usize,
    /// The postback.
    pub notice: &'n Notice,
    /// What it is read into.
    pub reading: &'n Reading,
}

impl Beginning {
    /// What postbacks of one key would begin; or why none of them can be replayed.
    pub fn of(judge: &Judge<'_>, want: &Want<'_>, chain: &[Link<'_>]) -> Result<Beginning, Use> {
        let mut events = chain.iter().map(|link| link.reading.postback.event()).collect::<Vec<_>>();
        events.dedup();
        let rows_of = |event| want.rows_of(event).into_iter().collect::<BTreeSet<_>>();
        let of_all = events.into_iter().map(rows_of).reduce(|all, rows| all.intersection(&rows).copied().collect());
        let of_all = of_all.unwrap_or_default();
        if of_all.len().saturating_mul(chain.len()) > LOOKED_AT_MAX {
            return Err(Use::OneOfMore);
        }
        let mut found: BTreeMap<BTreeSet<usize>, BTreeSet<usize>> = BTreeMap::new();
        for place in of_all {
            let Some(row) = want.missing.get(place) else { continue };
            found.entry(fitting(row, chain, judge.tolerance)).or_default().insert(place);
        }
        found.remove(&BTreeSet::new());
        let (notices, rows) = found.pop_first().ok_or(Use::SaysOther)?;
        if !found.is_empty() {
            // These would be one row, those another.
            return Err(Use::OneOfMore);
        }
        let good = chain.iter().filter(|link| notices.contains(&link.place));
        let count = conversions_of(judge.partner.duplicates.repeat, good);
        Ok(Beginning { notices, rows, count })
    }

    /// Those of which it is not clear that each finds a row of its own. It is where each row that one may be has no more to choose from
    /// than that one has rows (by Hall's marriage theorem).
    pub fn unclear(all: &[Beginning]) -> impl Iterator<Item = &Beginning> {
        let mut by_row: BTreeMap<usize, usize> = BTreeMap::new();
        for beginning in all {
            for row in &beginning.rows {
                let count = by_row.entry(*row).or_default();
                *count = count.saturating_add(beginning.count);
            }
        }
        let choices = move |row: &usize| by_row.get(row).copied().unwrap_or_default();
        all.iter().filter(move |one| one.rows.iter().any(|row| choices(row) > one.rows.len()))
    }
}

/// The places of those that say nothing but what a row says. What was refused and says other than it is none the less right where the last
/// that was refused, and is replayed behind it, says it as the row does: a booking was pending before it was approved.
fn fitting(row: &Theirs, chain: &[Link<'_>], tolerance: Amount) -> BTreeSet<usize> {
    let said: Vec<_> = chain.iter().map(|link| (link, Said::of(row, link.reading, tolerance))).collect();
    let last = said.iter().rev().find(|(link, said)| !link.notice.is_parked() && said.other.is_empty());
    let status = |link: &Link<'_>| link.reading.postback.status();
    // One that came too late by its status would not replace what those before it say.
    let takes = |last: &Link<'_>| {
        let mut all = chain.iter().filter(|link| link.notice.received_at <= last.notice.received_at);
        all.all(|link| Status::transition(status(link), status(last)) != Transition::Late)
    };
    let last = last.filter(|(link, _)| takes(link));
    let is_replaced = |link: &Link<'_>, other: &BTreeSet<Field>| {
        last.is_some_and(|(last, said)| {
            let is_before = link.notice.received_at < last.notice.received_at;
            is_before && !link.notice.is_parked() && other.is_subset(&said.same)
        })
    };
    let fits = said.iter().filter(|(link, said)| said.other.is_empty() || is_replaced(link, &said.other));
    fits.map(|(link, _)| link.place).collect()
}

/// How many conversions postbacks of one key would begin, where nothing is stored under it. The same event again is a duplicate.
fn conversions_of<'l, 'n: 'l>(repeat: OnRepeat, good: impl Iterator<Item = &'l Link<'n>>) -> usize {
    let events: BTreeSet<_> = good.map(|link| link.reading.postback.event_id().as_str()).collect();
    match repeat {
        OnRepeat::Revise | OnRepeat::Ignore => events.len().min(1),
        OnRepeat::Flag => events.len(),
    }
}
