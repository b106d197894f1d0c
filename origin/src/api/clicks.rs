//! `/clicks/{partner}`: batches of clicks that the edge collected. Nobody else sends them.

use super::edge_batch::Batch;
use super::error::Error;
use super::exchange::{Outcome, Words};
use super::reply;
use crate::app::App;
use crate::clicks::{Collected, collect};
use crate::metrics::Kind;
use crate::verify::{FromEdge, Received};
use axum::response::Response;
use postback::partner::Partner;
use postback::reply::Format;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use serde::Serialize;

impl Batch for Collected {
    const PATH: &'static str = "/clicks/";

    async fn store(
        app: &App,
        partner: &Partner,
        received: &Received<'_>,
        edge: &FromEdge<'_>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        collect(app, partner, received, edge, now).await
    }
}

/// The body of the reply.
#[derive(Serialize)]
struct Told {
    status: &'static str,
    stored: u64,
    known: u64,
}

impl Outcome for Collected {
    const KIND: Kind = Kind::Clicks;
    const WORDS: Words = Words { done: "clicks recorded", failed: "clicks not recorded", refused: "clicks refused" };

    fn event_id(&self) -> &str {
        &self.batch_id
    }

    fn verdict(&self) -> Verdict {
        // Of the batch: whether its clicks are new is in the reply.
        Verdict::Created
    }

    fn response(&self, _format: Format, request_id: &str) -> Response {
        let Collected { batch_id, stored, known } = self;
        let told = Told { status: "ok", stored: *stored, known: *known };
        reply::to_edge(&told, batch_id, self.verdict(), request_id)
    }
}
