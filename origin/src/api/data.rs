//! `/partner/{endpoint}/stats`, `conversions`, `postbacks`, `rejections` and `trace`: what was stored, for whoever has a key to it.

use super::admission::head_of;
use super::error::Error;
use super::reply;
use crate::app::App;
use crate::metrics::{Answered, Kind};
use crate::reports::{
    self, ConversionsQuestion, RejectionsQuestion, RequestsQuestion, StatisticsQuestion, TraceQuestion,
};
use crate::shared::Scope;
use axum::http::header::{ACCEPT, AUTHORIZATION};
use axum::http::request::Parts;
use axum::response::Response;
use postback::limits::TARGET_BYTES_MAX;
use postback::partner::{Partner, Registry};
use postback::reply::Format;
use std::sync::Arc;

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum About {
    /// What conversions come to.
    Statistics,
    /// The conversions themselves.
    Conversions,
    /// Requests that reached a verdict.
    Requests,
    /// Rejected requests.
    Rejections,
    /// Everything about one id.
    Trace,
}

/// What a path asks about, and whose: `/partner/involve/event/stats`. The generic endpoint, which has no name, has `/partner/stats`.
pub fn asked<'r>(registry: &'r Registry, path: &str) -> Option<(&'r Partner, About)> {
    let rest = path.strip_prefix("/partner/")?;
    let (endpoint, last) = rest.rsplit_once('/').unwrap_or(("", rest));
    let about = match last {
        "stats" => About::Statistics,
        "conversions" => About::Conversions,
        "postbacks" => About::Requests,
        "rejections" => About::Rejections,
        "trace" => About::Trace,
        _ => return None,
    };
    // A partner that sends no longer still has what it sent.
    let partner = registry.all().iter().find(|partner| partner.endpoint == endpoint)?;
    Some((partner, about))
}

/// One question:
///
/// (1) the method is GET ................................ 405
/// (2) the key opens this partner's data ................ 401, 403: the same for every key that does not
/// (3) there is room, and the URL is within limits ...... 503, 414
/// (4) the question can be read ......................... 400
/// (5) and answered ..................................... 500, 503
pub async fn data(app: &Arc<App>, partner: &Partner, about: About, parts: &Parts) -> Response {
    let request_id = app.request_id();
    let began = (app.platform.now)();
    let outcome = answer(app, partner, about, parts).await;
    app.metrics.answered(&Answered {
        kind: Kind::Question,
        partner: Some(&partner.code),
        via: "key",
        outcome: outcome.as_ref().map_or_else(|error| error.failure().code, |_| "answered"),
        began,
        ended: (app.platform.now)(),
    });
    match outcome {
        Ok(answer) => reply::answer(answer, parts.method.as_str() == "HEAD", &request_id),
        Err(error) => {
            if let Error::Store(reason) = &error {
                tracing::error!(partner = partner.code, request_id, %reason, "a question could not be answered");
            }
            reply::failure(&error.of_question(), Format::Json, &request_id, None)
        }
    }
}

async fn answer(app: &App, partner: &Partner, about: About, parts: &Parts) -> Result<reports::Answer, Error> {
    let now = (app.platform.now)();
    // (1)
    if !matches!(parts.method.as_str(), "GET" | "HEAD") {
        return Err(Error::MethodNotAllowed { allow: "GET, HEAD" });
    }
    // (2)
    let key = bearer(parts).ok_or(Error::KeyMissing)?;
    let opens =
        app.shared.find(key, now).await?.is_some_and(|key| key.allows(Scope::Read, &partner.tenant, &partner.code));
    if !opens {
        return Err(Error::KeyInvalid);
    }
    // (3)
    let _place = app.room.enter(&partner.code).ok_or(Error::Overloaded)?;
    let query = parts.uri.query().unwrap_or("");
    if parts.uri.path().len().saturating_add(query.len()) > TARGET_BYTES_MAX {
        return Err(Error::UrlTooLong);
    }
    // (4), (5)
    let accept = parts.headers.get(ACCEPT).and_then(|accept| accept.to_str().ok());
    let store = app.databases.of(&partner.code).await?;
    match about {
        About::Statistics => {
            let question = StatisticsQuestion::read(query, accept, now)?;
            Ok(reports::statistics(&partner.code, store, &question).await?)
        }
        About::Conversions => {
            let question = ConversionsQuestion::read(query, accept)?;
            Ok(reports::conversions(&partner.code, store, &question).await?)
        }
        About::Requests => {
            let question = RequestsQuestion::read(query, accept)?;
            Ok(reports::requests(&partner.code, store, &question).await?)
        }
        About::Rejections => {
            let question = RejectionsQuestion::read(query, accept)?;
            Ok(reports::rejections(&partner.code, store, &question).await?)
        }
        About::Trace => {
            let question = TraceQuestion::read(query)?;
            Ok(reports::trace(&partner.code, store, &question).await?)
        }
    }
}

/// The key in `Authorization: Bearer`: nowhere else, because URLs are written into logs. Two such headers are none: whoever stands
/// between may have gone by the other one.
pub(super) fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, key) = head_of(parts).header(AUTHORIZATION.as_str())?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(key.trim()).filter(|key| !key.is_empty())
}
