//! What the platform gave up: messages that could neither be delivered nor parked at the end of the schedule. A dead-letter
//! queue forgets, so they are written into the table of what is parked at once.

use crate::config::Config;
use crate::parked::cause::Cause;
use crate::platform::queue::Message;
use crate::platform::{Bindings, now};
use crate::queue::item::Item;
use crate::queue::settle::{Step, settle};

/// Parks every message. Returns the requests whose postbacks have left the queue.
pub async fn park_all(config: &Config, bindings: &Bindings, messages: Vec<Message>) -> Vec<String> {
    let mut done = Vec::new();
    for message in messages {
        let began = now();
        let (item, step) = match Item::from_message(&message.text) {
            Ok(item) => (Some(item), Step::Park(Cause::Exhausted, "came out of the dead-letter queue".to_owned())),
            Err(problem) => (None, Step::Park(Cause::Unreadable, problem)),
        };
        done.extend(item.as_ref().filter(|item| matches!(item, Item::Postback(_))).map(|item| item.name().to_owned()));
        settle(config, bindings, &message, item.as_ref(), step, began).await;
    }
    done
}
