//! The HTTP face of the origin: paths, replies, limits. What a postback means is not decided here.

pub mod error;
pub(crate) mod health;
mod documents;
mod admission;
mod exchange;
mod postback;
mod smoke;
mod edge_batch;
mod clicks;
mod rejections;
mod data;
mod metrics;
mod reply;
mod headers;

pub use documents::Documents;
pub use health::Looks;

use crate::api::error::Error;
use crate::app::App;
use crate::clicks::Collected;
use crate::rejections::Reported;
use ::postback::reply::Format;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{any, get};
use std::sync::Arc;

/// Every path of the origin.
pub fn router(app: Arc<App>) -> Router {
    let router = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/info", get(health::info))
        .route("/metrics", any(metrics::metrics))
        .route("/openapi.json", get(documents::openapi))
        .route("/docs", get(documents::docs))
        .route("/postback", any(postback::postback))
        .route("/postback/{*endpoint}", any(postback::postback))
        .route("/partner/{*endpoint}", any(partner))
        .route("/smoke", any(smoke::smoke))
        .route("/smoke/{*endpoint}", any(smoke::smoke))
        .route("/clicks/{partner}", any(edge_batch::batch::<Collected>))
        .route("/rejections/{partner}", any(edge_batch::batch::<Reported>))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method);
    catching_panics(router).layer(axum::middleware::map_response(headers::guarded)).with_state(app)
}

/// A partner's events, or questions about them.
async fn partner(state: State<Arc<App>>, request: Request) -> Response {
    let State(app) = &state;
    match data::asked(&app.config.registry, request.uri().path()) {
        Some((partner, about)) => {
            let (parts, _) = request.into_parts();
            data::data(app, partner, about, &parts).await
        }
        None => postback::postback(state, request).await,
    }
}

/// No request should reach a panic; if one does, it costs that request alone.
#[cfg(not(target_family = "wasm"))]
fn catching_panics(router: Router<Arc<App>>) -> Router<Arc<App>> {
    fn panicked(_panic: Box<dyn std::any::Any + Send>) -> Response {
        tracing::error!("a request panicked; this is a bug");
        reply::failure(&Error::Internal("panic"), Format::Json, "-", None)
    }
    router.layer(tower_http::catch_panic::CatchPanicLayer::custom(panicked))
}

/// In WebAssembly a panic ends the instance; origin/src/entry.js sees to it.
#[cfg(target_family = "wasm")]
fn catching_panics(router: Router<Arc<App>>) -> Router<Arc<App>> {
    router
}

async fn not_found(State(app): State<Arc<App>>) -> Response {
    reply::failure(&Error::PartnerNotFound, Format::Json, &app.request_id(), None)
}

/// Of the paths that are there to be looked at; the others see to their methods themselves.
async fn wrong_method(State(app): State<Arc<App>>) -> Response {
    let error = Error::MethodNotAllowed { allow: "GET, HEAD" };
    reply::failure(&error, Format::Json, &app.request_id(), None)
}
