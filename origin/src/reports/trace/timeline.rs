//! What happened about an id, in the order of time.

use super::super::cells::{at, object, text};
use super::super::{rejections, requests};
use super::matches;
use super::money::deltas;
use crate::store::StoreError;
use crate::store::reader::trace::{Change, ClickRow, EventRow, Reread, State, Trace};
use crate::store::reader::{Conversion, RejectedRequest, Request};
use crate::store::statement::read_json;
use jiff::tz::TimeZone;
use postback::time::Timestamp;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// What an entry is about. Of one instant, entries stand in this order.
pub const KINDS: [&str; 7] = ["click", "rejection", "request", "event", "revision", "reread", "processing"];

/// One thing that happened.
struct Entry {
    at: Timestamp,
    kind: &'static str,
    value: Value,
}

/// All of them. Amounts that revisions changed are differences to the one before.
///
/// # Errors
/// A difference is more than any database holds.
pub(super) fn entries(trace: &Trace, id: &str, zone: &TimeZone) -> Result<Vec<Value>, StoreError> {
    let mut entries: Vec<Entry> = Vec::new();
    entries.extend(trace.clicks.iter().map(|row| click(row, id)));
    entries.extend(trace.rejections.iter().map(|rejected| rejection(rejected, id, zone)));
    entries.extend(trace.requests.iter().map(|one| request(one, id, zone)));
    // What an event entered by is dropped after its days. That it came is known for ever.
    let is_there = |event: &EventRow| {
        trace.requests.iter().any(|one| one.event_id == event.event_id && one.request_id == event.request_id)
    };
    entries.extend(trace.events.iter().filter(|event| !is_there(event)).map(|row| event(row, id)));
    let mut before: Option<&Change> = None;
    for change in &trace.revisions {
        let follows =
            |before: &&Change| before.key == change.key && before.revision.checked_add(1) == Some(change.revision);
        entries.push(revision(before.filter(follows), change, trace, id)?);
        before = Some(change);
    }
    for one in &trace.rereads {
        entries.push(reread(one, id)?);
    }
    for state in &trace.states {
        let conversion = trace.conversions.iter().find(|(key, _)| *key == state.key).map(|(_, conversion)| conversion);
        let Some(conversion) = conversion else { continue };
        entries.extend(dropped_click(trace, state, conversion, id));
        entries.extend(processing(state, conversion)?);
    }
    // Stable: entries of one instant and kind stay in the order in which they were stored.
    entries.sort_by_key(|entry| (entry.at, KINDS.iter().position(|kind| *kind == entry.kind)));
    Ok(entries.into_iter().map(|entry| entry.shown(zone)).collect())
}

impl Entry {
    /// With its time and kind in front.
    fn shown(self, zone: &TimeZone) -> Value {
        let mut shown = json!({"at": at(self.at, zone), "kind": self.kind});
        if let (Some(shown), Value::Object(value)) = (shown.as_object_mut(), self.value) {
            // The time is in front already.
            shown.extend(value.into_iter().filter(|(name, _)| name != "received_at"));
        }
        shown
    }
}

fn click(click: &ClickRow, id: &str) -> Entry {
    let value = json!({
        "matches": matches(id, [("click_id", Some(click.click_id.as_str()))]),
        "click_id": click.click_id,
        "offer": click.offer,
        "sub_id": click.sub_id,
        "media_id": click.media_id,
        "is_prefetch": click.is_prefetch,
        "is_dropped": false,
    });
    Entry { at: click.clicked_at, kind: "click", value }
}

/// The click of a conversion that was dropped for its age: the conversion keeps when it was.
fn dropped_click(trace: &Trace, state: &State, conversion: &Conversion, id: &str) -> Option<Entry> {
    let (clicked_at, click_id) = (state.dropped_clicked_at?, conversion.origin.click_id.as_ref()?);
    if trace.clicks.iter().any(|click| click.click_id == *click_id) {
        return None;
    }
    let value = json!({
        "matches": matches(id, [("click_id", Some(click_id.as_str()))]),
        "click_id": click_id,
        "is_dropped": true,
    });
    Some(Entry { at: clicked_at, kind: "click", value })
}

fn request(request: &Request, id: &str, zone: &TimeZone) -> Entry {
    let ids = [("request_id", Some(request.request_id.as_str())), ("event_id", Some(request.event_id.as_str()))];
    let mut cells = requests::cells(request, zone);
    cells.insert(0, ("matches", matches(id, ids)));
    Entry { at: request.received_at, kind: "request", value: object(cells) }
}

fn event(event: &EventRow, id: &str) -> Entry {
    let ids = [("request_id", Some(event.request_id.as_str())), ("event_id", Some(event.event_id.as_str()))];
    let value = json!({
        "matches": matches(id, ids),
        "request_id": event.request_id,
        "event_id": event.event_id,
        "event": event.event,
        "conversion_id": event.conversion_id,
    });
    Entry { at: event.received_at, kind: "event", value }
}

fn rejection(rejected: &RejectedRequest, id: &str, zone: &TimeZone) -> Entry {
    let named = &rejected.ids;
    let ids = [
        ("request_id", Some(rejected.request_id.as_str())),
        ("event_id", named.event_id.as_deref()),
        ("conversion_id", named.conversion_id.as_deref()),
        ("order_id", named.order_id.as_deref()),
        ("click_id", named.click_id.as_deref()),
        ("account_id", named.account_id.as_deref()),
    ];
    let mut cells = rejections::cells(rejected, zone);
    cells.insert(0, ("matches", matches(id, ids)));
    Entry { at: rejected.received_at, kind: "rejection", value: object(cells) }
}

fn revision(before: Option<&Change>, change: &Change, trace: &Trace, id: &str) -> Result<Entry, StoreError> {
    let conversion = trace.conversions.iter().find(|(key, _)| *key == change.key);
    let event = trace.events.iter().find(|event| event.event_id == change.event_id);
    let value = json!({
        "matches": matches(id, [("event_id", Some(change.event_id.as_str()))]),
        "conversion_id": conversion.map(|(_, conversion)| conversion.conversion_id.as_str()),
        "conversion_key": change.key.conversion_key,
        "occurrence": change.key.occurrence,
        "revision": change.revision,
        "event_id": change.event_id,
        "event": event.map(|event| event.event.as_str()),
        "status": change.status,
        "is_return": change.is_return,
        "deltas": deltas(before, change)?,
    });
    Ok(Entry { at: change.received_at, kind: "revision", value })
}

/// A request that was read again: what it was before, and what it became.
fn reread(reread: &Reread, id: &str) -> Result<Entry, StoreError> {
    let ids = [
        ("request_id", Some(reread.request_id.as_str())),
        ("event_id", reread.before_event_id.as_deref()),
        ("event_id", reread.event_id.as_deref()),
        ("conversion_id", reread.before_conversion_id.as_deref()),
        ("conversion_id", reread.conversion_id.as_deref()),
    ];
    let names: BTreeSet<_> = ids.into_iter().filter(|(_, other)| *other == Some(id)).map(|(name, _)| name).collect();
    let stated = |json: &str| read_json::<BTreeMap<String, String>>("what a request stated", json);
    let before = reread.before_stated.as_deref().map(stated).transpose()?;
    let now = reread.stated.as_deref().map(stated).transpose()?;
    let value = json!({
        "matches": names,
        "request_id": reread.request_id,
        "rules": reread.rules,
        "before": {
            "verdict": reread.before_verdict,
            "event_id": reread.before_event_id,
            "conversion_id": reread.before_conversion_id,
            "stated": before,
            "code": reread.before_code,
            "field": reread.before_field,
        },
        "after": {
            "verdict": reread.verdict,
            "event_id": reread.event_id,
            "conversion_id": reread.conversion_id,
            "stated": now,
            "code": reread.code,
            "field": reread.field,
        },
    });
    Ok(Entry { at: reread.reread_at, kind: "reread", value })
}

/// What a conversion was evaluated to last.
fn processing(state: &State, conversion: &Conversion) -> Result<Option<Entry>, StoreError> {
    let judged = &conversion.judged;
    let Some(processed_at) = state.processed_at else { return Ok(None) };
    let findings: Vec<String> = read_json("findings", &judged.findings)?;
    let value = json!({
        "matches": [],
        "conversion_id": conversion.conversion_id,
        "conversion_key": state.key.conversion_key,
        "occurrence": state.key.occurrence,
        "attribution": judged.attribution,
        "deposit": judged.deposit,
        "refund_of": judged.refund_of,
        "refund_of_occurrence": judged.refund_of_occurrence,
        "findings": findings,
        "fx_rate": text(&conversion.money.reporting.fx_rate),
        "fx_rate_date": text(&conversion.money.reporting.fx_rate_date),
        "error": conversion.processing_error,
    });
    Ok(Some(Entry { at: processed_at, kind: "processing", value }))
}
