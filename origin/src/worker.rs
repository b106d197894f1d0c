//! The Worker's host of the origin: the same router, in front of D1. origin/src/entry.js calls it.

use crate::api::router;
use crate::app::{App, Platform};
use crate::config::{Config, Settings};
use crate::recount::night::Budget;
use crate::store::d1::{Batch, D1};
use crate::upkeep;
use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use std::cell::OnceCell;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tower_service::Service;
use worker::send::SendFuture;
use worker::wasm_bindgen::{self, JsValue, prelude::wasm_bindgen};
use worker::{D1Database, Env, HttpRequest, Request, Response, web_sys};

/// Rounds of processing for each partner and run of the cron trigger.
const ROUNDS_MAX: usize = 10;
/// The recount of the night, for each partner and run of the cron trigger: some thousand conversions. The next run goes on.
const RECOUNT_BUDGET: Budget = Budget { steps_max: 3, pause: Duration::ZERO };

thread_local! {
    /// The origin of this isolate, made with its first request.
    static APP: OnceCell<Arc<App>> = const { OnceCell::new() };
}

/// Answers a request.
///
/// # Errors
/// The configuration is wrong, or the platform fails.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys
)]
pub async fn fetch(request: web_sys::Request, env: Env) -> Result<web_sys::Response, JsValue> {
    let app = app(&env)?;
    let request: HttpRequest = Request::from(request).try_into().map_err(words)?;
    let Ok(response) = router(app).call(request.map(Body::new)).await;
    Ok(Response::try_from(response).map_err(words)?.into())
}

/// The cron trigger, once a minute: what was stored since is processed, and what databases need from time to time.
///
/// # Errors
/// The configuration is wrong.
#[wasm_bindgen(
    wasm_bindgen = worker::wasm_bindgen,
    wasm_bindgen_futures = worker::wasm_bindgen_futures,
    js_sys = worker::js_sys
)]
pub async fn scheduled(env: Env) -> Result<(), JsValue> {
    let app = app(&env)?;
    app.databases.open_all().await;
    upkeep::put_back_delayed(&app).await;
    upkeep::process_all(&app, ROUNDS_MAX).await;
    upkeep::forget_nonces(&app).await;
    upkeep::tidy(&app).await;
    upkeep::recount_all(&app, RECOUNT_BUDGET).await;
    let _ = upkeep::sync_partners(&app).await;
    Ok(())
}

fn app(env: &Env) -> Result<Arc<App>, JsValue> {
    APP.with(|known| match known.get() {
        Some(app) => Ok(Arc::clone(app)),
        None => {
            start_logging();
            let app =
                App::new(configuration(env).map_err(told)?, Platform::SYSTEM).map_err(|problem| told(vec![problem]))?;
            Ok(Arc::clone(known.get_or_init(|| app)))
        }
    })
}

fn configuration(env: &Env) -> Result<Config, Vec<String>> {
    let variable = |name: &str| env.var(name).ok().map(|value| value.to_string());
    let partners = variable("PARTNERS").unwrap_or_default();
    let settings = Settings {
        environment: variable("ENVIRONMENT"),
        partners: partners.split(',').map(str::to_owned).collect(),
        ..Settings::default()
    };
    Config::read_bindings(&settings, variable, |binding| Some(D1::new(Arc::new(Binding(env.d1(binding).ok()?)))))
}

/// Every problem of the configuration, in the log; an operator's to read, not a caller's.
fn told(problems: Vec<String>) -> JsValue {
    for problem in problems {
        tracing::error!(reason = problem, "the configuration is wrong");
    }
    JsValue::from_str("the configuration is wrong; the log says how")
}

fn words(error: worker::Error) -> JsValue {
    JsValue::from_str(&error.to_string())
}

/// A D1 database, as it is bound to this Worker.
struct Binding(D1Database);

impl Batch for Binding {
    fn run(&self, statements: String) -> BoxFuture<'_, Result<String, String>> {
        // Promises are of one thread, and a Worker has no other.
        SendFuture::new(self.batch(statements)).boxed()
    }
}

impl Binding {
    async fn batch(&self, statements: String) -> Result<String, String> {
        let statements: Vec<Vec<String>> = serde_json::from_str(&statements).map_err(|error| error.to_string())?;
        let mut prepared = Vec::with_capacity(statements.len());
        for statement in &statements {
            let Some((sql, values)) = statement.split_first() else { continue };
            let values: Vec<_> = values.iter().map(|value| JsValue::from_str(value)).collect();
            prepared.push(self.0.prepare(sql).bind(&values).map_err(reason)?);
        }
        let mut answered = Vec::with_capacity(prepared.len());
        for result in self.0.batch(prepared).await.map_err(reason)? {
            let rows: Vec<serde_json::Map<String, Value>> = result.results().map_err(reason)?;
            let changes = result.meta().map_err(reason)?.and_then(|meta| meta.changes).unwrap_or(0);
            answered.push(json!({"rows": rows, "changes": changes}));
        }
        Ok(Value::from(answered).to_string())
    }
}

/// The database's own words, without the stack of the script.
#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's errors, all the others of which read well")]
fn reason(error: worker::Error) -> String {
    match error {
        worker::Error::D1(error) => error.cause(),
        other => other.to_string(),
    }
}

/// JSON lines on the console, where the platform adds the time.
fn start_logging() {
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .without_time()
        .log_internal_errors(false)
        .with_max_level(tracing::Level::INFO)
        .with_writer(|| Console(Vec::new()));
    // Started before: by an instance that stopped.
    let _ = lines.try_init();
}

/// One line for the console.
struct Console(Vec<u8>);

impl Write for Console {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Console {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            worker::console_log!("{}", String::from_utf8_lossy(&self.0).trim_end());
        }
    }
}
