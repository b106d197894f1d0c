//! How the origin is, what it is, and this document, for anybody to look at; and its metrics, for operators.

use super::answers::of_metrics;
use super::parts::{self, get_and_head, text};
use super::scheme;
use crate::api::health::{Health, Info};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{ComponentsBuilder, ObjectBuilder, PathItem, Ref, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

/// The paths.
pub fn paths() -> Vec<(&'static str, PathItem)> {
    let item = |id: &str, summary: &str, responses: Vec<(&str, Response)>| {
        let operation = parts::operation(parts::STANDING, id, summary);
        let add = |operation: utoipa::openapi::path::OperationBuilder, (status, response)| {
            operation.response(status, response)
        };
        get_and_head(&responses.into_iter().fold(operation, add).build())
    };
    let json = |about: &str, schema: Ref| {
        let content = ContentBuilder::new().schema(Some(schema)).build();
        ResponseBuilder::new().description(about).content("application/json", content).build()
    };
    let health = |about: &str| json(about, Ref::from_schema_name(Health::name()));
    let html = ContentBuilder::new().schema(Some(text())).build();
    let page = ResponseBuilder::new().description("The page.").content("text/html", html).build();
    let document = ContentBuilder::new().schema(Some(ObjectBuilder::new())).build();
    let document = ResponseBuilder::new().description("The document.").content("application/json", document).build();
    vec![
        (
            "/health",
            item("health", "Whether the process lives.", vec![("200", health("It lives; what is degraded is named."))]),
        ),
        (
            "/ready",
            item(
                "ready",
                "Whether postbacks can be stored.",
                vec![("200", health("At least one partner's database answers.")), ("503", health("None does."))],
            ),
        ),
        (
            "/info",
            item(
                "info",
                "What runs here.",
                vec![("200", json("Version, partners and their databases.", Ref::from_schema_name(Info::name())))],
            ),
        ),
        ("/openapi.json", item("openapi", "This document.", vec![("200", document)])),
        ("/docs", item("docs", "This document as a page.", vec![("200", page)])),
        ("/metrics", metrics()),
    ]
}

fn metrics() -> PathItem {
    let none: [&str; 0] = [];
    let content = ContentBuilder::new().schema(Some(text())).build();
    let told = ResponseBuilder::new()
        .description("Prometheus' text, of the partners that the key operates and of what is nobody's.")
        .content("text/plain", content)
        .build();
    let operation =
        parts::operation(parts::STANDING, "metrics", "What Prometheus asks for; the key's scope is `operate`.")
            .security(SecurityRequirement::new(scheme::API_KEY, none))
            .response("200", told);
    get_and_head(&of_metrics().end(operation).build())
}

/// The schemas of the answers.
pub fn components(components: ComponentsBuilder) -> ComponentsBuilder {
    let components = of_metrics().components(components);
    let mut of_info = Vec::new();
    Info::schemas(&mut of_info);
    components.schema(Health::name(), Health::schema()).schema(Info::name(), Info::schema()).schemas_from_iter(of_info)
}
