//! Batches that the edge makes itself, which nobody else sends: clicks, and reports of what it rejected and counted.

use super::admission::admit_edge;
use super::error::Error;
use super::exchange::{Exchange, Outcome, Served};
use crate::app::App;
use crate::verify::{FromEdge, Received};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use postback::partner::Partner;
use postback::time::Timestamp;
use std::sync::Arc;

/// A batch that was stored.
pub trait Batch: Outcome + Sized {
    /// The path, in front of the partner's code.
    const PATH: &'static str;

    /// Reads and stores one.
    fn store(
        app: &App,
        partner: &Partner,
        received: &Received<'_>,
        edge: &FromEdge<'_>,
        now: Timestamp,
    ) -> impl Future<Output = Result<Self, Error>> + Send;
}

/// One batch:
///
/// (1) the path names a partner, active or not ....... 404
/// (2) the method is POST ............................ 405
/// (3) the edge signed it, and there is room for it .. 403, 503, 413, 414, 415
/// (4) it is read and stored ......................... 400, 409, 500, 503
/// (5) the edge gets an acknowledgement
pub async fn batch<T: Batch>(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    // A partner that was stopped since still gets what happened before.
    let partner = parts.uri.path().strip_prefix(T::PATH).and_then(|code| app.config.registry.by_code(code));
    let exchange = Exchange::begin_with_edge(&app, &parts, partner);
    let served: Served<T> = match (partner, parts.method.as_str()) {
        // (1)
        (None, _) => Error::PartnerNotFound.into(),
        // (2)
        (Some(partner), "POST") => serve(&exchange, partner, &parts, body).await,
        (Some(_), _) => Error::MethodNotAllowed { allow: "POST" }.into(),
    };
    // (5)
    exchange.end(&served)
}

async fn serve<T: Batch>(exchange: &Exchange<'_>, partner: &Partner, parts: &Parts, body: Body) -> Served<T> {
    let Exchange { app, now, .. } = exchange;
    // (3)
    let request = match admit_edge(app, partner, parts, body, *now).await {
        Ok(request) => request,
        Err(error) => return error.into(),
    };
    // (4)
    let result = T::store(app, partner, &request.received(), &request.edge, *now).await;
    Served { result, request_id: None, acknowledged_to: Some(exchange.signer(&request.edge, parts)) }
}
