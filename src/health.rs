//! Whether the edge lives, and, when asked to look deeper, whether the origin does (R2).

use crate::config::Config;
use crate::forward::seconds_since_success;
use crate::outgoing::{Outgoing, access_headers};
use crate::platform::send;
use serde::{Deserialize, Serialize};

/// How long the origin may take to say that it lives, in milliseconds.
const HEALTH_TIMEOUT_MS: u32 = 2_000;

/// The body of a health reply.
#[derive(Debug, Serialize)]
pub struct Health {
    /// `healthy`, or `degraded` when the origin was asked for and did not answer.
    pub status: &'static str,
    service: &'static str,
    version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    origin: Option<Origin>,
}

#[derive(Debug, Serialize)]
struct Origin {
    reachable: bool,
    /// Seconds since this isolate's last acknowledged forward; null before the first.
    last_success_s_ago: Option<i64>,
}

/// What a health check asks for.
#[derive(Debug, Default, Deserialize)]
pub struct Question {
    deep: Option<String>,
}

impl Question {
    /// Reads the query. One that cannot be read asks for nothing more than the edge itself.
    pub fn parse(query: &str) -> Question {
        serde_urlencoded::from_str(query).unwrap_or_default()
    }

    /// Whether the origin is asked for, too.
    pub fn is_deep(&self) -> bool {
        self.deep.as_deref() == Some("1")
    }
}

/// The edge's own health; with `deep`, the origin's too.
pub async fn health(config: &Config, deep: bool, now_s: i64) -> Health {
    let origin = if deep {
        Some(Origin { reachable: origin_lives(config).await, last_success_s_ago: seconds_since_success(now_s) })
    } else {
        None
    };
    let degraded = origin.as_ref().is_some_and(|origin| !origin.reachable);
    Health {
        status: if degraded { "degraded" } else { "healthy" },
        service: "bytec-edge",
        version: env!("CARGO_PKG_VERSION"),
        origin,
    }
}

async fn origin_lives(config: &Config) -> bool {
    let question = Outgoing {
        url: format!("{}/health", config.origin_url),
        method: "GET".to_owned(),
        headers: [vec![("accept", "application/json".to_owned())], access_headers(config)].concat(),
        body: None,
    };
    match send(&question, HEALTH_TIMEOUT_MS).await {
        Ok(answer) => {
            let json = answer.content_type.as_deref() == Some("application/json");
            let lives = answer.status == 200 && json;
            answer.discard();
            lives
        }
        Err(_) => false,
    }
}
