//! A batch of clicks at the origin: from a request that the edge signed to what was committed.

use crate::api::error::Error;
use crate::app::App;
use crate::store::{ClickBatch, RecordedClicks};
use crate::verify::{FromEdge, Received};
use postback::click::Click;
use postback::limits::CLICKS_MAX;
use postback::partner::Partner;
use postback::time::Timestamp;
use serde::Deserialize;

/// How the names of batches begin; 32 hexadecimal digits come behind.
const BATCH_PREFIX: &str = "clicks_";
/// What is told of a batch that is none.
const NOT_A_BATCH: &str = "this is not a batch of clicks of the edge's making";

/// What was stored of a batch.
#[derive(Clone, Debug)]
pub struct Collected {
    /// The batch.
    pub batch_id: String,
    /// Clicks that were new; committed.
    pub stored: u64,
    /// Clicks that were there already.
    pub known: u64,
}

/// The body of a batch.
#[derive(Deserialize)]
struct Batch {
    clicks: Vec<Click>,
}

/// Reads and stores a batch of clicks:
///
/// (1) the request becomes clicks ........ 400
/// (2) the partner's store records them .. 503, 500
/// (3) a spent nonce is a replay ......... 409
pub async fn collect(
    app: &App,
    partner: &Partner,
    received: &Received<'_>,
    edge: &FromEdge<'_>,
    now: Timestamp,
) -> Result<Collected, Error> {
    // (1)
    let clicks = batch(received, edge).ok_or(Error::MalformedBatch(NOT_A_BATCH))?;
    // (2)
    let store = app.databases.of(&partner.code).await?;
    let (receipt_id, nonce) = (app.platform.receipt_id()?, edge.verified.nonce.clone());
    match store.record_clicks(&ClickBatch { clicks, nonce, receipt_id, now }).await? {
        RecordedClicks::As { stored, known } => {
            Ok(Collected { batch_id: edge.claims.event_id.to_owned(), stored, known })
        }
        // (3)
        RecordedClicks::Replayed => Err(Error::Replay),
    }
}

/// The clicks of a batch. None where it is not as our edge makes it.
fn batch(received: &Received<'_>, edge: &FromEdge<'_>) -> Option<Vec<Click>> {
    let Batch { clicks } = serde_json::from_slice(received.body).ok()?;
    let is_own = edge.is_own_batch(BATCH_PREFIX, received.head.path);
    (is_own && clicks.len() <= CLICKS_MAX).then_some(clicks)
}
