//! Requests as tasks that JavaScript drives: a task runs until it has to wait for a promise and hands that out; `src/entry.js` awaits it
//! and proceeds with what came of it. The executor of wasm-bindgen does the same for any future, with closures and promises of
//! its own for each that is awaited, which cost a request more than all of its work does.
//!
//! A task waits for one promise at a time, so this is for what happens in sequence. Batches of a queue, which deliver many
//! messages at once, are left to wasm-bindgen's executor: [`settled`] serves both.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use wasm_bindgen::prelude::*;
use worker::js_sys::Promise;
use worker::wasm_bindgen_futures::JsFuture;

/// A task that was not proceeded with for so long is forgotten, in milliseconds: its request was given up by the platform, which
/// tells nobody. Requests take seconds; an operator's call, which asks many origins one after the other, may take minutes.
const FORGOTTEN_MS: i64 = 900_000;
/// Tasks that are looked at, each time one begins, for whether they are forgotten.
const LOOKED_AT: usize = 4;

/// What a task comes to: a value for JavaScript, or an error to throw.
pub type Outcome = Result<JsValue, JsValue>;

struct Task {
    work: Pin<Box<dyn Future<Output = Outcome>>>,
    began_ms: i64,
}

/// What passes between a task that is polled and its driver.
enum Handover {
    /// No task is polled.
    Nobody,
    /// A task is polled.
    Polled,
    /// It has to wait for this.
    Waits(Promise),
    /// What came of the promise that it waited for.
    Settled(Outcome),
}

thread_local! {
    /// Tasks that wait, by the names that JavaScript gave them, in the order in which they began.
    static TASKS: RefCell<BTreeMap<u32, Task>> = const { RefCell::new(BTreeMap::new()) };
    static HANDOVER: RefCell<Handover> = const { RefCell::new(Handover::Nobody) };
}

/// Begins a task under a name that no other has. Answers a promise when it has to wait, or else what it came to.
///
/// # Errors
/// What the work ended with.
pub fn begin(id: u32, now_ms: i64, work: impl Future<Output = Outcome> + 'static) -> Outcome {
    forget(now_ms);
    run(id, Task { work: Box::pin(work), began_ms: now_ms }, Handover::Polled)
}

/// Goes on with a task whose promise is settled. Answers as [`begin`] does, and undefined for a name that no task has: it was
/// forgotten, or was another instance's.
///
/// # Errors
/// What the work ended with.
pub fn proceed(id: u32, settled: Outcome) -> Outcome {
    match TASKS.with_borrow_mut(|tasks| tasks.remove(&id)) {
        Some(task) => run(id, task, Handover::Settled(settled)),
        None => Ok(JsValue::UNDEFINED),
    }
}

fn run(id: u32, mut task: Task, handover: Handover) -> Outcome {
    HANDOVER.set(handover);
    let polled = task.work.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    match (polled, HANDOVER.replace(Handover::Nobody)) {
        (Poll::Ready(outcome), _) => outcome,
        (Poll::Pending, Handover::Waits(promise)) => {
            TASKS.with_borrow_mut(|tasks| tasks.insert(id, task));
            Ok(promise.into())
        }
        (Poll::Pending, Handover::Nobody | Handover::Polled | Handover::Settled(_)) => {
            Err(JsValue::from_str("a task waits for nothing"))
        }
    }
}

/// Forgets tasks that nobody will proceed with.
fn forget(now_ms: i64) {
    TASKS.with_borrow_mut(|tasks| {
        for _ in 0..LOOKED_AT {
            match tasks.first_entry() {
                Some(oldest) if now_ms.saturating_sub(oldest.get().began_ms) > FORGOTTEN_MS => drop(oldest.remove()),
                _ => break,
            }
        }
    });
}

/// What comes of a promise.
///
/// # Errors
/// What it was rejected with.
pub async fn settled(promise: Promise) -> Outcome {
    let is_driven = HANDOVER.with_borrow(|handover| !matches!(handover, Handover::Nobody));
    if is_driven { Wait(Some(promise)).await } else { JsFuture::from(promise).await }
}

/// The wait for a promise, in a task.
struct Wait(Option<Promise>);

impl Future for Wait {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome> {
        if let Some(promise) = self.0.take() {
            HANDOVER.set(Handover::Waits(promise));
            return Poll::Pending;
        }
        match HANDOVER.replace(Handover::Polled) {
            Handover::Settled(outcome) => Poll::Ready(outcome),
            // Whoever polls without an outcome is told again that it waits for nothing.
            Handover::Nobody | Handover::Polled | Handover::Waits(_) => Poll::Pending,
        }
    }
}
