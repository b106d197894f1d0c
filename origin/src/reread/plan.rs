//! What stored requests come to when they are read again. Pure: what is stored and what is read go in, and what is to take the place of
//! what comes out.
//!
//! An event is what the first of its requests says, in the order in which they were stored; those that say the same are receipts of it, and
//! those that contradict it are kept and counted nowhere. So was it when they came, and so it is when they are read again. A rejected
//! request would have been stored when it was received, so that is its place ([`in_order`]).
//!
//! An event stays as it is where one of its requests cannot be read again: one that was dropped for its age, was erased, or was not kept
//! whole. To move some of its receipts and leave others would make two of one.

use super::request::Unreadable;
use crate::store::Receipt;
use crate::store::RejectedIds;
use crate::store::Via;
use crate::store::reread::{
    Accepted, After, Became, EventRow, ReceiptRow, RejectedRow, Rejection as Rejected, RequestChange, RequestRow, Row,
    Stored, StoredEvent, Was,
};
use postback::duplicate::DuplicatePolicy;
use postback::id::OWN_CONVERSION_PREFIX;
use postback::message_signature::header::SIGNATURE_INPUT;
use postback::reading::Reading;
use postback::rejection::Rejection;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a request is read into now.
#[derive(Clone, Debug)]
pub enum Now {
    /// A postback.
    Postback(Box<Reading>),
    /// No postback; and the ids that can be read, and the HTTP status of the reply.
    Rejected(Rejection, Box<RejectedIds>, u16),
    /// It stays what it is.
    Left(Left),
}

/// Why events stay as they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// A request of it was dropped for its age.
    Dropped,
    /// A request of it was erased.
    Erased,
    /// A request of it cannot be read again.
    Unreadable(Unreadable),
    /// A request of it would be rejected now, and is to stay accepted.
    Accepted,
}

impl Left {
    /// The stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Left::Dropped => "dropped",
            Left::Erased => "erased",
            Left::Unreadable(Unreadable::Incomplete) => "incomplete",
            Left::Unreadable(Unreadable::Ambiguous) => "ambiguous",
            Left::Accepted => "kept_accepted",
        }
    }
}

/// What takes the place of what is stored.
#[derive(Debug, Default)]
pub struct Plan {
    /// Events by their ids: those that are read otherwise, and those that stay.
    pub events: BTreeMap<String, After>,
    /// Requests that are read otherwise.
    pub requests: Vec<RequestChange>,
    /// Events that stay although requests of them might say something else.
    pub left: BTreeMap<String, Left>,
}

/// Fields that say what an event is about and how much.
const STATED: [&str; 7] = ["event", "status", "sale_amount", "payout", "currency", "usd_sale_amount", "usd_payout"];

/// A request that is read into an event.
struct Member<'a> {
    source: Source<'a>,
    reading: &'a Reading,
}

/// Where a request comes from.
enum Source<'a> {
    /// It was accepted. All its rows, of which there is one at least: one that was delivered twice has two.
    Accepted(&'a RequestRow, &'a [&'a RequestRow]),
    /// It was rejected.
    Rejected(&'a RejectedRow),
}

/// The part that a request has in its event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    First,
    Repeat,
    Contradiction,
}

/// Plans for events and requests that are read completely: all requests of all events, and all events that the requests are read into.
pub fn plan(policy: &DuplicatePolicy, stored: &Stored, now: &BTreeMap<String, Now>) -> Plan {
    let by_request = by_request(stored);
    let known = Known::of(stored);
    let mut plan = Plan { left: left(stored, &by_request, now), ..Plan::default() };
    let mut groups: BTreeMap<String, Vec<Member<'_>>> = BTreeMap::new();
    for (request_id, rows) in &by_request {
        if rows.iter().any(|row| plan.left.contains_key(&row.event_id)) {
            continue;
        }
        match now.get(*request_id) {
            Some(Now::Postback(reading)) => {
                let Some(first) = rows.first() else { continue };
                let member = Member { source: Source::Accepted(first, rows), reading };
                groups.entry(reading.postback.event_id().to_string()).or_default().push(member);
            }
            Some(Now::Rejected(rejection, ids, status)) => {
                plan.requests.extend(rejected(stored, rows, rejection, ids, *status));
            }
            // Those that are left were passed over before.
            Some(Now::Left(_)) | None => {}
        }
    }
    for row in &stored.rejected {
        if let Some(Now::Postback(reading)) = now.get(&row.receipt.request_id) {
            let member = Member { source: Source::Rejected(row), reading };
            groups.entry(reading.postback.event_id().to_string()).or_default().push(member);
        }
    }
    let ids: BTreeSet<_> = stored.events.keys().chain(groups.keys()).cloned().collect();
    for event_id in ids {
        let members = in_order(groups.remove(&event_id).unwrap_or_default());
        let event = stored.events.get(&event_id);
        let is_left = plan.left.contains_key(&event_id);
        let after = match event {
            Some(event) if is_left => joined(&mut plan, stored, &known, &event_id, event, &members),
            _ => made(&mut plan, policy, stored, &known, &event_id, &members),
        };
        plan.events.insert(event_id, after);
    }
    plan
}

/// Requests of one event in the order in which they were stored. One that was rejected when it came has no number that says when: it would
/// have been stored when it was received. Whatever has a number was stored when the latest before it in that order had been received.
fn in_order(members: Vec<Member<'_>>) -> Vec<Member<'_>> {
    let (mut stored, others): (Vec<_>, Vec<_>) = members.into_iter().partition(|member| member.number().is_some());
    stored.sort_by_key(|member| (member.number(), member.received()));
    let mut latest: Option<(Timestamp, String)> = None;
    let mut placed: Vec<_> = Vec::with_capacity(stored.len().saturating_add(others.len()));
    for member in stored {
        let place = latest.clone().max(Some(member.received()));
        latest.clone_from(&place);
        placed.push((place, member));
    }
    placed.extend(others.into_iter().map(|member| (Some(member.received()), member)));
    placed.sort_by(|(one, _), (other, _)| one.cmp(other));
    placed.into_iter().map(|(_, member)| member).collect()
}

/// Requests by their names, rows in the order in which they were stored.
fn by_request(stored: &Stored) -> BTreeMap<&str, Vec<&RequestRow>> {
    let mut requests: BTreeMap<&str, Vec<&RequestRow>> = BTreeMap::new();
    for row in &stored.requests {
        requests.entry(&row.receipt.request_id).or_default().push(row);
    }
    requests
}

/// What is stored, so that it is found quickly.
struct Known<'a> {
    /// Receipts, by their events and requests.
    receipts: HashMap<(&'a str, &'a str), &'a ReceiptRow>,
    /// Keys of conversions.
    keys: HashSet<&'a str>,
}

impl Known<'_> {
    fn of(stored: &Stored) -> Known<'_> {
        let receipts = stored.events.iter().flat_map(|(event_id, event)| {
            event.receipts().map(move |receipt| ((event_id.as_str(), receipt.request_id.as_str()), receipt))
        });
        let keys = stored.events.values().map(|event| event.row.conversion_key.as_str());
        Known { receipts: receipts.collect(), keys: keys.collect() }
    }
}

fn left(
    stored: &Stored,
    by_request: &BTreeMap<&str, Vec<&RequestRow>>,
    now: &BTreeMap<String, Now>,
) -> BTreeMap<String, Left> {
    let mut left = BTreeMap::new();
    for (event_id, event) in &stored.events {
        if event.receipts().any(|receipt| !by_request.contains_key(receipt.request_id.as_str())) {
            left.insert(event_id.clone(), Left::Dropped);
        }
    }
    for row in &stored.requests {
        let why = match now.get(&row.receipt.request_id) {
            Some(Now::Postback(_) | Now::Rejected(..)) => continue,
            Some(Now::Left(why)) => *why,
            // Whoever calls reads all of them.
            None => Left::Dropped,
        };
        left.entry(row.event_id.clone()).or_insert(why);
    }
    left
}

/// An event that stays. What is read into it besides says the same again, or contradicts it.
fn joined(
    plan: &mut Plan,
    stored: &Stored,
    known: &Known<'_>,
    event_id: &str,
    event: &StoredEvent,
    members: &[Member<'_>],
) -> After {
    let mut repeats = event.repeats.clone();
    let known_requests: HashSet<_> = event.receipts().map(|receipt| receipt.request_id.as_str()).collect();
    // One that has a receipt was dropped for its age.
    for member in members.iter().filter(|member| !known_requests.contains(member.request_id())) {
        let part = if member.reading.postback.fingerprint() == event.row.fingerprint {
            repeats.push(member.receipt(known));
            Part::Repeat
        } else {
            Part::Contradiction
        };
        plan.requests.extend(member.change(stored, event_id, part, true));
    }
    repeats.sort();
    if repeats.len() == event.repeats.len() {
        return After::Same;
    }
    After::Is(Box::new(event.row.clone()), event.first.clone(), repeats)
}

/// An event as its requests say it.
fn made(
    plan: &mut Plan,
    policy: &DuplicatePolicy,
    stored: &Stored,
    known: &Known<'_>,
    event_id: &str,
    members: &[Member<'_>],
) -> After {
    let before = stored.events.get(event_id);
    let Some(winner) = members.first() else {
        return if before.is_some() { After::Gone } else { After::Same };
    };
    let row = event_row(policy, winner.reading);
    let says_the_same = |member: &&Member<'_>| member.reading.postback.fingerprint() == row.fingerprint;
    let mut receipts: Vec<_> = members.iter().filter(says_the_same).map(|member| member.receipt(known)).collect();
    // Which of them it entered by is of no meaning, so it stays.
    let entered_by = before.map(|before| before.first.request_id.as_str());
    let place = receipts.iter().position(|receipt| Some(receipt.request_id.as_str()) == entered_by).unwrap_or(0);
    let first = receipts.remove(place);
    receipts.sort();
    let is_known = before.is_some() || known.keys.contains(row.conversion_key.as_str());
    for member in members {
        let part = match (says_the_same(&member), member.request_id() == first.request_id) {
            (true, true) => Part::First,
            (true, false) => Part::Repeat,
            (false, _) => Part::Contradiction,
        };
        plan.requests.extend(member.change(stored, event_id, part, is_known));
    }
    match before {
        Some(before) if before.row == row && before.first == first && before.repeats == receipts => After::Same,
        _ => After::Is(Box::new(row), first, receipts),
    }
}

/// What an event says as it is read.
pub fn event_row(policy: &DuplicatePolicy, reading: &Reading) -> EventRow {
    let postback = &reading.postback;
    EventRow {
        event: postback.event().name().to_owned(),
        conversion_id: postback.conversion_id().into_owned(),
        conversion_key: policy.conversion_key(postback),
        fingerprint: postback.fingerprint(),
        content: content(reading),
        words: reading.words.iter().map(|(field, word)| (field.name().to_owned(), word.clone())).collect(),
        names_event: reading.names_event,
    }
}

/// Canonical names and texts of what was read.
pub fn content(reading: &Reading) -> BTreeMap<String, String> {
    reading.postback.fields().map(|(field, text)| (field.name().to_owned(), text)).collect()
}

fn stated(content: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    content.iter().filter(|(name, _)| STATED.contains(&name.as_str())).map(|(n, t)| (n.clone(), t.clone())).collect()
}

impl Member<'_> {
    /// The number under which it was first stored, where it was not rejected then.
    fn number(&self) -> Option<i64> {
        match self.source {
            Source::Accepted(first, _) => first.first_number,
            Source::Rejected(row) => row.first_number,
        }
    }

    fn as_received(&self) -> &Receipt {
        match self.source {
            Source::Accepted(first, _) => &first.receipt,
            Source::Rejected(row) => &row.receipt,
        }
    }

    /// When it was received. Requests of one instant are told apart by their names.
    fn received(&self) -> (Timestamp, String) {
        let receipt = self.as_received();
        (receipt.received_at, receipt.request_id.clone())
    }

    fn request_id(&self) -> &str {
        &self.as_received().request_id
    }

    /// The receipt that it is: the one that it was, or its first row's.
    fn receipt(&self, known: &Known<'_>) -> ReceiptRow {
        let (was, receipt_id) = match self.source {
            Source::Accepted(first, rows) => {
                let mut was =
                    rows.iter().filter_map(|row| known.receipts.get(&(row.event_id.as_str(), self.request_id())));
                (was.next(), &first.receipt_id)
            }
            Source::Rejected(row) => (None, &row.receipt_id),
        };
        was.map_or_else(
            || ReceiptRow {
                received_at: self.as_received().received_at,
                request_id: self.request_id().to_owned(),
                receipt_id: receipt_id.clone(),
            },
            |receipt| (*receipt).clone(),
        )
    }

    /// What becomes of it; None where it stays what it is.
    fn change(&self, stored: &Stored, event_id: &str, part: Part, is_known: bool) -> Option<RequestChange> {
        let content = content(self.reading);
        let became = |verdict: Verdict, content: BTreeMap<String, String>| {
            Became::Accepted(Box::new(Accepted {
                event_id: event_id.to_owned(),
                conversion_id: self.reading.postback.conversion_id().into_owned(),
                verdict,
                stated: stated(&content),
                content,
                ignored: self.reading.ignored.clone(),
                warnings: self.reading.warnings.iter().map(ToString::to_string).collect(),
            }))
        };
        match self.source {
            Source::Accepted(first, rows) => {
                let verdicts: Vec<_> = rows
                    .iter()
                    .enumerate()
                    .map(|(place, row)| verdict(Verdict::parse(&row.verdict), part, place == 0, is_known))
                    .collect();
                let is_same = |(row, verdict): (&&RequestRow, &Verdict)| {
                    row.event_id == event_id
                        && row.content == content
                        && row.ignored == self.reading.ignored
                        && row.verdict == verdict.name()
                };
                if rows.iter().zip(&verdicts).all(is_same) {
                    return None;
                }
                let became = became(verdicts.first().copied().unwrap_or(Verdict::Conflict), content);
                let rows = rows.iter().zip(verdicts).map(|(row, verdict)| (Row::of(row), verdict));
                Some(change(stored, first, rows.collect(), became))
            }
            Source::Rejected(row) => {
                let verdict = verdict(None, part, true, is_known);
                Some(RequestChange {
                    rows: vec![(Row::Rejection(row.rejection_id), verdict)],
                    request_id: row.receipt.request_id.clone(),
                    received_at: row.receipt.received_at,
                    was: Was::Rejected { code: row.code.clone(), field: row.field.clone() },
                    became: became(verdict, content),
                })
            }
        }
    }
}

/// The verdict of a row of a request. It stays what it was but where a contradiction begins or ends.
fn verdict(before: Option<Verdict>, part: Part, is_first_row: bool, is_known: bool) -> Verdict {
    match (part, before.filter(|verdict| *verdict != Verdict::Conflict)) {
        (Part::Contradiction, _) => Verdict::Conflict,
        (Part::First | Part::Repeat, Some(before)) => before,
        (Part::First, None) if is_first_row && is_known => Verdict::Revised,
        (Part::First, None) if is_first_row => Verdict::Created,
        (Part::First | Part::Repeat, None) => Verdict::Duplicate,
    }
}

/// A request that is no postback now.
fn rejected(
    stored: &Stored,
    rows: &[&RequestRow],
    rejection: &Rejection,
    ids: &RejectedIds,
    status: u16,
) -> Option<RequestChange> {
    let first = rows.first()?;
    // The edge's requests alone have a message signature.
    let is_edges = first.receipt.headers.get(SIGNATURE_INPUT).is_some();
    let became = Rejected {
        code: rejection.code().as_str().to_owned(),
        field: rejection.field().map(str::to_owned),
        status,
        via: if is_edges { Via::Edge } else { Via::Direct },
        ids: ids.clone(),
    };
    let of_rows = rows.iter().map(|row| (Row::of(row), Verdict::Rejected)).collect();
    Some(change(stored, first, of_rows, Became::Rejected(Box::new(became))))
}

/// A change of a request that was accepted.
fn change(stored: &Stored, first: &RequestRow, rows: Vec<(Row, Verdict)>, became: Became) -> RequestChange {
    let event = stored.events.get(&first.event_id);
    let conversion_id = match (event, first.content.get("conversion_id")) {
        (Some(event), _) => event.row.conversion_id.clone(),
        (None, Some(id)) => id.clone(),
        (None, None) => format!("{OWN_CONVERSION_PREFIX}{}", first.event_id),
    };
    let was = Was::Accepted {
        event_id: first.event_id.clone(),
        conversion_id,
        verdict: first.verdict.clone(),
        stated: stated(&first.content),
    };
    let receipt = &first.receipt;
    RequestChange { rows, request_id: receipt.request_id.clone(), received_at: receipt.received_at, was, became }
}
