//! `/smoke` and `/smoke/{endpoint}`: a rehearsal of a postback, asked by the edge. It goes the whole way of a forwarded
//! postback, is undone in place of the commit, and the answer says which origin and which database it came to.

use super::admission::{EdgeRequest, admit_edge};
use super::error::Error;
use super::exchange::{Exchange, Outcome, Served, Words};
use super::reply;
use crate::app::App;
use crate::ingest::{Rehearsed, rehearse};
use crate::metrics::Kind;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use postback::partner::{Partner, Registry};
use postback::reply::Format;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use serde::Serialize;
use std::sync::Arc;

/// One rehearsal:
///
/// (1) the path names a partner as `/postback` would . 404
/// (2) the method is GET or POST ..................... 405
/// (3) the edge signed it, and there is room for it .. 403, 503, 413, 414, 415
/// (4) it is read and stored, and that is undone ..... 400, 409, 500, 503
/// (5) the edge gets an acknowledgement
pub async fn smoke(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let partner = rehearsed_partner(&app.config.registry, parts.uri.path());
    let exchange = Exchange::begin_with_edge(&app, &parts, partner);
    let served = match (partner, parts.method.as_str()) {
        // (1)
        (None, _) => Error::PartnerNotFound.into(),
        // (2)
        (Some(partner), "GET" | "POST") => serve(&exchange, partner, &parts, body).await,
        (Some(_), _) => Error::MethodNotAllowed { allow: "GET, POST" }.into(),
    };
    // (5)
    exchange.end(&served)
}

/// The partner whose postbacks come to the path that is rehearsed.
fn rehearsed_partner<'r>(registry: &'r Registry, path: &str) -> Option<&'r Partner> {
    registry.by_path(&format!("/postback{}", path.strip_prefix("/smoke")?))
}

async fn serve<'a>(exchange: &Exchange<'a>, partner: &'a Partner, parts: &Parts, body: Body) -> Served<Rehearsal<'a>> {
    let Exchange { app, now, .. } = exchange;
    // (3)
    let request = match admit_edge(app, partner, parts, body, *now).await {
        Ok(request) => request,
        Err(error) => return error.into(),
    };
    // (4)
    let signer = exchange.signer(&request.edge, parts);
    let result = rehearsal(app, partner, &request, &signer.request_id, *now).await;
    Served { result, request_id: None, acknowledged_to: Some(signer) }
}

async fn rehearsal<'a>(
    app: &'a App,
    partner: &'a Partner,
    request: &EdgeRequest<'_>,
    request_id: &str,
    now: Timestamp,
) -> Result<Rehearsal<'a>, Error> {
    let rehearsed = rehearse(app, partner, &request.received(), &request.edge, request_id, now).await?;
    let location =
        app.config.locations.partners.get(&partner.code).ok_or(Error::Internal("the partner has no database"))?;
    Ok(Rehearsal {
        origin: Running {
            instance: &app.instance,
            version: env!("CARGO_PKG_VERSION"),
            environment: app.config.environment.name(),
            started_at: app.started_at.to_string(),
        },
        partner: &partner.code,
        database: Database { kind: location.kind(), name: location.name() },
        rehearsed,
    })
}

/// What a rehearsal came to, and where.
struct Rehearsal<'a> {
    rehearsed: Rehearsed,
    origin: Running<'a>,
    partner: &'a str,
    database: Database<'a>,
}

/// The origin that answers.
#[derive(Serialize)]
struct Running<'a> {
    instance: &'a str,
    version: &'a str,
    environment: &'a str,
    started_at: String,
}

/// The partner's database.
#[derive(Serialize)]
struct Database<'a> {
    kind: &'a str,
    name: &'a str,
}

/// The body of the reply.
#[derive(Serialize)]
struct Told<'a> {
    status: &'static str,
    verdict: &'static str,
    event_id: &'a str,
    origin: &'a Running<'a>,
    partner: &'a str,
    database: &'a Database<'a>,
}

impl Outcome for Rehearsal<'_> {
    const KIND: Kind = Kind::Rehearsal;
    const WORDS: Words = Words { done: "rehearsal done", failed: "rehearsal failed", refused: "rehearsal refused" };

    fn event_id(&self) -> &str {
        self.rehearsed.event_id.as_str()
    }

    fn verdict(&self) -> Verdict {
        self.rehearsed.verdict
    }

    fn response(&self, format: Format, request_id: &str) -> Response {
        if self.verdict() == Verdict::Conflict {
            return reply::failure(&Error::Conflict, format, request_id, Some(&self.rehearsed.event_id));
        }
        let Rehearsal { origin, partner, database, .. } = self;
        let (verdict, event_id) = (self.verdict().name(), self.event_id());
        let told = Told { status: "ok", verdict, event_id, origin, partner, database };
        reply::to_edge(&told, event_id, self.verdict(), request_id)
    }
}
