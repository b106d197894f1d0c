//! `/postback/{endpoint}` and `/partner/{endpoint}`: partners' events, from the edge or directly (R40, R41).

#![deny(clippy::disallowed_methods)]

use super::admission::{Admitted, admit, head_of};
use super::error::Error;
use super::exchange::{Exchange, Outcome, Served, Words};
use super::reply;
use crate::app::App;
use crate::ingest::{Ingested, Understood, ingest};
use crate::metrics::Kind;
use crate::verify::{self, Believed, Caller, Head, Received};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::response::Response;
use postback::partner::Partner;
use postback::reply::Format;
use postback::verdict::Verdict;
use std::sync::Arc;

/// One postback:
///
/// (1) the path names a partner ............. 404
/// (2) the method is GET or POST ............ 405; HEAD answers and records nothing
/// (3) its head proves who sends it ......... 401, 403; nobody else can make us wait or hold a place; 429
/// (4) there is room for it ................. 503
/// (5) it is within limits, and whole ....... 413, 414, 415, 403
/// (6) it is read and stored ................ 400, 409, 500, 503
/// (7) the edge gets an acknowledgement
pub async fn postback(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let partner = app.config.registry.by_path(parts.uri.path());
    let exchange = Exchange::begin(&app, &parts, partner);
    let served = match (partner, parts.method.as_str()) {
        // (1)
        (None, _) => Error::PartnerNotFound.into(),
        // (2)
        (Some(_), "HEAD") => return reply::empty(&exchange.own_id),
        (Some(partner), "GET" | "POST") => serve(&exchange, partner, &parts, body).await,
        (Some(_), _) => Error::MethodNotAllowed { allow: "GET, HEAD, POST" }.into(),
    };
    // (7)
    exchange.end(&served)
}

async fn serve(exchange: &Exchange<'_>, partner: &Partner, parts: &Parts, body: Body) -> Served<Ingested> {
    let Exchange { app, now, own_id, .. } = exchange;
    let head = head_of(parts);
    let (admitted, believed) = match let_in(exchange, partner, parts, &head, body).await {
        Ok(admitted) => admitted,
        Err(error) => return error.into(),
    };
    // (5)
    let received = Received { head, body: &admitted.body };
    let caller = match believed.with_body(&app.config, partner, &received, now.unix_s()) {
        Ok(caller) => caller,
        Err(disbelief) => return Error::from(disbelief).into(),
    };
    // (6)
    let acknowledged_to = match &caller {
        Caller::Edge(edge) => Some(exchange.signer(edge, parts)),
        Caller::Direct { .. } => None,
    };
    let request_id = acknowledged_to.as_ref().map_or(own_id, |signer| &signer.request_id);
    let understood = match Understood::of(partner, &received, &caller, request_id, *now) {
        Ok(understood) => understood,
        Err(error) => return Served { result: Err(error), request_id: None, acknowledged_to },
    };
    let request_id = Some(understood.request_id().to_owned());
    let result = ingest(app, partner, &caller, understood, *now).await;
    Served { result, request_id, acknowledged_to }
}

async fn let_in<'a>(
    exchange: &Exchange<'a>,
    partner: &Partner,
    parts: &Parts,
    head: &Head<'a>,
    body: Body,
) -> Result<(Admitted<'a>, Believed<'a>), Error> {
    let (app, now) = (exchange.app, exchange.now);
    // (3)
    let found = match verify::token_to_find(&app.config, partner, head, now.unix_s()) {
        Some(token) => app.shared.find(&token, now).await?,
        None => None,
    };
    let believed = verify::head(&app.config, partner, head, found.as_ref(), now.unix_s())?;
    if let Believed::Direct { .. } = believed {
        app.quotas.count_minute(partner, now)?;
    }
    // (4), (5)
    let admitted = admit(exchange.app, partner, parts, body, matches!(believed, Believed::Edge(_))).await?;
    Ok((admitted, believed))
}

impl Outcome for Ingested {
    const KIND: Kind = Kind::Postback;
    const WORDS: Words =
        Words { done: "postback recorded", failed: "postback not recorded", refused: "postback refused" };

    fn event_id(&self) -> &str {
        self.event_id.as_str()
    }

    fn verdict(&self) -> Verdict {
        self.verdict
    }

    fn response(&self, format: Format, request_id: &str) -> Response {
        match self.verdict {
            Verdict::Conflict => reply::failure(&Error::Conflict, format, request_id, Some(&self.event_id)),
            Verdict::Created | Verdict::Duplicate | Verdict::Revised | Verdict::Rejected => {
                reply::success(self, format, request_id)
            }
        }
    }
}
