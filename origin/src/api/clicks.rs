//! `/clicks/{partner}`: batches of clicks that the edge collected. Nobody else sends them.

use super::admission::admit_edge;
use super::error::Error;
use super::exchange::{Exchange, Outcome, Served, Words};
use super::reply;
use crate::app::App;
use crate::clicks::{Collected, collect};
use crate::metrics::Kind;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use postback::partner::Partner;
use postback::reply::Format;
use postback::verdict::Verdict;
use serde::Serialize;
use std::sync::Arc;

/// One batch:
///
/// (1) the path names a partner, served or not ....... 404
/// (2) the method is POST ............................ 405
/// (3) the edge signed it, and there is room for it .. 403, 503, 413, 414, 415
/// (4) it is read and stored ......................... 400, 409, 500, 503
/// (5) the edge gets an acknowledgement
pub async fn clicks(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // A partner that was stopped since still gets the clicks of before.
    let partner = parts.uri.path().strip_prefix("/clicks/").and_then(|code| app.config.registry.by_code(code));
    let exchange = Exchange::begin_with_edge(&app, &parts, partner);
    let served = match (partner, parts.method.as_str()) {
        // (1)
        (None, _) => Error::PartnerNotFound.into(),
        // (2)
        (Some(partner), "POST") => serve(&exchange, partner, &parts, body).await,
        (Some(_), _) => Error::MethodNotAllowed { allow: "POST" }.into(),
    };
    // (5)
    exchange.end(&served)
}

async fn serve(exchange: &Exchange<'_>, partner: &Partner, parts: &Parts, body: Body) -> Served<Collected> {
    let Exchange { app, now, .. } = exchange;
    // (3)
    let request = match admit_edge(app, partner, parts, body, *now).await {
        Ok(request) => request,
        Err(error) => return error.into(),
    };
    // (4)
    let result = collect(app, partner, &request.received(), &request.edge, *now).await;
    Served { result, request_id: None, acknowledged_to: Some(exchange.signer(&request.edge, parts)) }
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
