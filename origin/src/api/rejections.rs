//! `/rejections/{partner}`: reports of the edge about requests that it rejected, and counts of its outcomes. Only the edge sends them.

use super::admission::admit_edge;
use super::error::Error;
use super::exchange::{Exchange, Outcome, Served, Words};
use super::reply;
use crate::app::App;
use crate::metrics::Kind;
use crate::rejections::{Reported, record};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use postback::partner::Partner;
use postback::reply::Format;
use postback::verdict::Verdict;
use serde::Serialize;
use std::sync::Arc;

/// One report:
///
/// (1) the path names a partner, active or not ....... 404
/// (2) the method is POST ............................ 405
/// (3) the edge signed it, and there is room for it .. 403, 503, 413, 414, 415
/// (4) it is read and stored ......................... 400, 500, 503
/// (5) the edge gets an acknowledgement
pub async fn rejections(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let partner = parts.uri.path().strip_prefix("/rejections/").and_then(|code| app.config.registry.by_code(code));
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

async fn serve(exchange: &Exchange<'_>, partner: &Partner, parts: &Parts, body: Body) -> Served<Reported> {
    let Exchange { app, now, .. } = exchange;
    // (3)
    let request = match admit_edge(app, partner, parts, body, *now).await {
        Ok(request) => request,
        Err(error) => return error.into(),
    };
    // (4)
    let result = record(app, partner, &request.received(), &request.edge, *now).await;
    Served { result, request_id: None, acknowledged_to: Some(exchange.signer(&request.edge, parts)) }
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
