//! What the databases need from time to time, whatever host sees to the time.

use crate::app::App;
use crate::config;
use crate::processing::{self, Processed, again};
use crate::recount::Scope;
use crate::recount::night::{self, Budget};
use crate::store::{Store, StoreError};
use postback::time::Timestamp;
use tracing::{info, warn};

/// How long a nonce is remembered: longer than its signature could be used, on clocks apart.
const NONCE_LIFE_MS: i64 = 15 * 60 * 1000;
/// How long after a period began its totals are put together: most of what happened in it has been added by then.
const TOTALS_MS: i64 = 2 * 60 * 60 * 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;
/// How long a batch of the edge's counts is known: longer than a queue keeps messages.
const EDGE_BATCHES_MS: i64 = 15 * DAY_MS;

/// Forgets nonces whose signatures have run out. Once a minute is often enough.
pub async fn forget_nonces(app: &App) {
    let Some(before) = ago((app.platform.now)(), NONCE_LIFE_MS) else { return };
    for (code, store) in app.databases.opened() {
        if let Err(error) = store.forget_nonces(before).await {
            warn!(partner = code, reason = %error, "spent nonces could not be forgotten; trying again later");
        }
    }
}

/// Takes over what the partner files say, into what partners share. Whether that worked.
pub async fn sync_partners(app: &App) -> bool {
    let synced = async { app.shared.sync(config::registry().map_err(StoreError::Bug)?.all(), &app.change()?).await };
    match synced.await {
        Ok(()) => true,
        Err(error) => {
            warn!(reason = %error, "what the partner files say was not taken over; trying again");
            false
        }
    }
}

/// Has what waits for rates judged again, where some were imported since it began to wait. Once a minute is often enough.
pub async fn put_back_delayed(app: &App) {
    let before = match again::delayed_before(&app.shared).await {
        Ok(Some(before)) => before,
        Ok(None) => return,
        Err(error) => {
            warn!(reason = %error, "when rates were last imported could not be read; trying again later");
            return;
        }
    };
    for (code, store) in app.databases.opened() {
        match store.put_back_delayed(before, (app.platform.now)()).await {
            Ok(0) => {}
            Ok(items) => info!(partner = code, items, "rates came: what waited for them is judged again"),
            Err(error) => warn!(partner = code, reason = %error, "what waits for rates was not put back; trying again"),
        }
    }
}

/// Judges all that is due in the databases that are open, for as many rounds at most: what a Worker does once a minute.
pub async fn process_all(app: &App, rounds_max: usize) {
    for (code, store) in app.databases.opened() {
        let Some(partner) = app.config.registry.by_code(code) else { continue };
        for _ in 0..rounds_max {
            match processing::process_round(&app.platform, &app.shared, partner, store).await {
                Ok(Processed { items: 0, .. }) => break,
                Ok(Processed { items, found }) => {
                    app.metrics.processed(code, items);
                    app.metrics.found(code, &found);
                }
                Err(error) => {
                    app.metrics.processing_failed(code);
                    warn!(partner = code, reason = %error, "events could not be processed; trying again later");
                    break;
                }
            }
        }
    }
}

/// Recounts a part of each database that is open, at night. Once a minute is often enough.
pub async fn recount_all(app: &App, budget: Budget) {
    for (code, store) in app.databases.opened() {
        recount(app, code, store, budget).await;
    }
}

/// Recounts a part of one database, at night.
pub async fn recount(app: &App, code: &str, store: &Store, budget: Budget) {
    let Some(partner) = app.config.registry.by_code(code) else { return };
    let scope = Scope { shared: &app.shared, partner, store, now: app.platform.now };
    if let Err(error) = night::recount(&app.platform, scope, budget).await {
        warn!(partner = code, reason = %error, "the recount of the night stopped; trying again later");
    }
}

/// Makes each database ready for the time to come, and drops what its partner's file no longer wants kept (R59). Once an hour
/// is often enough.
pub async fn tidy(app: &App) {
    let now = (app.platform.now)();
    for (code, store) in app.databases.opened() {
        if let Err(error) = store.make_ready(now).await {
            warn!(partner = code, reason = %error, "no room was made for the time to come; trying again later");
        }
        if let Some(before) = ago(now, TOTALS_MS)
            && let Err(error) = store.put_totals_together(before).await
        {
            warn!(partner = code, reason = %error, "not all totals were put together; trying again later");
        }
        if let Some(before) = ago(now, EDGE_BATCHES_MS)
            && let Err(error) = store.forget_edge_batches(before).await
        {
            warn!(partner = code, reason = %error, "could not delete old batches of edge counts; will retry");
        }
        let Some(partner) = app.config.registry.by_code(code) else { continue };
        let days_ago = |days: u32| ago(now, i64::from(days).saturating_mul(DAY_MS));
        if let Some(before) = days_ago(partner.data_retention_days) {
            drop_postbacks(code, store, before).await;
        }
        if let Some(before) = days_ago(partner.click_retention_days) {
            drop_clicks(code, store, before).await;
        }
    }
}

async fn drop_postbacks(code: &str, store: &Store, before: Timestamp) {
    match store.drop_postbacks(before).await {
        Ok(0) => {}
        Ok(postbacks) => info!(partner = code, postbacks, "requests as they were received were dropped: too old"),
        Err(error) => {
            warn!(partner = code, reason = %error, "not all that is too old was dropped; trying again later");
        }
    }
}

async fn drop_clicks(code: &str, store: &Store, before: Timestamp) {
    match store.drop_clicks(before).await {
        Ok(0) => {}
        Ok(clicks) => info!(partner = code, clicks, "clicks were dropped: too old"),
        Err(error) => {
            warn!(partner = code, reason = %error, "not all clicks that are too old were dropped; trying again later");
        }
    }
}

fn ago(now: Timestamp, ms: i64) -> Option<Timestamp> {
    Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms))
}
