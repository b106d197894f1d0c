//! Delivery of postbacks that waited.

use crate::config::Config;
use crate::delivery::attempt::{Failure, FailureKind};
use crate::delivery::outgoing::{Purpose, forwarded};
use crate::delivery::unhurried::at_any_origin;
use crate::parked::cause::Cause;
use crate::platform::queue::{Message, all};
use crate::platform::{Bindings, now};
use crate::queue::item::Item;
use crate::queue::settle::{Step, settle};
use postback::verdict::Verdict;
use std::cell::RefCell;
use std::rc::Rc;

/// Delivers a batch: one message first, and if its way is broken, those of the same way are not even tried. Returns the requests whose
/// postbacks have left the queue.
pub async fn deliver_all(config: &'static Config, bindings: Bindings, messages: Vec<Message>) -> Vec<String> {
    let done = Done::default();
    let mut messages = messages.into_iter();
    let Some(first) = messages.next() else { return Vec::new() };
    let broken = if deliver(config, &bindings, &first, &done).await { way_of(config, &first) } else { None };
    let others = messages.map(|message| {
        let (bindings, done) = (bindings.clone(), Rc::clone(&done));
        async move {
            if broken.is_some() && way_of(config, &message) == broken {
                put_off(config, &bindings, &message, &done).await;
            } else {
                deliver(config, &bindings, &message, &done).await;
            }
        }
    });
    all(others.collect()).await;
    done.take()
}

/// The requests whose postbacks have left the queue.
type Done = Rc<RefCell<Vec<String>>>;

/// The origins that a message goes to.
fn way_of<'c>(config: &'c Config, message: &Message) -> Option<&'c [String]> {
    let item = Item::from_message(&message.text).ok()?;
    config.registry.by_code(item.partner()).map(|partner| config.origins.of(partner))
}

/// Delivers one message and settles it. Answers whether the way to the origin turned out to be broken.
async fn deliver(config: &Config, bindings: &Bindings, message: &Message, done: &Done) -> bool {
    let began = now();
    let (item, step) = match Item::from_message(&message.text) {
        Ok(item) => {
            let step = step(config, &item, message.attempt).await;
            (Some(item), step)
        }
        Err(problem) => (None, Step::Park(Cause::Unreadable, problem)),
    };
    let is_way_broken = step.is_way_broken();
    if let (Some(item), Step::Delivered(_) | Step::Park(..)) = (&item, &step) {
        done.borrow_mut().push(item.name().to_owned());
    }
    settle(config, bindings, message, item.as_ref(), step, began).await;
    is_way_broken
}

/// Puts off a message behind one whose way was broken.
async fn put_off(config: &Config, bindings: &Bindings, message: &Message, done: &Done) {
    let began = now();
    let failure = Failure {
        kind: FailureKind::Connection,
        reason: "not tried: the way to the origin was broken a moment ago".to_owned(),
        retry_after_s: None,
    };
    let item = Item::from_message(&message.text).ok();
    let step = item.as_ref().map(|item| Step::after(config, item, message.attempt, failure));
    match step {
        Some(step @ Step::Retry(..)) => settle(config, bindings, message, item.as_ref(), step, began).await,
        // The last attempt is made whatever was a moment ago, and what cannot be read needs no way.
        Some(Step::Delivered(_) | Step::Park(..)) | None => {
            deliver(config, bindings, message, done).await;
        }
    }
}

async fn step(config: &Config, item: &Item, attempt_number: u32) -> Step {
    let Item::Postback(parcel) = item else {
        return Step::Park(Cause::Unreadable, "no postback, in the queue of postbacks".to_owned());
    };
    let Some(partner) = parcel.partner(&config.registry) else {
        return Step::Park(Cause::UnknownPartner, "this edge has no such partner, or it is switched off".to_owned());
    };
    let delivered = match forwarded(partner, parcel, Purpose::Store) {
        Ok(draft) => at_any_origin(config, partner, &draft).await,
        Err(problem) => Err(Failure::ours(problem)),
    };
    match delivered {
        Ok((Verdict::Rejected, answer)) => Step::after(config, item, attempt_number, Failure::misread(&answer)),
        Ok((verdict, answer)) => Step::acknowledged(verdict, &answer),
        Err(failure) => Step::after(config, item, attempt_number, failure),
    }
}
