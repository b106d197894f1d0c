//! Whether the edge lives, and, when asked to look deeper, whether the origins do (R2).

use crate::config::Config;
use crate::delivery::attempt::seconds_since_success;
use crate::delivery::outgoing::{Outgoing, access_headers};
use crate::platform::exchange::{Reply as Wanted, send};
use crate::platform::response::Reply;
use crate::reply;
use postback::id::Nonce;
use serde::{Deserialize, Serialize};
use std::iter;

/// How long an origin may take to say that it lives, in milliseconds.
const HEALTH_TIMEOUT_MS: u32 = 2_000;

#[derive(Debug, Serialize)]
struct Health {
    /// `healthy`, or `degraded` when an origin was asked for and did not answer.
    status: &'static str,
    service: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

#[derive(Debug, Serialize)]
struct Origin {
    /// Whether every partner has an origin that lives. Addresses of origins are not told to everybody.
    reachable: bool,
    /// Seconds since this isolate's last acknowledged forward; null before the first.
    last_success_s_ago: Option<i64>,
}

/// What a health check asks for.
#[derive(Debug, Default, Deserialize)]
struct Question {
    deep: Option<String>,
}

/// The reply to a health check: the edge's own health; with `deep=1`, the origins' too.
pub async fn reply(config: &Config, query: &str, method: &str, request_id: &Nonce, now_s: i64) -> Reply {
    // One that cannot be read asks for nothing more than the edge itself.
    let question: Question = serde_urlencoded::from_str(query).unwrap_or_default();
    let origin = if question.deep.as_deref() == Some("1") {
        Some(Origin { reachable: all_live(config).await, last_success_s_ago: seconds_since_success(now_s) })
    } else {
        None
    };
    let degraded = origin.as_ref().is_some_and(|origin| !origin.reachable);
    let health = Health {
        status: if degraded { "degraded" } else { "healthy" },
        service: "bytec-edge",
        version: env!("CARGO_PKG_VERSION"),
        origin,
    };
    let reply = reply::json(if degraded { 503 } else { 200 }, request_id, &health);
    if method == "HEAD" { Reply { body: None, ..reply } } else { reply }
}

/// Whether every partner has an origin that lives; each origin is asked once.
async fn all_live(config: &Config) -> bool {
    let mut living = Vec::new();
    for origin in config.origins.all() {
        if origin_lives(config, origin).await {
            living.push(origin);
        }
    }
    let active = config.registry.all().iter().filter(|partner| partner.is_active);
    active.map(|partner| config.origins.of(partner)).all(|of| of.iter().any(|origin| living.contains(&origin.as_str())))
}

/// Whether an origin says that it lives.
pub async fn origin_lives(config: &Config, origin: &str) -> bool {
    let question = Outgoing {
        url: format!("{origin}/health"),
        method: "GET".to_owned(),
        headers: iter::once(("accept", "application/json".to_owned())).chain(access_headers(config)).collect(),
        body: None,
    };
    match send(&question, Wanted::Body, HEALTH_TIMEOUT_MS).await {
        Ok(answer) => answer.status == 200 && answer.content_type == "application/json",
        Err(_) => false,
    }
}
