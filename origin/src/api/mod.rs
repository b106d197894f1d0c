//! The HTTP face of the origin: paths, replies, limits. What a postback means is not decided here.

pub mod error;
mod health;
mod admission;
mod exchange;
mod postback;
mod smoke;
mod clicks;
mod reply;

use crate::api::error::Error;
use crate::app::App;
use ::postback::reply::Format;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{any, get};
use std::any::Any;
use std::sync::Arc;
use tower_http::catch_panic::CatchPanicLayer;

/// Every path of the origin.
pub fn router(app: Arc<App>) -> Router {
    Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/info", get(health::info))
        .route("/postback", any(postback::postback))
        .route("/postback/{*endpoint}", any(postback::postback))
        .route("/partner/{*endpoint}", any(postback::postback))
        .route("/smoke", any(smoke::smoke))
        .route("/smoke/{*endpoint}", any(smoke::smoke))
        .route("/clicks/{partner}", any(clicks::clicks))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

async fn not_found(State(app): State<Arc<App>>) -> Response {
    reply::failure(&Error::PartnerNotFound, Format::Json, &app.request_id(), None)
}

/// Of the paths that are there to be looked at; the others see to their methods themselves.
async fn wrong_method(State(app): State<Arc<App>>) -> Response {
    let error = Error::MethodNotAllowed { allow: "GET, HEAD" };
    reply::failure(&error, Format::Json, &app.request_id(), None)
}

/// No request should reach this; if one does, it costs that request alone.
fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request panicked; this is a bug");
    reply::failure(&Error::Internal("panic"), Format::Json, "-", None)
}
