//! Delivery of what the queue holds. Each message is settled for itself, exactly once: it is done with, or comes again after
//! its delay, or is parked. No message makes another fail, and nothing in here can panic: a panic would end every request
//! of the isolate (R19).

use crate::config::Config;
use crate::delivery::attempt::{Failure, FailureKind, Outcome, attempt};
use crate::delivery::breaker;
use crate::delivery::outgoing::{Purpose, forwarded};
use crate::delivery::parcel::Parcel;
use crate::log::{self, Level, Line};
use crate::parked::cause::Cause;
use crate::parked::table::{GivenUp, Table};
use crate::platform::exchange::{Answer, Reply};
use crate::platform::queue::{Message, all};
use crate::platform::{Bindings, now};
use postback::partner::Partner;
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// How long the origin may take, in milliseconds: nobody waits.
const ATTEMPT_MS_MAX: u32 = 5_000;
/// The delay after which the queue brings a message again that could not be parked, in seconds.
const PARK_AGAIN_S: u32 = 60;

/// What came of a message.
#[derive(Debug)]
enum Step {
    /// The origin has it.
    Delivered(Verdict),
    /// Once more after this many seconds.
    Retry(u32, Failure),
    /// No automatic attempt will help.
    Park(Cause, String),
}

/// Delivers a batch: one message first, and if its way is broken, the others are not even tried.
pub async fn postbacks(config: &'static Config, bindings: Bindings, messages: Vec<Message>) {
    let mut messages = messages.into_iter();
    let Some(first) = messages.next() else { return };
    let is_way_broken = deliver(config, &bindings, &first).await;
    let others = messages.map(|message| {
        let bindings = bindings.clone();
        async move {
            if is_way_broken {
                untried(config, &bindings, &message).await;
            } else {
                deliver(config, &bindings, &message).await;
            }
        }
    });
    all(others.collect()).await;
}

/// Delivers one message and settles it. Answers whether the way to the origin turned out to be broken.
async fn deliver(config: &Config, bindings: &Bindings, message: &Message) -> bool {
    let began = now();
    match Parcel::from_message(&message.text) {
        Ok(parcel) => {
            let step = step(config, &parcel, message.attempt).await;
            let is_way_broken = matches!(&step, Step::Retry(_, failure) if failure.kind.is_of_the_way());
            settle(bindings, message, Some(&parcel), step, began).await;
            is_way_broken
        }
        Err(problem) => {
            settle(bindings, message, None, Step::Park(Cause::Unreadable, problem), began).await;
            false
        }
    }
}

/// A message behind one whose way was broken.
async fn untried(config: &Config, bindings: &Bindings, message: &Message) {
    let began = now();
    let failure = Failure {
        kind: FailureKind::Connection,
        reason: "not tried: the way to the origin was broken a moment ago".to_owned(),
        retry_after_s: None,
    };
    let parcel = Parcel::from_message(&message.text).ok();
    let step = parcel.as_ref().map(|parcel| after(config, parcel, message.attempt, failure));
    match step {
        Some(step @ Step::Retry(..)) => settle(bindings, message, parcel.as_ref(), step, began).await,
        // The last attempt is made whatever was a moment ago, and what cannot be read needs no way.
        Some(Step::Delivered(_) | Step::Park(..)) | None => {
            deliver(config, bindings, message).await;
        }
    }
}

/// One attempt at each of the partner's origins until one acknowledges.
async fn step(config: &Config, parcel: &Parcel, attempt_number: u32) -> Step {
    let Some(partner) = parcel.partner(&config.registry) else {
        return Step::Park(Cause::UnknownPartner, "this edge has no such partner".to_owned());
    };
    match at_any_origin(config, partner, parcel).await {
        Ok((verdict, answer)) => match verdict {
            Verdict::Created | Verdict::Duplicate | Verdict::Revised => Step::Delivered(verdict),
            Verdict::Conflict | Verdict::Rejected => {
                Step::Park(Cause::Refused, format!("status {}: {}", answer.status, answer.body))
            }
        },
        Err(failure) => after(config, parcel, attempt_number, failure),
    }
}

async fn at_any_origin(config: &Config, partner: &Partner, parcel: &Parcel) -> Result<(Verdict, Answer), Failure> {
    let draft = forwarded(partner, parcel, Purpose::Store);
    let mut first_failure = None;
    for origin in config.origins.of(partner) {
        match attempt(config, origin, &draft, Reply::Body, ATTEMPT_MS_MAX, now().unix_s()).await {
            Outcome::Acknowledged(verdict, answer) => {
                breaker::with(origin, breaker::Breaker::succeeded);
                return Ok((verdict, answer));
            }
            Outcome::Failed(failure) => {
                first_failure.get_or_insert(failure);
            }
        }
    }
    let none =
        || Failure { kind: FailureKind::Ours, reason: "no origin is configured".to_owned(), retry_after_s: None };
    Err(first_failure.unwrap_or_else(none))
}

/// What follows a failed attempt: the schedule, or its end.
fn after(config: &Config, parcel: &Parcel, attempt_number: u32, failure: Failure) -> Step {
    let name = parcel.request_id.as_str();
    match config.schedule.delay_s_at_least(attempt_number, name, failure.retry_after_s) {
        Some(delay_s) => Step::Retry(delay_s, failure),
        None => Step::Park(Cause::Exhausted, failure.reason),
    }
}

/// Settles a message and writes its log line.
async fn settle(bindings: &Bindings, message: &Message, parcel: Option<&Parcel>, step: Step, began: Timestamp) {
    let name = parcel.map_or(message.id.as_str(), |parcel| parcel.request_id.as_str());
    let (settled, level, text, outcome, reason) = match step {
        Step::Delivered(verdict) => {
            let noted = note_delivered(bindings, parcel).await;
            (message.ack(), Level::Info, "postback delivered from the queue", verdict.name(), noted.err())
        }
        Step::Retry(delay_s, failure) => {
            let level = match failure.kind {
                // Our own key or clock is wrong, and will be until somebody mends it.
                FailureKind::NotBelieved | FailureKind::Ours => Level::Error,
                FailureKind::Connection | FailureKind::TimedOut | FailureKind::Foreign | FailureKind::Busy => {
                    Level::Warn
                }
            };
            let reason = format!("{}; again in {delay_s} s", failure.reason);
            (message.retry(delay_s), level, "postback stays in the queue", "retry", Some(reason))
        }
        Step::Park(cause, detail) => {
            let attempts = message.attempt;
            let given_up = GivenUp { name, parcel, message: &message.text, cause, detail: &detail, attempts };
            let (settled, reason) = match park(bindings, &given_up).await {
                Ok(()) => (message.ack(), format!("{}: {detail}", cause.name())),
                // Behind the schedule's end the platform moves it to the dead-letter queue, which parks it again and again.
                Err(problem) => {
                    (message.retry(PARK_AGAIN_S), format!("{}: {detail}; not parked: {problem}", cause.name()))
                }
            };
            (settled, Level::Error, "postback parked", "parked", Some(reason))
        }
    };
    // A message that could not be settled comes again, which its event's id makes harmless.
    let reason = [reason, settled.err()].into_iter().flatten().collect::<Vec<_>>().join("; ");
    let line = Line {
        level,
        partner: parcel.map(|parcel| parcel.partner.as_str()),
        event_id: parcel.map(|parcel| parcel.event_id.as_str()),
        reason: Some(reason.as_str()).filter(|reason| !reason.is_empty()),
        attempt: Some(message.attempt),
        ..Line::of(text, name, outcome, now().unix_ms().saturating_sub(began.unix_ms()))
    };
    log::write(&line);
}

async fn note_delivered(bindings: &Bindings, parcel: Option<&Parcel>) -> Result<(), String> {
    match parcel {
        Some(parcel) if parcel.replays > 0 => {
            let table = Table::open(bindings).await?;
            table.delivered(parcel.request_id.as_str(), now()).await
        }
        Some(_) | None => Ok(()),
    }
}

async fn park(bindings: &Bindings, given_up: &GivenUp<'_>) -> Result<(), String> {
    Table::open(bindings).await?.park(given_up, now()).await
}

/// Parks what the platform gave up: messages that this consumer could neither deliver nor park itself.
pub async fn dead_letters(bindings: Bindings, messages: Vec<Message>) {
    for message in messages {
        let began = now();
        let (parcel, step) = match Parcel::from_message(&message.text) {
            Ok(parcel) => (Some(parcel), Step::Park(Cause::Exhausted, "came out of the dead-letter queue".to_owned())),
            Err(problem) => (None, Step::Park(Cause::Unreadable, problem)),
        };
        settle(&bindings, &message, parcel.as_ref(), step, began).await;
    }
}
