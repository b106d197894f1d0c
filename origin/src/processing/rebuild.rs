//! Rebuilds that are due: conversions whose receipts were not stored in their order.

use crate::app::Platform;
use crate::store::rebuild::{Due, Growth, Postponed, REBUILDS_MAX, Rebuilt};
use crate::store::{Store, StoreError};
use postback::partner::Partner;
use postback::time::Timestamp;
use tracing::{debug, error, warn};

/// How long a rebuild that fails waits at most, in seconds. It is never given up: until it is done, a sum is wrong.
const DELAY_S_MAX: u32 = 3_600;
/// How often a conversion is read again because it has further receipts.
const TRIES_MAX: usize = 2;
/// Rounds that one call makes at most.
const ROUNDS_MAX: usize = 20;

/// Rebuilds what is due in a partner's database; answers how many conversions' keys were written.
///
/// # Errors
/// The database cannot; what was not rebuilt is still due.
pub async fn rebuild_due(platform: &Platform, partner: &Partner, store: &Store) -> Result<usize, StoreError> {
    let mut written: usize = 0;
    for _ in 0..ROUNDS_MAX {
        let due = store.due_rebuilds((platform.now)()).await?;
        let is_last_round = due.len() < REBUILDS_MAX;
        for due in due {
            written = written.saturating_add(one(platform, partner, store, due).await?);
        }
        if is_last_round {
            break;
        }
    }
    Ok(written)
}

async fn one(platform: &Platform, partner: &Partner, store: &Store, due: Due) -> Result<usize, StoreError> {
    let now = (platform.now)();
    match rebuild(platform, store, &due.conversion_key).await {
        Ok(Rebuilt::Written { receipts }) => {
            debug!(partner = partner.code, receipts, "conversion rebuilt from its receipts");
            Ok(1)
        }
        Ok(Rebuilt::Outdated | Rebuilt::NotRequested) => Ok(0),
        // Whatever the reason, the others do not wait for this one. A database that is away cannot postpone it either.
        Err(error) => {
            postpone(partner, store, due, &error, now).await?;
            Ok(0)
        }
    }
}

/// Rebuilds one. Where receipts come faster than they are folded, those that were read are written in the end, and the next round has the
/// rest.
async fn rebuild(platform: &Platform, store: &Store, conversion_key: &str) -> Result<Rebuilt, StoreError> {
    for _ in 0..TRIES_MAX {
        let rebuilt = store.rebuild(conversion_key, Growth::Refused, (platform.now)()).await?;
        if rebuilt != Rebuilt::Outdated {
            return Ok(rebuilt);
        }
    }
    store.rebuild(conversion_key, Growth::Accepted, (platform.now)()).await
}

/// Tries it again after a second, then after twice as long each time.
async fn postpone(
    partner: &Partner,
    store: &Store,
    due: Due,
    error: &StoreError,
    now: Timestamp,
) -> Result<(), StoreError> {
    let Due { conversion_key, attempts } = due;
    let delay_s = 1_u32.checked_shl(attempts).unwrap_or(DELAY_S_MAX).min(DELAY_S_MAX);
    let due_ms = now.unix_ms().saturating_add(i64::from(delay_s).saturating_mul(1_000));
    let due_at = Timestamp::from_unix_ms(due_ms).unwrap_or(now);
    store.postpone_rebuild(Postponed { conversion_key, due_at, reason: error.to_string() }).await?;
    let attempts = attempts.saturating_add(1);
    match error {
        StoreError::Bug(_) => {
            error!(partner = partner.code, reason = %error, attempts, delay_s, "a conversion could not be rebuilt; it is retried");
        }
        StoreError::Unavailable(_) => {
            warn!(partner = partner.code, reason = %error, attempts, delay_s, "a conversion could not be rebuilt; it is retried");
        }
    }
    Ok(())
}
