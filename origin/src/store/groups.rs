//! Group commit: postbacks that come while a transaction is under way share the next one, and the wait for the disk with
//! it. Each still gets an answer of its own.
//!
//! Nobody waits for a group to fill: whoever comes while a lane is free goes at once, alone. Under load groups grow by
//! themselves, because more comes during a commit.

use super::record::{Record, Recorded};
use super::{Core, StoreError};
use std::fmt;
use std::sync::Arc;
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Postbacks of one transaction at most: what a crash or a refusal can send round again, and what one answer waits for.
const GROUP_MAX: usize = 64;
/// Postbacks that wait for a lane at most: as many as requests may be in flight.
const WAITING_MAX: usize = 256;

/// The way into one database.
#[derive(Clone)]
pub struct Groups {
    waiting: mpsc::Sender<Waiting>,
}

/// A postback that waits for its answer.
struct Waiting {
    record: Record,
    answer: oneshot::Sender<Result<Recorded, StoreError>>,
}

impl Groups {
    /// Begins to take postbacks, which are recorded in so many transactions at once.
    pub fn start(core: Arc<Core>, lanes: usize) -> Groups {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        tokio::spawn(form_groups(core, Arc::new(Semaphore::new(lanes)), taken));
        Groups { waiting }
    }

    /// Whether postbacks wait for a lane now.
    pub fn is_pressed(&self) -> bool {
        self.waiting.capacity() < self.waiting.max_capacity()
    }

    /// Records a postback together with others. Whoever stops waiting does not take it out of its group.
    ///
    /// # Errors
    /// As [`super::Store::record`].
    pub async fn record(&self, record: Record) -> Result<Recorded, StoreError> {
        let gone = |_| StoreError::Unavailable("the store is closing".to_owned());
        let (answer, answered) = oneshot::channel();
        self.waiting.send(Waiting { record, answer }).await.map_err(|error| gone(error.to_string()))?;
        answered.await.map_err(|error| gone(error.to_string()))?
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

async fn form_groups(core: Arc<Core>, lanes: Arc<Semaphore>, mut taken: mpsc::Receiver<Waiting>) {
    let mut group = Vec::new();
    // The lane first: what comes while none is free makes the group larger.
    while let Ok(lane) = Arc::clone(&lanes).acquire_owned().await {
        if taken.recv_many(&mut group, GROUP_MAX).await == 0 {
            return;
        }
        let core = Arc::clone(&core);
        let group = std::mem::take(&mut group);
        tokio::spawn(async move {
            record(&core, group).await;
            drop(lane);
        });
    }
}

/// Records a group and answers each of it. When the database refuses the whole for one bad row, its halves are recorded one after
/// the other, and so on, so that it costs nobody but its sender, and the others little time.
async fn record(core: &Core, group: Vec<Waiting>) {
    let mut groups = vec![group];
    // The last is the next: what came first is recorded first.
    while let Some(mut group) = groups.pop() {
        // Nobody waits for those any more whose channel is closed; their senders will send them again.
        group.retain(|waiting| !waiting.answer.is_closed());
        if group.is_empty() {
            continue;
        }
        let records = group.iter().map(|waiting| waiting.record.clone()).collect();
        match core.record(records).await {
            Ok(recorded) => {
                for (waiting, recorded) in group.into_iter().zip(recorded) {
                    // Whoever has gone does not hear it.
                    let _ = waiting.answer.send(Ok(recorded));
                }
            }
            Err(StoreError::Bug(reason)) if group.len() > 1 => {
                tracing::warn!(
                    reason,
                    postbacks = group.len(),
                    "a group was refused; its halves are recorded by themselves"
                );
                let later = group.split_off(group.len().div_euclid(2));
                groups.push(later);
                groups.push(group);
            }
            Err(error) => {
                for waiting in group {
                    let _ = waiting.answer.send(Err(error.clone()));
                }
            }
        }
    }
}
