//! Counts of how requests and deliveries end, for Prometheus. An isolate counts in memory, and sends its counts to the origin through the
//! queue of reports a few seconds later, behind a reply. An isolate that the platform evicts before that loses those seconds.

use crate::log::{self, Level, Line};
use crate::platform::{Bindings, in_background, now, random_bytes, wait_ms};
use crate::queue::item::{REJECTIONS, Reported};
use postback::edge_report::{OutcomeBatch, OutcomeCount, OutcomeKind};
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

/// One series and its count.
struct Series {
    partner: String,
    kind: OutcomeKind,
    outcome: &'static str,
    count: u64,
}

/// What was counted since the last flush: a few dozen series, because outcomes are words of ours.
static COUNTS: Mutex<Vec<Series>> = Mutex::new(Vec::new());
/// When a flush was scheduled, in Unix milliseconds; 0 where none is.
static SCHEDULED_MS: AtomicI64 = AtomicI64::new(0);

/// Adds to the count of an outcome.
pub fn count(partner: &str, kind: OutcomeKind, outcome: &'static str, count: u64) {
    let mut counts = COUNTS.lock().unwrap_or_else(PoisonError::into_inner);
    let is_it = |series: &&mut Series| series.outcome == outcome && series.kind == kind && series.partner == partner;
    match counts.iter_mut().find(is_it) {
        Some(series) => series.count = series.count.saturating_add(count),
        None => counts.push(Series { partner: partner.to_owned(), kind, outcome, count }),
    }
}

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

/// Sends all counts to the queue. Where the queue does not take them they are added to what is counted meanwhile.
async fn flush(bindings: &Bindings) {
    let taken = std::mem::take(&mut *COUNTS.lock().unwrap_or_else(PoisonError::into_inner));
    if taken.is_empty() {
        return;
    }
    if let Err(problem) = send(bindings, &taken).await {
        let name = Nonce::from_bytes([0; 16]);
        let line = Line::of("counts of outcomes were not sent", name.as_str(), "failed", 0);
        log::write(&Line { level: Level::Warn, reason: Some(&problem), ..line });
        taken.into_iter().for_each(|series| count(&series.partner, series.kind, series.outcome, series.count));
    }
}

async fn send(bindings: &Bindings, taken: &[Series]) -> Result<(), String> {
    let queue = bindings.queue(REJECTIONS).ok_or("no queue is bound to REJECTIONS")?;
    let mut by_partner: BTreeMap<&str, Vec<OutcomeCount>> = BTreeMap::new();
    for Series { partner, kind, outcome, count } in taken {
        let counts = by_partner.entry(partner).or_default();
        counts.push(OutcomeCount { kind: *kind, outcome: (*outcome).to_owned(), count: *count });
    }
    let counted_at = now();
    let mut messages = Vec::with_capacity(by_partner.len());
    for (partner, counts) in by_partner {
        let batch_id = random_bytes().map(Nonce::from_bytes)?.to_string();
        messages.push(Reported::outcomes(partner, counted_at, OutcomeBatch { batch_id, counts }).to_message()?);
    }
    queue.send(None, messages, ENQUEUE_MS_MAX).await
}
