//! What the edge has parked and queued of the ids of a trace. It knows parked postbacks by request and event, queued ones by conversion as
//! well.

use super::super::edge::{Edge, Filter, QueuedRow, Row};
use serde_json::Value;
use std::collections::BTreeSet;

/// Ids that the edge is asked about at most, one question each.
const ASKED_MAX: usize = 50;

/// What the edge has.
pub struct AtEdge {
    /// Queued postbacks, those that have waited the longest first.
    pub queued: Vec<QueuedRow>,
    /// Parked postbacks, the longest parked first.
    pub parked: Vec<Row>,
    /// Whether there may be more, of further ids or of one id.
    pub is_cut: bool,
}

impl AtEdge {
    /// Whether there is any.
    pub fn is_empty(&self) -> bool {
        self.queued.is_empty() && self.parked.is_empty()
    }
}

/// The parked and queued postbacks of an id, and of the requests, events and conversions that were found.
///
/// # Errors
/// The edge cannot say.
pub async fn at_edge(edge: &Edge, id: &str, traces: &[Value]) -> Result<AtEdge, String> {
    let entries = traces.iter().filter_map(|trace| trace["timeline"].as_array()).flatten();
    let ids = |name: &str| entries.clone().filter_map(|entry| entry[name].as_str()).collect::<BTreeSet<_>>();
    let others = |name: &str| ids(name).into_iter().filter(|other| *other != id).map(str::to_owned).collect::<Vec<_>>();
    let event = |id: String| Filter { event_id: Some(id), limit: Some(Filter::LIMIT_MAX), ..Filter::default() };
    let request = |id: String| Filter { request_id: Some(id), ..Filter::default() };
    let own = [request(id.to_owned()), event(id.to_owned())];
    let filters: Vec<_> = own
        .into_iter()
        .chain(others("event_id").into_iter().map(event))
        .chain(others("request_id").into_iter().map(request))
        .collect();
    let conversions = others("conversion_id");
    let is_cut = filters.len() > ASKED_MAX || conversions.len() > ASKED_MAX;
    let mut found = AtEdge { queued: Vec::new(), parked: Vec::new(), is_cut };
    for filter in filters.iter().take(ASKED_MAX) {
        let page = edge.list(filter, None).await?;
        found.is_cut |= page.next.is_some();
        found.parked.extend(page.parked);
    }
    for id in [id].into_iter().chain(conversions.iter().map(String::as_str)).take(ASKED_MAX) {
        let page = edge.queued(id).await?;
        found.is_cut |= page.is_cut;
        found.queued.extend(page.queued);
    }
    found.parked.sort_by(|one, other| (&one.parked_at, &one.request_id).cmp(&(&other.parked_at, &other.request_id)));
    found.parked.dedup_by(|one, other| one.request_id == other.request_id);
    found.queued.sort_by(|one, other| (&one.queued_at, &one.request_id).cmp(&(&other.queued_at, &other.request_id)));
    found.queued.dedup_by(|one, other| one.request_id == other.request_id);
    Ok(found)
}
