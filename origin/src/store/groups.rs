//! Group commit: postbacks that come while a transaction is under way share the next one, and the wait for the disk with
//! it. Each still gets an answer of its own.
//!
//! Nobody waits for a group to fill: whoever comes while none is at work goes at once, alone. Under load groups grow by themselves,
//! because more comes while one is at work. While that one waits for the disk, the next is at work; and beside it another, where enough
//! has come or it takes long.

#![deny(clippy::disallowed_methods)]

use super::record::{Record, Recorded};
use super::totals::Lane;
use super::{Core, StoreError};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

/// Postbacks of one transaction at most: what a crash or a refusal can send round again, and what one answer waits for.
const GROUP_MAX: usize = 64;
/// Postbacks that wait for their group at most: as many as requests may be in flight.
const WAITING_MAX: usize = 256;

/// Postbacks for which a further group goes to work beside another: what a group costs by itself is shared by fewer then.
const FURTHER_GROUP_MIN: usize = 24;
/// How long a group is waited for that is at work, where a further one may be, however few have come.
const AT_WORK_MAX: Duration = Duration::from_millis(20);

/// How many transactions of a store are worth while at once.
#[derive(Clone, Copy, Debug)]
pub struct Lanes {
    /// Those under way, each in a lane of its own.
    pub under_way: u8,
    /// Of these, those that have statements to run, at least one; the others wait for the disk.
    pub at_work: u8,
}

/// The right to have statements to run.
pub type AtWork = OwnedSemaphorePermit;

/// The way into one database.
#[derive(Clone)]
pub struct Groups {
    waiting: mpsc::Sender<Waiting>,
    more: Arc<Notify>,
}

/// A postback that waits for its answer.
struct Waiting {
    record: Record,
    answer: oneshot::Sender<Result<Recorded, StoreError>>,
}

impl Groups {
    /// Begins to take postbacks, which are recorded in so many transactions at once.
    pub fn start(core: Arc<Core>, lanes: Lanes) -> Groups {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        let more = Arc::new(Notify::new());
        let work = Work {
            first: Arc::new(Semaphore::new(1)),
            further: Arc::new(Semaphore::new(lanes.at_work.saturating_sub(1).into())),
            more: Arc::clone(&more),
        };
        tokio::spawn(form_groups(core, lanes, work, taken));
        Groups { waiting, more }
    }

    /// Whether postbacks wait for their group now.
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
        self.more.notify_one();
        answered.await.map_err(|error| gone(error.to_string()))?
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups").finish_non_exhaustive()
    }
}

async fn form_groups(core: Arc<Core>, lanes: Lanes, work: Work, mut taken: mpsc::Receiver<Waiting>) {
    let (back, mut free) = mpsc::unbounded_channel();
    for number in 0..lanes.under_way {
        drop(Busy { lane: Lane { number: number.into(), of: lanes.under_way.into() }, back: back.clone() });
    }
    let mut group = Vec::new();
    // The lane first: what comes while none is free makes the group larger.
    while let Some(lane) = free.recv().await {
        let busy = Busy { lane, back: back.clone() };
        let Some(at_work) = work.begin(&taken).await else { return };
        if taken.recv_many(&mut group, GROUP_MAX).await == 0 {
            return;
        }
        let core = Arc::clone(&core);
        let group = std::mem::take(&mut group);
        tokio::spawn(async move {
            record(&core, busy.lane, at_work, group).await;
            drop(busy);
        });
    }
}

/// Who may have statements to run.
struct Work {
    first: Arc<Semaphore>,
    further: Arc<Semaphore>,
    /// Hears of everyone who has come.
    more: Arc<Notify>,
}

impl Work {
    /// Waits until a group may go to work: none is, or there is room beside it and reason enough.
    async fn begin<T>(&self, waiting: &mpsc::Receiver<T>) -> Option<AtWork> {
        let late = tokio::time::sleep(AT_WORK_MAX);
        tokio::pin!(late);
        let mut is_late = false;
        loop {
            let is_worth_while = waiting.len() >= if is_late { 1 } else { FURTHER_GROUP_MIN };
            tokio::select! {
                biased;
                first = Arc::clone(&self.first).acquire_owned() => return first.ok(),
                further = Arc::clone(&self.further).acquire_owned(), if is_worth_while => return further.ok(),
                () = self.more.notified() => {}
                () = &mut late, if !is_late => is_late = true,
            }
        }
    }
}

/// A lane that is used, and free again in the end, however that comes.
struct Busy {
    lane: Lane,
    back: mpsc::UnboundedSender<Lane>,
}

impl Drop for Busy {
    fn drop(&mut self) {
        // Nobody takes it any more when the store is closing.
        let _ = self.back.send(self.lane);
    }
}

/// Records a group and answers each of it. When the database refuses the whole for one bad row, its halves are recorded one after
/// the other, and so on, so that it costs nobody but its sender, and the others little time.
async fn record(core: &Core, lane: Lane, at_work: AtWork, group: Vec<Waiting>) {
    let mut groups = vec![group];
    let mut at_work = Some(at_work);
    // The last is the next: what came first is recorded first.
    while let Some(mut group) = groups.pop() {
        // Nobody waits for those any more whose channel is closed; their senders will send them again.
        group.retain(|waiting| !waiting.answer.is_closed());
        if group.is_empty() {
            continue;
        }
        let records = group.iter().map(|waiting| waiting.record.clone()).collect();
        match core.record(records, lane, at_work.take()).await {
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

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn work() -> (Work, mpsc::Sender<()>, mpsc::Receiver<()>) {
        let (waiting, taken) = mpsc::channel(WAITING_MAX);
        let [first, further] = [1, 1].map(|permits| Arc::new(Semaphore::new(permits)));
        (Work { first, further, more: Arc::new(Notify::new()) }, waiting, taken)
    }

    fn come(work: &Work, waiting: &mpsc::Sender<()>, count: usize) {
        for _ in 0..count {
            waiting.try_send(()).unwrap();
            work.more.notify_one();
        }
    }

    #[tokio::test]
    async fn a_further_group_goes_to_work_when_enough_has_come() {
        let (work, waiting, taken) = work();
        let first = work.begin(&taken).now_or_never().flatten().expect("nobody is at work");
        come(&work, &waiting, FURTHER_GROUP_MIN - 1);
        assert!(work.begin(&taken).now_or_never().is_none(), "too few for another");
        come(&work, &waiting, 1);
        let further = work.begin(&taken).now_or_never().flatten().expect("enough for another");
        come(&work, &waiting, FURTHER_GROUP_MIN);
        assert!(work.begin(&taken).now_or_never().is_none(), "no room for a third");
        drop(first);
        assert!(work.begin(&taken).now_or_never().flatten().is_some());
        drop(further);
    }

    #[tokio::test]
    async fn room_that_comes_free_is_taken_though_nobody_else_comes() {
        let (work, waiting, taken) = work();
        let first = work.begin(&taken).await.unwrap();
        come(&work, &waiting, FURTHER_GROUP_MIN);
        let further = work.begin(&taken).await.unwrap();
        // One that comes while both are at work, and is told of before it is late.
        let mut third = Box::pin(work.begin(&taken));
        assert!(third.as_mut().now_or_never().is_none());
        tokio::time::sleep(AT_WORK_MAX.saturating_mul(2)).await;
        assert!(third.as_mut().now_or_never().is_none());
        drop(further);
        assert!(third.now_or_never().flatten().is_some());
        drop(first);
    }

    #[tokio::test]
    async fn whoever_has_come_is_not_kept_behind_one_that_takes_long() {
        let (work, waiting, taken) = work();
        let first = work.begin(&taken).await.unwrap();
        let late = tokio::time::timeout(AT_WORK_MAX.saturating_mul(2), work.begin(&taken)).await;
        assert!(late.is_err(), "there is nothing to begin with");
        come(&work, &waiting, 1);
        let further = tokio::time::timeout(AT_WORK_MAX.saturating_mul(50), work.begin(&taken)).await.unwrap();
        assert!(further.is_some());
        drop((first, further));
    }
}
