//! Sending the counts of an isolate to the origin, through the queue of reports: a few seconds behind a reply, and at the end of each batch. An
//! isolate that the platform evicts before that loses those seconds.

use crate::log::{self, Level, Line};
use crate::outcomes::{self, Series};
use crate::platform::{Bindings, in_background, now, random_bytes, wait_ms};
use crate::queue::item::{REJECTIONS, Reported};
use postback::edge_report::{OutcomeBatch, OutcomeCount};
use postback::id::Nonce;
use postback::time::Timestamp;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use worker::worker_sys::Context;

/// Milliseconds between the first count and its flush: within 10 s with what the queue adds.
const FLUSH_MS: u32 = 4_000;
/// A flush that was scheduled so many milliseconds ago and did not happen was canceled with its request: another is scheduled.
const CANCELED_MS: i64 = 40_000;
/// How long the queue may take, in milliseconds.
const ENQUEUE_MS_MAX: u32 = 10_000;

/// When a flush was scheduled, in Unix milliseconds; 0 where none is.
static SCHEDULED_MS: AtomicI64 = AtomicI64::new(0);
/// Messages that the queue did not acknowledge. It may hold them all the same, so they are sent again as they are: a batch counts once.
static PENDING: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// Messages that are kept for another try: what the queue takes at once.
const PENDING_MAX: usize = 100;

/// Schedules a flush behind the reply, unless one is scheduled.
pub fn flush_later(bindings: &Bindings, context: &Context, now: Timestamp) {
    let now_ms = now.unix_ms();
    if now_ms.saturating_sub(SCHEDULED_MS.load(Ordering::Relaxed)) < CANCELED_MS {
        return;
    }
    SCHEDULED_MS.store(now_ms, Ordering::Relaxed);
    let bindings = bindings.clone();
    in_background(context, async move {
        wait_ms(FLUSH_MS).await;
        SCHEDULED_MS.store(0, Ordering::Relaxed);
        flush(&bindings).await;
    });
}

/// Sends all counts to the queue. What the queue does not acknowledge is sent again with the next ones.
pub async fn flush(bindings: &Bindings) {
    let taken = outcomes::take();
    let mut messages = std::mem::take(&mut *PENDING.lock().unwrap_or_else(PoisonError::into_inner));
    let problem = match messages_of(&taken) {
        Ok(new) => {
            messages.extend(new);
            None
        }
        Err(problem) => {
            let again = |series: Series| outcomes::count(&series.partner, series.kind, series.outcome, series.count);
            taken.into_iter().for_each(again);
            Some(problem)
        }
    };
    let problem = match messages.is_empty() {
        true => problem,
        false => match send(bindings, &messages).await {
            Ok(()) => {
                messages.clear();
                problem
            }
            Err(not_sent) => Some(not_sent),
        },
    };
    let Some(problem) = problem else { return };
    let name = Nonce::from_bytes([0; 16]);
    let line = Line::of("counts of outcomes were not sent", name.as_str(), "failed", 0);
    log::write(&Line { level: Level::Warn, reason: Some(&problem), ..line });
    let mut pending = PENDING.lock().unwrap_or_else(PoisonError::into_inner);
    pending.extend(messages);
    let over = pending.len().saturating_sub(PENDING_MAX);
    pending.drain(..over);
}

/// A message for each partner.
fn messages_of(taken: &[Series]) -> Result<Vec<String>, String> {
    let mut by_partner: BTreeMap<&str, Vec<OutcomeCount>> = BTreeMap::new();
    for Series { partner, kind, outcome, count } in taken {
        let counts = by_partner.entry(partner).or_default();
        counts.push(OutcomeCount { kind: *kind, outcome: (*outcome).to_owned(), count: *count });
    }
    let counted_at = now();
    let message = |(partner, counts)| {
        let batch_id = random_bytes().map(Nonce::from_bytes)?.to_string();
        Reported::outcomes(partner, counted_at, OutcomeBatch { batch_id, counts }).to_message()
    };
    by_partner.into_iter().map(message).collect()
}

async fn send(bindings: &Bindings, messages: &[String]) -> Result<(), String> {
    let queue = bindings.queue(REJECTIONS).ok_or("no queue is bound to REJECTIONS")?;
    queue.send(None, messages.iter().cloned(), ENQUEUE_MS_MAX).await
}
