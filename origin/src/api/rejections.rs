//! `/rejections/{partner}`: reports of the edge about requests that it rejected, and counts of its outcomes. Only the edge sends them.

use super::edge_batch::Batch;
use super::error::Error;
use super::exchange::{Outcome, Words};
use super::reply;
use crate::app::App;
use crate::metrics::Kind;
use crate::rejections::{Reported, record};
use crate::verify::{FromEdge, Received};
use axum::response::Response;
use postback::partner::Partner;
use postback::reply::Format;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use serde::Serialize;

impl Batch for Reported {
    const PATH: &'static str = "/rejections/";

    async fn store(
        app: &App,
        partner: &Partner,
        received: &Received<'_>,
        edge: &FromEdge<'_>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        record(app, partner, received, edge, now).await
    }
}

/// The body of the reply.
#[derive(Serialize)]
struct Told {
    status: &'static str,
    stored: u64,
    dropped: u64,
}

impl Outcome for Reported {
    const KIND: Kind = Kind::Report;
    const WORDS: Words =
        Words { done: "edge report recorded", failed: "edge report not recorded", refused: "edge report rejected" };

    fn event_id(&self) -> &str {
        &self.report_id
    }

    fn verdict(&self) -> Verdict {
        Verdict::Created
    }

    fn response(&self, _format: Format, request_id: &str) -> Response {
        let Reported { report_id, stored, dropped } = self;
        let told = Told { status: "ok", stored: *stored, dropped: *dropped };
        reply::to_edge(&told, report_id, self.verdict(), request_id)
    }
}
