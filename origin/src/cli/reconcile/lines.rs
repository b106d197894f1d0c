//! What is not alike, line by line, and what can be done about it. Nothing is made of a line but what is shown of it.

use super::found::Found;
use crate::reconcile::repair::{Kept, Notice, Use};
use crate::reconcile::{Difference, Pair};
use postback::field::Field;
use postback::money::Amount;
use postback::status::Status;
use std::collections::BTreeMap;

/// Postbacks that are told of one conversion.
const NOTICES_TOLD: usize = 5;

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A conversion that the report has and we have not.
    Missing,
    /// One that we have and the report has not.
    Extra,
    /// A field that differs.
    Differs,
}

impl Kind {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Missing => "missing",
            Kind::Extra => "extra",
            Kind::Differs => "differs",
        }
    }
}

/// A conversion that one side has not, or a field that differs.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub kind: Kind,
    pub pair: &'a Pair,
    pub differs: Option<&'a Difference>,
    found: &'a Found<'a>,
}

/// All of them, in the order of days and of ids.
pub fn lines<'a>(found: &'a Found<'_>) -> impl Iterator<Item = Line<'a>> {
    found.compared.pairs.iter().flat_map(move |pair| {
        let alone = match (&pair.theirs, &pair.ours) {
            (Some(_), None) => Some(Kind::Missing),
            (None, Some(_)) => Some(Kind::Extra),
            (Some(_), Some(_)) | (None, None) => None,
        };
        let alone = alone.map(|kind| Line { kind, pair, differs: None, found });
        let differing =
            pair.differences.iter().map(move |one| Line { kind: Kind::Differs, pair, differs: Some(one), found });
        alone.into_iter().chain(differing)
    })
}

impl Line<'_> {
    /// The day; empty where it has none.
    pub fn day(&self) -> String {
        self.pair.day(&self.found.rules.zone).map(|day| day.to_string()).unwrap_or_default()
    }

    /// The event, as the report says it or as we have it.
    pub fn event(&self) -> Option<&str> {
        let theirs = self.pair.theirs.as_ref().and_then(|theirs| theirs.event.as_deref());
        theirs.or(self.pair.ours.as_ref().map(|ours| ours.event.as_str()))
    }

    /// The field that differs.
    pub fn field(&self) -> &str {
        self.differs.map(|differs| differs.field).unwrap_or_default()
    }

    /// What the report says.
    pub fn theirs(&self) -> String {
        let whole = || self.pair.theirs.as_ref().map(|theirs| told(theirs.status, &theirs.money));
        self.differs.map(|differs| differs.theirs.clone()).or_else(whole).unwrap_or_default()
    }

    /// What we have.
    pub fn ours(&self) -> String {
        let whole = || self.pair.ours.as_ref().map(|ours| told(ours.status, &ours.money));
        self.differs.map(|differs| differs.ours.clone()).or_else(whole).unwrap_or_default()
    }

    /// What can be done about it, or why nothing can.
    pub fn repair(&self) -> Option<String> {
        let id = self.pair.conversion_id();
        match self.kind {
            Kind::Extra => None,
            Kind::Differs => repair(self.found, id),
            Kind::Missing => repair(self.found, id).or_else(|| {
                Some(match self.found.compared.stands.get(id) {
                    Some(standing) if standing.marked > 0 => "it is stored, marked as a possible duplicate".to_owned(),
                    Some(standing) => {
                        format!("{} stored under its id, of another event or one row each", standing.counted)
                    }
                    None => "nothing was found that tells of it".to_owned(),
                })
            }),
        }
    }
}

fn told(status: Option<Status>, money: &BTreeMap<Field, Amount>) -> String {
    let amounts = money.values().map(ToString::to_string);
    status.map(|status| status.name().to_owned()).into_iter().chain(amounts).collect::<Vec<_>>().join(" ")
}

/// What was replayed of a conversion, and what else tells of it, the good first.
fn repair(found: &Found<'_>, conversion_id: &str) -> Option<String> {
    let repairs = found.repairs;
    let replayed = repairs.replayed.get(conversion_id);
    let replayed = replayed.map(|outcomes| format!("of this id were replayed: {}", outcomes.join(", ")));
    let notices = repairs.notices.get(conversion_id).map(Vec::as_slice).unwrap_or_default();
    let left = || notices.iter().filter(|notice| notice.use_of != Use::Replayed);
    let ordered = left().filter(|notice| notice.is_good()).chain(left().filter(|notice| !notice.is_good()));
    let more = left().count().saturating_sub(NOTICES_TOLD);
    let more = (more > 0).then(|| format!("and {more} more"));
    let all: Vec<_> = replayed.into_iter().chain(ordered.take(NOTICES_TOLD).map(notice)).chain(more).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

fn notice(notice: &Notice) -> String {
    let Notice { request_id, received_at, kept, use_of, .. } = notice;
    let why = why(*use_of);
    match kept {
        Kept::Parked => format!("parked at the edge{why}: {request_id}"),
        Kept::Rejected { code, .. } => {
            let why = if *use_of == Use::Good { ", would be taken today" } else { &why };
            format!("rejected{why}: {request_id} of {received_at}, {code}")
        }
    }
}

fn why(use_of: Use) -> String {
    match use_of {
        Use::Good | Use::Replayed => "",
        Use::Refused(code) => return format!(", and still would be ({})", code.as_str()),
        Use::Incomplete => ", and not kept whole",
        Use::ByClick => ", of a partner whose conversions are told apart by click",
        Use::Another => ", of another conversion",
        Use::Overtaken => ", and overtaken",
        Use::SaysOther => ", says other than the report",
        Use::SaysNothing => ", says nothing of what differs",
        Use::OneOfMore => ", one of more than are missing",
        Use::Behind => ", behind another",
        Use::Changed => ", not replayed: it has changed meanwhile",
    }
    .to_owned()
}
