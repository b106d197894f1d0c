//! What waits in Cloudflare's queues: postbacks that no origin acknowledged, and clicks and reports, which are delivered in batches. Each
//! message is settled for itself, exactly once: it is done with, or comes again after its delay, or is parked. No message
//! makes another fail, and nothing in here can panic: a panic would end every request of the isolate (R19).

#![deny(clippy::disallowed_methods)]

pub mod item;
pub mod portion;
pub mod settle;
pub mod postbacks;
pub mod batches;
pub mod counts;
pub mod dead_letters;

use crate::config::Config;
use crate::platform::Bindings;
use crate::platform::queue::Message;
use batches::Kind;

/// Hands a batch to the consumer of its queue. Queues are named alike in every environment but for what stands in front.
///
/// Returns the requests whose postbacks have left the queue.
pub async fn consume(config: &'static Config, bindings: Bindings, queue: &str, messages: Vec<Message>) -> Vec<String> {
    if queue.ends_with("-dead-letters") {
        return dead_letters::park_all(config, &bindings, messages).await;
    } else if queue.ends_with("-clicks") {
        batches::deliver_all(config, &bindings, Kind::Clicks, messages).await;
    } else if queue.ends_with("-rejections") {
        batches::deliver_all(config, &bindings, Kind::Reports, messages).await;
    } else {
        return postbacks::deliver_all(config, bindings, messages).await;
    }
    Vec::new()
}
