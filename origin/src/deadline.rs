//! Waiting, and not for ever, on both hosts.

use std::time::Duration;

/// What a piece of work comes to; None where that takes longer than the limit. It is then let go of.
#[cfg(not(target_family = "wasm"))]
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(limit, work).await.ok()
}

/// What a piece of work comes to; None where that takes longer than the limit. It is then let go of.
#[cfg(target_family = "wasm")]
pub async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Option<T> {
    use futures_util::future::{Either, select};
    use worker::send::SendFuture;
    // A timer of JavaScript, which has one thread.
    let timer = SendFuture::new(worker::Delay::from(limit));
    match select(std::pin::pin!(work), std::pin::pin!(timer)).await {
        Either::Left((outcome, _)) => Some(outcome),
        Either::Right(((), _)) => None,
    }
}
