//! Delivery while the sender waits: an attempt or two, then the queue. Three seconds in all, whatever the origin does, and a
//! 200 only for what is stored or what the queue holds (R18, R19).

use crate::config::Config;
use crate::delivery::attempt::{Failure, FailureKind, Outcome, attempt};
use crate::delivery::breaker;
use crate::delivery::outgoing::{Draft, Purpose, forwarded};
use crate::delivery::parcel::Parcel;
use crate::platform::exchange::{Answer, Reply};
use crate::platform::{Bindings, now, random_bytes, wait_ms};
use postback::partner::Partner;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::sync::atomic::{AtomicI64, Ordering};
use worker::worker_sys::Context;

/// The queue's binding.
pub const QUEUE: &str = "POSTBACKS";

/// How long the origin may take for headers and body, in milliseconds.
const ATTEMPT_MS_MAX: i64 = 2_000;
/// How long the queue may take, in milliseconds.
const ENQUEUE_MS_MAX: u32 = 800;
/// By when the sender has its answer, in milliseconds from when its request had arrived.
const ANSWER_MS_MAX: i64 = 3_000;
/// An attempt that failed sooner than this, in milliseconds, leaves time for another.
const QUICK_MS_MAX: i64 = 300;
/// The pause before the other attempt, in milliseconds, and what chance adds to it at most.
const PAUSE_MS: (u32, u32) = (50, 100);
/// Deliveries for which one more attempt may be made: at most one in ten, so that an origin in trouble is not asked twice by
/// everybody.
const DELIVERIES_FOR_ONE_MORE: i64 = 10;
/// Further attempts that may have been saved up.
const SAVED_UP_MAX: i64 = 10;

/// What a sender can be told.
#[derive(Debug)]
pub enum Delivered {
    /// The origin's acknowledged answer.
    Answered(Verdict, Answer),
    /// The queue holds the postback; why the origin does not.
    Queued(Failure),
    /// Neither is proved.
    Neither(String),
}

/// A delivery and how many attempts were made at the origin.
#[derive(Debug)]
pub struct Delivery {
    /// What came of it.
    pub delivered: Delivered,
    /// Attempts at the origin; none while the breaker is open.
    pub attempts: u32,
}

/// Delivers a postback whose request had arrived, body and all, at `began_ms` (Unix milliseconds):
///
/// (1) the first origin that the breakers admit is asked, 2 s long
/// (2) a failure within 300 ms to reach it leaves time for one more attempt, at the fallback where there is one
/// (3) what no origin acknowledged goes to the queue
pub async fn deliver(
    config: &Config,
    bindings: &Bindings,
    context: &Context,
    partner: &Partner,
    parcel: &Parcel,
    began_ms: i64,
) -> Delivery {
    let origins = config.origins.of(partner);
    let mut attempts = 0;
    let mut failure =
        Failure { kind: FailureKind::Connection, reason: "the breaker is open".to_owned(), retry_after_s: None };
    save_up();
    let draft = match forwarded(partner, parcel, Purpose::Store) {
        Ok(draft) => draft,
        Err(problem) => return queued(bindings, context, parcel, Failure::ours(problem), attempts).await,
    };
    // (1)
    let admits = |origin: &String, at: Timestamp| breaker::with(origin, |breaker| breaker.admits(at.unix_ms()));
    let asked = now();
    if let Some(origin) = origins.iter().find(|origin| admits(origin, asked)) {
        attempts = 1;
        match ask(config, context, origin, &draft, began_ms, asked).await {
            Ok((verdict, answer)) => return Delivery { delivered: Delivered::Answered(verdict, answer), attempts },
            Err(first) => {
                let took_ms = now().unix_ms().saturating_sub(asked.unix_ms());
                failure = first;
                // (2)
                let other = another(origins, origin, failure.kind).filter(|_| took_ms < QUICK_MS_MAX);
                if let Some(other) = other
                    && spend()
                    && admits(other, now())
                {
                    wait_ms(pause_ms()).await;
                    attempts = 2;
                    match ask(config, context, other, &draft, began_ms, now()).await {
                        Ok((verdict, answer)) => {
                            return Delivery { delivered: Delivered::Answered(verdict, answer), attempts };
                        }
                        Err(second) => failure = second,
                    }
                }
            }
        }
    }
    // (3)
    queued(bindings, context, parcel, failure, attempts).await
}

/// Puts a postback into the queue that no origin acknowledged.
async fn queued(bindings: &Bindings, context: &Context, parcel: &Parcel, failure: Failure, attempts: u32) -> Delivery {
    let delivered = match enqueue(bindings, context, parcel).await {
        Ok(()) => Delivered::Queued(failure),
        Err(problem) => Delivered::Neither(format!("{}; queue: {problem}", failure.reason)),
    };
    Delivery { delivered, attempts }
}

/// One attempt from `asked` on, within what is left of the time, of which the breaker learns.
async fn ask(
    config: &Config,
    context: &Context,
    origin: &str,
    draft: &Draft<'_>,
    began_ms: i64,
    asked: Timestamp,
) -> Result<(Verdict, Answer), Failure> {
    let spent_ms = asked.unix_ms().saturating_sub(began_ms);
    let left_ms = ANSWER_MS_MAX.saturating_sub(i64::from(ENQUEUE_MS_MAX)).saturating_sub(spent_ms);
    let timeout_ms = u32::try_from(left_ms.min(ATTEMPT_MS_MAX)).unwrap_or(0).max(1);
    match attempt(config, origin, draft, Reply::Head(context), timeout_ms, asked.unix_s()).await {
        Outcome::Acknowledged(verdict, answer) => {
            breaker::with(origin, breaker::Breaker::succeeded);
            if verdict == Verdict::Rejected { Err(Failure::misread(&answer)) } else { Ok((verdict, answer)) }
        }
        Outcome::Failed(failure) => {
            // An attempt that was given less than its time says nothing about the way.
            let is_cut_short = failure.kind == FailureKind::TimedOut && left_ms < ATTEMPT_MS_MAX;
            if failure.kind.is_of_the_way() && !is_cut_short {
                breaker::with(origin, |breaker| breaker.failed(now().unix_ms()));
            } else if failure.kind.has_reached_the_origin() {
                breaker::with(origin, breaker::Breaker::succeeded);
            }
            Err(failure)
        }
    }
}

/// Where one more attempt makes sense: at the next origin in order, after whatever shows that this one cannot be had; at the
/// same again, only where nobody was reached.
fn another<'o>(origins: &'o [String], tried: &str, kind: FailureKind) -> Option<&'o String> {
    let next = origins.iter().skip_while(|origin| *origin != tried).nth(1);
    match kind {
        FailureKind::Connection => next.or_else(|| origins.iter().find(|origin| *origin == tried)),
        FailureKind::Foreign
        | FailureKind::Unserved
        | FailureKind::NotBelieved
        | FailureKind::Busy
        | FailureKind::Misread => next,
        FailureKind::TimedOut | FailureKind::Ours => None,
    }
}

/// Puts a parcel into the queue; when this returns, the queue holds it.
///
/// # Errors
/// For our log. The queue may hold it or not, which the event's id makes harmless.
async fn enqueue(bindings: &Bindings, context: &Context, parcel: &Parcel) -> Result<(), String> {
    let queue = bindings.queue(QUEUE).ok_or("no queue is bound to POSTBACKS")?;
    queue.send(Some(context), [parcel.to_message()?], ENQUEUE_MS_MAX).await
}

/// This isolate's allowance of further attempts, in deliveries.
static SAVED: AtomicI64 = AtomicI64::new(0);

fn save_up() {
    let most = DELIVERIES_FOR_ONE_MORE.saturating_mul(SAVED_UP_MAX);
    let saved = SAVED.load(Ordering::Relaxed).saturating_add(1).min(most);
    SAVED.store(saved, Ordering::Relaxed);
}

fn spend() -> bool {
    let saved = SAVED.load(Ordering::Relaxed);
    if saved < DELIVERIES_FOR_ONE_MORE {
        return false;
    }
    SAVED.store(saved.saturating_sub(DELIVERIES_FOR_ONE_MORE), Ordering::Relaxed);
    true
}

fn pause_ms() -> u32 {
    let (least, spread) = PAUSE_MS;
    let chance = random_bytes().ok().and_then(|bytes| bytes.first().copied()).unwrap_or(0);
    least.saturating_add(u32::from(chance).saturating_mul(spread) >> 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_attempt_goes_to_the_fallback_where_there_is_one() {
        let two = ["http://a".to_owned(), "http://b".to_owned()];
        let one = &two[..1];
        let at = |origins: &[String], tried, kind| another(origins, tried, kind).cloned();
        assert_eq!(at(&two, "http://a", FailureKind::Connection).as_deref(), Some("http://b"));
        assert_eq!(at(&two, "http://a", FailureKind::Foreign).as_deref(), Some("http://b"));
        assert_eq!(at(&two, "http://b", FailureKind::Foreign), None);
        assert_eq!(at(&two, "http://b", FailureKind::Connection).as_deref(), Some("http://b"));
        assert_eq!(at(one, "http://a", FailureKind::Connection).as_deref(), Some("http://a"));
        assert_eq!(at(one, "http://a", FailureKind::Foreign), None);
        assert_eq!(at(&two, "http://a", FailureKind::TimedOut), None, "it took too long");
    }

    #[test]
    fn at_most_one_delivery_in_ten_gets_one_more() {
        let granted = (0..1_000)
            .filter(|_| {
                save_up();
                spend()
            })
            .count();
        assert_eq!(granted, 100);
    }
}
