//! How a message ends, for this time: exactly one of done, again, parked; and one line in the log.

use crate::config::Config;
use crate::delivery::attempt::{Failure, FailureKind};
use crate::log::{self, Level, Line};
use crate::outcomes;
use crate::parked::cause::Cause;
use crate::parked::table::{GivenUp, Table};
use crate::platform::exchange::Answer;
use crate::platform::queue::Message;
use crate::platform::{Bindings, now};
use crate::queue::item::Item;
use postback::edge_report::OutcomeKind;
use postback::retry::Schedule;
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// The longest delay after which the queue brings a message again that could not be parked, in seconds.
const PARK_AGAIN_S: u32 = 3_600;

/// What is to become of a message.
#[derive(Debug)]
pub enum Step {
    /// The origin has it.
    Delivered(Verdict),
    /// Once more after this many seconds.
    Retry(u32, Failure),
    /// No automatic attempt will help.
    Park(Cause, String),
}

impl Step {
    /// What follows an acknowledged answer.
    pub fn acknowledged(verdict: Verdict, answer: &Answer) -> Step {
        match verdict {
            Verdict::Created | Verdict::Duplicate | Verdict::Revised => Step::Delivered(verdict),
            Verdict::Conflict | Verdict::Rejected => {
                Step::Park(Cause::Refused, format!("status {}: {}", answer.status, answer.body))
            }
        }
    }

    /// What follows a failed attempt: the schedule, or its end.
    pub fn after(config: &Config, item: &Item, attempt: u32, failure: Failure) -> Step {
        match config.schedule.delay_s_at_least(attempt, item.name(), failure.retry_after_s) {
            Some(delay_s) => Step::Retry(delay_s, failure),
            None if failure.kind == FailureKind::Misread => Step::Park(Cause::VersionSkew, failure.reason),
            None => Step::Park(Cause::Exhausted, failure.reason),
        }
    }

    /// Whether it says that the way to the origin is broken.
    pub fn is_way_broken(&self) -> bool {
        matches!(self, Step::Retry(_, failure) if failure.kind.is_of_the_way())
    }
}

/// What a message was read into; None where it cannot be read.
pub type Read<'a> = Option<&'a Item>;

/// Settles a message, of which reading came to `item`.
pub async fn settle(
    config: &Config,
    bindings: &Bindings,
    message: &Message,
    item: Read<'_>,
    step: Step,
    began: Timestamp,
) {
    let name = item.map_or(message.id.as_str(), Item::name);
    count(item, &step);
    let (settled, level, text, outcome, reason) = match step {
        Step::Delivered(verdict) => {
            let noted = note_delivered(bindings, item).await;
            (message.ack(), Level::Info, "delivered from the queue", verdict.name(), noted.err())
        }
        Step::Retry(delay_s, failure) => {
            let level = if failure.kind.is_our_fault() { Level::Error } else { Level::Warn };
            let reason = format!("{}; again in {delay_s} s", failure.reason);
            (message.retry(delay_s), level, "stays in the queue", "retry", Some(reason))
        }
        // An operator could do nothing with a parked batch of counts.
        Step::Park(cause, detail) if matches!(item, Some(Item::Report(reported)) if reported.rejection.is_none()) => {
            let reason = format!("{}: {detail}", cause.name());
            (message.ack(), Level::Warn, "counts of outcomes were dropped", "dropped", Some(reason))
        }
        Step::Park(cause, detail) => {
            let attempts = message.attempt;
            let given_up = GivenUp { name, item, message: &message.text, cause, detail: &detail, attempts };
            let reason = format!("{}: {detail}", cause.name());
            let (settled, reason) = match park(bindings, &given_up).await {
                Ok(()) => (message.ack(), reason),
                // Behind the schedule's end the platform moves it to the dead letters, where this is tried again by the same
                // schedule: a table that is away for days costs nothing.
                Err(problem) => {
                    let delay_s = config.schedule.delay_s(attempts, name).unwrap_or(PARK_AGAIN_S);
                    (message.retry(delay_s), format!("{reason}; not parked: {problem}; again in {delay_s} s"))
                }
            };
            (settled, Level::Error, "parked", "parked", Some(reason))
        }
    };
    let partner = item.map(Item::partner);
    let is_wanted = partner.and_then(|code| config.registry.by_code(code)).is_none_or(|partner| partner.enable_logging);
    // The origin's log has a line for each report.
    let is_report = matches!(item, Some(Item::Report(_)));
    if (!is_wanted || is_report) && level == Level::Info {
        return;
    }
    // A message that could not be settled comes again, which its name makes harmless.
    let reason = [reason, settled.err()].into_iter().flatten().collect::<Vec<_>>().join("; ");
    log::write(&Line {
        level,
        partner,
        event_id: item.and_then(Item::event_id),
        reason: Some(reason.as_str()).filter(|reason| !reason.is_empty()),
        attempt: Some(message.attempt),
        ..Line::of(text, name, outcome, now().unix_ms().saturating_sub(began.unix_ms()))
    });
}

/// Counts how a postback or a click ends; reports are what carries the counts.
fn count(item: Read<'_>, step: &Step) {
    let Some(item @ (Item::Postback(_) | Item::Click(_))) = item else { return };
    let outcome = match step {
        Step::Delivered(_) => "delivered",
        Step::Retry(_, failure) if failure.kind == FailureKind::Misread => "version_skew",
        Step::Retry(..) => "retried",
        Step::Park(..) => "parked",
    };
    outcomes::count(item.partner(), OutcomeKind::Deliveries, outcome, 1);
}

/// Puts messages off by the standard schedule, without a look at them.
pub fn put_off_all(messages: &[Message]) {
    let schedule = Schedule::standard();
    for message in messages {
        let delay_s = schedule.delay_s(message.attempt, &message.id).unwrap_or(PARK_AGAIN_S);
        // One that cannot be put off comes again at once.
        let _ = message.retry(delay_s);
    }
}

async fn note_delivered(bindings: &Bindings, item: Read<'_>) -> Result<(), String> {
    match item {
        Some(item) if item.replays() > 0 => Table::open(bindings).await?.delivered(item.name(), now()).await,
        Some(_) | None => Ok(()),
    }
}

async fn park(bindings: &Bindings, given_up: &GivenUp<'_>) -> Result<(), String> {
    Table::open(bindings).await?.park(given_up, now()).await
}
