//! Trying again for a while, where others do not let a database go.

use super::StoreError;
use std::time::{Duration, Instant};

/// For how long it is tried.
const TRY_WITHIN: Duration = Duration::from_secs(15);
/// How long it waits between two tries.
const TRY_EVERY: Duration = Duration::from_millis(200);

/// Does what a command does, and again for a while where the database is not to be had because others have it.
///
/// # Errors
/// It cannot be done, or others had the database all the time.
pub async fn patiently<T>(work: impl AsyncFn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    let began = Instant::now();
    loop {
        match work().await {
            Err(StoreError::Unavailable(_)) if began.elapsed() < TRY_WITHIN => tokio::time::sleep(TRY_EVERY).await,
            outcome => return outcome,
        }
    }
}
