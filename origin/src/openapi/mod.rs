//! The API as an OpenAPI 3.1 document (R43), put together from what the program goes by: the partners' files, the fields, the errors
//! and their status codes, the types of the answers. Nothing of it is written down a second time. `crate::api` serves it.
//!
//! What the edge alone can ask (`/smoke`, `/clicks/{partner}`) is not in it: docs/api.md has that, for whoever builds an edge.

mod answers;
mod fields;
mod parts;
mod postbacks;
mod questions;
mod standing;
mod page;
mod brief;
mod html;

pub use page::{Page, page};

use parts::{header_key, text};
use postback::message_signature::header;
use postback::partner::Registry;
use postback::signature::header::SIGNATURE;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, ContactBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathsBuilder, ServerBuilder,
};

/// Names of the ways to prove oneself, in the document.
mod scheme {
    pub const API_KEY: &str = "apiKey";
    pub const TOKEN: &str = "tenantToken";
    pub const TOKEN_PARAM: &str = "tenantTokenInQuery";
    pub const PARTNER_SIGNATURE: &str = "partnerSignature";
    pub const EDGE_SIGNATURE: &str = "edgeSignature";
}

const ABOUT: &str = "Takes partners' postbacks and answers questions about what was stored. docs/api.md of the repository says \
    what each value means, how requests are signed, and what to do about each error.\n\n\
    A method that is not listed at a path is answered with 405 and `Allow`, a path that is not listed with 404, both as `Error`. \
    Requests that are no HTTP, or whose head has more than 64 KiB, are refused by the server before anything here, with 400 or 431 \
    and no body.";

/// The document of an origin that serves these partners.
pub fn document(registry: &Registry) -> OpenApi {
    let mut paths = PathsBuilder::new();
    let mut components = answers::components(fields::components(ComponentsBuilder::new()));
    for (path, item) in standing::paths() {
        paths = paths.path(path, item);
    }
    components = standing::components(components);
    for partner in registry.all() {
        for (path, item) in postbacks::paths(partner).into_iter().chain(questions::paths(partner)) {
            paths = paths.path(path, item);
        }
        components = postbacks::components(components, partner);
    }
    components = security(questions::components(components));
    let tag = |name: &str, about: &str| TagBuilder::new().name(name).description(Some(about)).build();
    OpenApiBuilder::new()
        .info(
            InfoBuilder::new()
                .title("ByteC Postback: the origin")
                .version(env!("CARGO_PKG_VERSION"))
                .description(Some(ABOUT))
                .contact(Some(ContactBuilder::new().name(Some("ByteC")).build()))
                .license(Some(License::new(env!("CARGO_PKG_LICENSE"))))
                .build(),
        )
        .servers(Some([ServerBuilder::new().url("/").description(Some("where this document is")).build()]))
        .tags(Some([
            tag(parts::POSTBACKS, "Events, from partners directly or through the edge."),
            tag(parts::QUESTIONS, "What was stored, for whoever has a key to it."),
            tag(parts::STANDING, "How the origin is, and what it is."),
        ]))
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

/// The ways to prove oneself.
fn security(components: ComponentsBuilder) -> ComponentsBuilder {
    let bearer = |about: &str| {
        let http = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(about)).build();
        SecurityScheme::Http(http)
    };
    components
        .security_scheme(
            scheme::API_KEY,
            bearer("An API key (`bck_`...) of scope `read` or `operate`. Never in a URL: those are written into logs."),
        )
        .security_scheme(scheme::TOKEN, bearer("A token (`bct_`...) of the partner's tenant."))
        .security_scheme(
            scheme::TOKEN_PARAM,
            SecurityScheme::ApiKey(parts::query_key(
                postback::params::TOKEN_PARAM,
                "The same token, where no header can be set.",
            )),
        )
        .security_scheme(
            scheme::PARTNER_SIGNATURE,
            SecurityScheme::ApiKey(header_key(
                SIGNATURE,
                "`bytec-v1`: `sha256=` and the HMAC-SHA256 of the request, beside `X-Key-Id`, `X-Timestamp` and `X-Nonce`; or all four \
                 in the query, as `_kid`, `_ts`, `_nonce` and `_sig`. Beside a token; only where one is sent or the partner's file asks \
                 for it.",
            )),
        )
        .security_scheme(
            scheme::EDGE_SIGNATURE,
            SecurityScheme::ApiKey(header_key(
                header::SIGNATURE,
                "The edge's HTTP Message Signature (RFC 9421), in its one fixed profile, beside `Signature-Input`, `Content-Digest` \
                 and the headers `Bytec-*` that it covers. With it no token is needed.",
            )),
        )
        .schema("RequestId", text().description(Some("Our name of the request: quote it when you ask us.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::router;
    use crate::app::{App, Platform};
    use crate::config::{Config, Settings, registry};
    use axum::body::Body;
    use axum::http::Request;
    use std::collections::BTreeSet;
    use tower::ServiceExt;

    /// Routes that are not in the document, and why.
    const ELSEWHERE: [(&str, &str); 4] = [
        ("/smoke", "the edge alone can ask it"),
        ("/smoke/{*endpoint}", "the edge alone can ask it"),
        ("/clicks/{partner}", "the edge alone can ask it"),
        ("/rejections/{partner}", "the edge alone can ask it"),
    ];

    #[test]
    fn the_copy_for_readers_is_what_the_program_says() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
        let copy = std::fs::read_to_string(path).unwrap_or_default();
        let document = document(&registry().unwrap()).to_pretty_json().unwrap();
        assert!(copy.trim_end() == document, "docs/openapi.json is another one: npm run openapi -- --write");
    }

    #[test]
    fn every_route_is_in_the_document_or_named_as_one_that_is_not() {
        let routes: BTreeSet<_> = include_str!("../api/mod.rs")
            .split(".route(\"")
            .skip(1)
            .filter_map(|rest| rest.split('"').next())
            .collect();
        assert!(routes.len() >= 11, "{routes:?}");
        let document = document(&registry().unwrap());
        let documented = |route: &str| match route.split_once("{*") {
            Some((prefix, _)) => document.paths.paths.keys().any(|path| path.starts_with(prefix)),
            None => document.paths.paths.contains_key(route),
        };
        for (route, reason) in ELSEWHERE {
            assert!(routes.contains(route) && !documented(route) && !reason.is_empty(), "{route}");
        }
        let elsewhere = |route: &str| ELSEWHERE.iter().any(|(known, _)| *known == route);
        let missing: Vec<_> = routes.into_iter().filter(|route| !documented(route) && !elsewhere(route)).collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[tokio::test]
    async fn every_operation_is_answered_with_a_status_that_it_names() {
        let folder = tempfile::TempDir::new().unwrap();
        let settings = Settings {
            environment: Some("development".to_owned()),
            data_dir: Some(folder.path().display().to_string()),
            ..Settings::default()
        };
        let app = App::new(Config::read(&settings, |_| None).unwrap(), Platform::SYSTEM).unwrap();
        app.databases.open_all().await;
        let document = serde_json::to_value(document(&app.config.registry)).unwrap();
        let mut asked = 0;
        for (path, item) in document["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                let request = Request::builder().method(method.to_uppercase().as_str()).uri(path);
                let response = router(app.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
                let status = response.status().as_u16();
                assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path}: {status}");
                let is_open = operation.get("security").is_none();
                assert_eq!(status == 200, is_open, "{method} {path}: {status} without a proof");
                asked += 1;
            }
            let request = Request::builder().method("TRACE").uri(path).body(Body::empty()).unwrap();
            let response = router(app.clone()).oneshot(request).await.unwrap();
            assert_eq!(response.status(), 405, "{path}");
            let methods: BTreeSet<_> = item.as_object().unwrap().keys().map(|method| method.to_uppercase()).collect();
            let allowed = response.headers()["allow"].to_str().unwrap();
            assert_eq!(allowed.split(", ").map(str::to_owned).collect::<BTreeSet<_>>(), methods, "{path}");
        }
        assert!(asked >= 36, "{asked}");
    }
}
