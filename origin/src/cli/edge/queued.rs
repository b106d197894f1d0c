//! What waits in the edge's queue, in the words of its operations.

use serde::{Deserialize, Serialize};

/// A part of what waits.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct QueuedPage {
    /// Rows, those that have waited the longest first.
    pub queued: Vec<QueuedRow>,
    /// Whether more rows match.
    pub is_cut: bool,
}

/// A postback that waits in the queue.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct QueuedRow {
    /// The edge's id of its request.
    pub request_id: String,
    /// The partner's code.
    pub partner: Option<String>,
    /// The event.
    pub event_id: Option<String>,
    /// The conversion, where the sender named it.
    pub conversion_id: Option<String>,
    /// When the request arrived.
    pub received_at: Option<String>,
    /// Since when it waits.
    pub queued_at: String,
}
