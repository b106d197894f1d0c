//! `serve`: the origin itself, from opening databases to draining.

use crate::api::router;
use crate::app::{App, Platform};
use crate::config::Config;
use crate::processing::{self, Processed};
use crate::recount::night::Budget;
use crate::shared::READ_EVERY;
use crate::store::worklist::ITEMS_MAX;
use crate::upkeep;
use axum_server::Handle;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::{error, info, warn};

/// How long a connection may take to send its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long running requests have to end after the signal to stop.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// How often spent nonces are forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// How long after a look at what is to be processed the next one comes: what is stored meanwhile is processed together.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// The same where the last one failed.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(5);
/// While postbacks wait to be stored, processing pauses for so many times as long as it took.
const YIELD_TIMES: u32 = 4;
/// For how long: then it has waited long enough.
const YIELD_FOR: Duration = Duration::from_secs(30);
/// How often databases are made ready for what comes, and freed of what is too old.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// How often it looks whether the recount of the night is due.
const RECOUNT_EVERY: Duration = Duration::from_secs(60);
/// The recount of the night goes on until it is finished, and lets others at the database between its pages.
const RECOUNT_BUDGET: Budget = Budget { steps_max: usize::MAX, pause: Duration::from_millis(200) };

/// Serves until SIGTERM or Ctrl-C, then lets running requests end.
///
/// # Errors
/// When the address cannot be listened on.
pub async fn serve(config: Config) -> Result<(), String> {
    start_logging();
    let bind = config.bind;
    let environment = config.environment;
    let app = App::new(config, Platform::SYSTEM)?;
    let listener = std::net::TcpListener::bind(bind).map_err(|error| format!("cannot listen on {bind}: {error}"))?;
    listener.set_nonblocking(true).map_err(|error| format!("cannot listen on {bind}: {error}"))?;
    let handle = Handle::new();
    tokio::spawn(stop_on_signal(handle.clone()));
    tokio::spawn(open_databases(Arc::clone(&app)));
    tokio::spawn(keep_shared(Arc::clone(&app)));
    tokio::spawn(forget_nonces(Arc::clone(&app)));
    tokio::spawn(tidy(Arc::clone(&app)));
    for code in app.databases.locations().map(|(code, _)| code.to_owned()) {
        tokio::spawn(recount(Arc::clone(&app), code.clone()));
        tokio::spawn(process(Arc::clone(&app), code));
    }
    info!(%bind, ?environment, version = env!("CARGO_PKG_VERSION"), "origin listens");
    let mut server = axum_server::from_tcp(listener).map_err(|error| error.to_string())?.handle(handle);
    server.http_builder().http1().timer(hyper_util::rt::TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    let service = router(Arc::clone(&app)).into_make_service_with_connect_info::<SocketAddr>();
    let served = server.serve(service).await.map_err(|error| format!("serving ended: {error}"));
    app.shared.note_use((app.platform.now)()).await;
    app.shared.close().await;
    app.databases.close().await;
    info!("origin stopped");
    served
}

/// JSON lines on standard output; `LOG` filters them as `RUST_LOG` would.
fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,sqlx=warn"));
    // A log that nobody reads any more (a closed pipe) must not stop postbacks: without this a failed line would be
    // reported on standard error, and that failing would panic.
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .log_internal_errors(false)
        .with_env_filter(filter);
    if lines.try_init().is_err() {
        eprintln!("logging was started before");
    }
}

async fn stop_on_signal(handle: Handle<SocketAddr>) {
    let interrupt = tokio::signal::ctrl_c();
    match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = interrupt => {}
                _ = terminate.recv() => {}
            }
        }
        Err(error) => {
            warn!(reason = %error, "SIGTERM cannot be heard; Ctrl-C can");
            let _ = interrupt.await;
        }
    }
    handle.graceful_shutdown(Some(DRAIN_TIMEOUT));
    info!("stopping: running requests may end");
}

/// Opens the databases while the origin already listens: one that hangs keeps nobody else waiting.
async fn open_databases(app: Arc<App>) {
    for (code, outcome) in app.databases.open_all().await {
        match outcome {
            Ok(()) => info!(partner = code, "database ready"),
            Err(error) => {
                error!(partner = code, reason = %error, "database not available; its postbacks are not stored")
            }
        }
    }
}

/// Opens what partners share, takes over what their files say, and reads tokens and keys again and again.
async fn keep_shared(app: Arc<App>) {
    let mut ticks = tokio::time::interval(READ_EVERY);
    // What was missed while the database hung is not made up for.
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut is_synced = false;
    loop {
        ticks.tick().await;
        app.shared.read_again((app.platform.now)()).await;
        if !is_synced {
            is_synced = upkeep::sync_partners(&app).await;
        }
    }
}

async fn forget_nonces(app: Arc<App>) {
    let mut ticks = tokio::time::interval(FORGET_EVERY);
    loop {
        ticks.tick().await;
        upkeep::forget_nonces(&app).await;
        upkeep::put_back_delayed(&app).await;
    }
}

/// Processes one partner's events, soon after they were stored. Postbacks that wait to be stored come first: while there are some,
/// processing takes a part of the time only, unless that goes on for long.
async fn process(app: Arc<App>, code: String) {
    let Some(partner) = app.config.registry.by_code(&code) else { return };
    let mut behind_since: Option<Instant> = None;
    loop {
        let began = Instant::now();
        let store = app.databases.of(&code).await;
        let outcome = match &store {
            Ok(store) => processing::process_round(&app.platform, &app.shared, partner, store).await,
            Err(error) => Err(error.clone()),
        };
        match &outcome {
            Ok(Processed { items, found }) => {
                app.metrics.processed(&code, *items);
                app.metrics.found(&code, found);
            }
            Err(_) => app.metrics.processing_failed(&code),
        }
        let pause = match outcome.map(|processed| processed.items) {
            // There may be more.
            Ok(ITEMS_MAX..) => {
                let has_patience = behind_since.get_or_insert(began).elapsed() < YIELD_FOR;
                let is_in_the_way = store.as_ref().is_ok_and(|store| store.is_pressed());
                if is_in_the_way && has_patience { began.elapsed().saturating_mul(YIELD_TIMES) } else { continue }
            }
            Ok(_) => {
                behind_since = None;
                LOOK_EVERY
            }
            Err(error) => {
                warn!(partner = code, reason = %error, "events could not be processed; trying again");
                LOOK_AGAIN_AFTER
            }
        };
        tokio::time::sleep(pause).await;
    }
}

/// Recounts a part of one partner's database every night.
async fn recount(app: Arc<App>, code: String) {
    let mut ticks = tokio::time::interval(RECOUNT_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Ok(store) = app.databases.of(&code).await {
            upkeep::recount(&app, &code, store, RECOUNT_BUDGET).await;
        }
    }
}

async fn tidy(app: Arc<App>) {
    app.databases.open_all().await;
    let mut ticks = tokio::time::interval(TIDY_EVERY);
    loop {
        ticks.tick().await;
        upkeep::tidy(&app).await;
    }
}
