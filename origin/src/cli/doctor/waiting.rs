//! How long is waited, and for what: each piece of work has a limit, and what takes long is told on standard error.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How often it is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Work that is waited for.
#[derive(Debug)]
pub struct Waiting {
    /// How long each piece of it may take.
    pub limit: Duration,
    names: Arc<Mutex<BTreeSet<String>>>,
    teller: tokio::task::JoinHandle<()>,
}

impl Waiting {
    /// Nothing is waited for yet.
    pub fn new(limit: Duration) -> Waiting {
        let names: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let known = Arc::clone(&names);
        let teller = tokio::spawn(async move {
            loop {
                tokio::time::sleep(TELL_EVERY).await;
                let names: Vec<_> = known.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
                if !names.is_empty() {
                    eprintln!("looking at {}", names.join(", "));
                }
            }
        });
        Waiting { limit, names, teller }
    }

    /// What a piece of work comes to; None where that takes longer than it may.
    pub async fn task<T>(&self, name: &str, work: impl Future<Output = T>) -> Option<T> {
        self.names().insert(name.to_owned());
        // Work has limits of its own that say more; this one is behind them.
        let done = tokio::time::timeout(self.limit.saturating_add(Duration::from_millis(500)), work).await;
        self.names().remove(name);
        done.ok()
    }

    /// The same of work that may block, such as reading a file.
    pub async fn thread<T: Send + 'static>(&self, name: &str, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        self.task(name, tokio::task::spawn_blocking(work)).await?.ok()
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.teller.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn nothing_is_waited_for_longer_than_it_may_take() {
        let waiting = Waiting::new(Duration::from_millis(1));
        assert_eq!(waiting.task("never", std::future::pending::<()>()).await, None);
        assert_eq!(waiting.task("at once", async { 1 }).await, Some(1));
        let (keep, never) = std::sync::mpsc::channel::<()>();
        assert_eq!(waiting.thread("never", move || never.recv()).await.map(|_| ()), None);
        drop(keep);
        assert!(waiting.names().is_empty());
    }
}
