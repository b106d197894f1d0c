//! What the edge has parked of the ids of a trace. It knows parked postbacks by request and by event.

use super::super::edge::{Edge, Filter, Row};
use serde_json::Value;
use std::collections::BTreeSet;

/// Ids that the edge is asked about at most, one question each.
const ASKED_MAX: usize = 50;

/// What is parked.
pub struct Parked {
    /// Rows, the longest parked first.
    pub rows: Vec<Row>,
    /// Whether there may be more, of further ids or of one id.
    pub is_cut: bool,
}

/// The parked postbacks of an id, and of the requests and events that were found.
///
/// # Errors
/// The edge cannot say.
pub async fn parked(edge: &Edge, id: &str, traces: &[Value]) -> Result<Parked, String> {
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
    let mut parked = Parked { rows: Vec::new(), is_cut: filters.len() > ASKED_MAX };
    for filter in filters.iter().take(ASKED_MAX) {
        let page = edge.list(filter, None).await?;
        parked.is_cut |= page.next.is_some();
        parked.rows.extend(page.parked);
    }
    parked.rows.sort_by(|one, other| (&one.parked_at, &one.request_id).cmp(&(&other.parked_at, &other.request_id)));
    parked.rows.dedup_by(|one, other| one.request_id == other.request_id);
    Ok(parked)
}
