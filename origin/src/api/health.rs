//! `/health`, `/ready`, `/info` (R43).

use crate::app::App;
use crate::store::StoreError;
use crate::store::worklist::Backlog;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// For how many seconds events may wait to be processed before that is told: on D1 a minute passes anyway.
const LAG_S_MAX: u64 = 120;

/// The body of `/health` and `/ready`.
#[derive(Serialize, ToSchema)]
pub struct Health {
    status: &'static str,
    service: &'static str,
    version: &'static str,
    /// `ok` or `unavailable`, by partner code.
    databases: BTreeMap<String, &'static str>,
    /// The same of the database that all partners share.
    shared_database: &'static str,
    /// `ok`, `behind` or `failing`, by partner code: how it stands with the events that are to be processed. Of partners whose
    /// database answers.
    processing: BTreeMap<String, &'static str>,
}

/// The body of `/info`.
#[derive(Serialize, ToSchema)]
pub struct Info {
    service: &'static str,
    version: &'static str,
    uptime_s: i64,
    partners: Vec<PartnerInfo>,
}

#[derive(Serialize, ToSchema)]
struct PartnerInfo {
    code: String,
    name: String,
    endpoint: String,
    storage: &'static str,
}

/// 200 as long as the process lives: a broken database is named, and does not make the origin unhealthy.
pub async fn health(State(app): State<Arc<App>>) -> Json<Health> {
    Json(look(&app).await)
}

/// 200 while at least one partner can be served; 503 when none can.
pub async fn ready(State(app): State<Arc<App>>) -> (StatusCode, Json<Health>) {
    let health = look(&app).await;
    let any = health.databases.values().any(|state| *state == "ok");
    (if any { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, Json(health))
}

/// What runs here.
pub async fn info(State(app): State<Arc<App>>) -> Json<Info> {
    let kinds: BTreeMap<_, _> = app.databases.locations().map(|(code, location)| (code, location.kind())).collect();
    let partners = app.config.registry.all().iter().map(|partner| PartnerInfo {
        code: partner.code.clone(),
        name: partner.name.clone(),
        endpoint: partner.endpoint.clone(),
        storage: kinds.get(partner.code.as_str()).copied().unwrap_or("none"),
    });
    Json(Info {
        service: "bytec-origin",
        version: env!("CARGO_PKG_VERSION"),
        uptime_s: (app.platform.now)().unix_s().saturating_sub(app.started_at.unix_s()),
        partners: partners.collect(),
    })
}

async fn look(app: &App) -> Health {
    // At once, so that several that hang cost no more time than one.
    let (pings, shared) = futures_util::future::join(app.databases.ping_all(), app.shared.ping()).await;
    let state = |outcome: &Result<(), StoreError>| if outcome.is_ok() { "ok" } else { "unavailable" };
    let databases: BTreeMap<_, _> = pings.iter().map(|(code, ping)| ((*code).to_owned(), state(ping))).collect();
    let shared_database = state(&shared);
    let backlogs =
        app.databases.opened().map(async |(code, store)| (code.to_owned(), store.backlog((app.platform.now)()).await));
    let backlogs = futures_util::future::join_all(backlogs).await;
    let processing = backlogs.into_iter().filter_map(|(code, backlog)| Some((code, standing(backlog.ok()?)))).collect();
    let degraded = shared.is_err() || pings.values().any(Result::is_err);
    Health {
        status: if degraded { "degraded" } else { "healthy" },
        service: "bytec-origin",
        version: env!("CARGO_PKG_VERSION"),
        databases,
        shared_database,
        processing,
    }
}

/// What a backlog says in a word: some was given up, some has been due for long, or neither.
fn standing(backlog: Backlog) -> &'static str {
    if backlog.dead > 0 {
        "failing"
    } else if backlog.lag_s > LAG_S_MAX {
        "behind"
    } else {
        "ok"
    }
}
