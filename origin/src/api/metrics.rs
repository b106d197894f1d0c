//! `/metrics`: what Prometheus asks for every few seconds (R43, R58).

use super::data::bearer;
use super::error::Error;
use super::reply;
use crate::app::App;
use crate::metrics::exposition;
use crate::metrics::gauges::gauges;
use crate::reports::Answer;
use crate::shared::Scope;
use axum::extract::{Request, State};
use axum::response::Response;
use postback::reply::Format;
use std::sync::Arc;

/// What is told: the series of the partners that the key may operate, and those that are nobody's.
///
/// (1) the method is GET .................... 405
/// (2) the key operates some partner's data . 401, 403
/// (3) and is answered ...................... 503
pub async fn metrics(State(app): State<Arc<App>>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let request_id = app.request_id();
    // (1)
    if !matches!(parts.method.as_str(), "GET" | "HEAD") {
        return reply::failure(&Error::MethodNotAllowed { allow: "GET, HEAD" }, Format::Json, &request_id, None);
    }
    match answer(&app, bearer(&parts)).await {
        Ok(answer) => reply::answer(answer, parts.method.as_str() == "HEAD", &request_id),
        Err(error) => reply::failure(&error, Format::Json, &request_id, None),
    }
}

async fn answer(app: &App, key: Option<&str>) -> Result<Answer, Error> {
    // (2)
    let key = app.shared.find(key.ok_or(Error::KeyMissing)?, (app.platform.now)()).await?.ok_or(Error::KeyInvalid)?;
    let served: Vec<_> = app.databases.locations().map(|(code, _)| code).collect();
    let partners = app.config.registry.all().iter().filter(|partner| served.contains(&partner.code.as_str()));
    let partners: Vec<_> = partners
        .filter(|partner| key.allows(Scope::Operate, &partner.tenant, &partner.code))
        .map(|partner| partner.code.as_str())
        .collect();
    if partners.is_empty() {
        return Err(Error::KeyInvalid);
    }
    // (3)
    let failed = |_: prometheus::Error| Error::Internal("metrics that cannot be written");
    let families = counted(app).into_iter().chain(gauges(app, &partners).await.map_err(failed)?).collect();
    let body = exposition(families, &partners).map_err(failed)?;
    Ok(Answer { content_type: prometheus::TEXT_FORMAT, body, next_cursor: None })
}

#[cfg(not(target_family = "wasm"))]
fn counted(app: &App) -> Vec<prometheus::proto::MetricFamily> {
    app.metrics.gather()
}

/// Each of many instances of a Worker would tell of the few requests that it has seen, and then be gone: Cloudflare counts better.
#[cfg(target_family = "wasm")]
fn counted(_app: &App) -> Vec<prometheus::proto::MetricFamily> {
    Vec::new()
}
