//! `/openapi.json` and `/docs`: what can be asked here, for programs and for people (R43).

use crate::app::App;
use crate::openapi::{Page, document, page};
use axum::extract::State;
use axum::http::header::{CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use postback::partner::Registry;
use std::sync::{Arc, OnceLock};

/// The documents, made when they are first asked for.
#[derive(Debug, Default)]
pub struct Documents {
    json: OnceLock<String>,
    page: OnceLock<Page>,
}

impl Documents {
    fn json(&self, registry: &Registry) -> &str {
        // Texts and lists are written, which serde_json cannot fail at.
        self.json.get_or_init(|| document(registry).to_json().unwrap_or_default())
    }

    fn page(&self, registry: &Registry) -> &Page {
        self.page.get_or_init(|| page(self.json(registry)))
    }
}

/// The OpenAPI document.
pub async fn openapi(State(app): State<Arc<App>>) -> Response {
    let json = app.documents.json(&app.config.registry).to_owned();
    ([(CONTENT_TYPE, "application/json")], json).into_response()
}

/// The page.
pub async fn docs(State(app): State<Arc<App>>) -> Response {
    let Page { html, policy } = app.documents.page(&app.config.registry);
    let headers = [(CONTENT_TYPE, "text/html; charset=utf-8"), (CONTENT_SECURITY_POLICY, policy.as_str())];
    (headers, html.clone()).into_response()
}
