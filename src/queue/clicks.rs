//! Delivery of clicks: those of a batch together, each partner's in a request of its own (R30).

use crate::config::Config;
use crate::delivery::attempt::Failure;
use crate::delivery::outgoing::{Draft, Prefer};
use crate::delivery::unhurried::at_any_origin;
use crate::parked::cause::Cause;
use crate::platform::exchange::Answer;
use crate::platform::queue::Message;
use crate::platform::{Bindings, now, random_bytes};
use crate::queue::item::Item;
use crate::queue::portion::portions;
use crate::queue::settle::{Step, settle};
use postback::click::{Click, batch_id};
use postback::id::Nonce;
use postback::limits::CLICKS_MAX;
use postback::partner::Partner;
use postback::verdict::Verdict;
use serde::Serialize;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes of the clicks in one request: the origin takes 512 KiB.
const CLICKS_BYTES_MAX: usize = 240 * 1024;

/// A message, and the click that it holds.
struct Waiting {
    message: Message,
    item: Item,
}

impl Waiting {
    fn click(&self) -> Option<&Click> {
        match &self.item {
            Item::Click(clicked) => Some(&clicked.click),
            Item::Postback(_) => None,
        }
    }
}

/// Delivers a batch.
pub async fn deliver_all(config: &Config, bindings: &Bindings, messages: Vec<Message>) {
    let began = now();
    let mut by_partner: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
    for message in messages {
        match Item::from_message(&message.text) {
            Ok(item @ Item::Click(_)) => {
                by_partner.entry(item.partner().to_owned()).or_default().push(Waiting { message, item });
            }
            Ok(item @ Item::Postback(_)) => {
                let step = Step::Park(Cause::Unreadable, "no click, in the queue of clicks".to_owned());
                settle(config, bindings, &message, Some(&item), step, began).await;
            }
            Err(problem) => {
                settle(config, bindings, &message, None, Step::Park(Cause::Unreadable, problem), began).await;
            }
        }
    }
    for (code, waiting) in by_partner {
        for together in portions(waiting, CLICKS_MAX, CLICKS_BYTES_MAX, |one| one.message.text.len()) {
            deliver(config, bindings, &code, together).await;
        }
    }
}

/// Delivers one partner's clicks. Where the origin refuses them together, each is tried alone: one that cannot be read must
/// not keep the others.
async fn deliver(config: &Config, bindings: &Bindings, code: &str, together: Vec<Waiting>) {
    let result = send(config, code, &together).await;
    if matches!(result, Ok((Verdict::Conflict | Verdict::Rejected, _))) && together.len() > 1 {
        for alone in together {
            let alone = vec![alone];
            let result = send(config, code, &alone).await;
            settle_all(config, bindings, &alone, &result).await;
        }
    } else {
        settle_all(config, bindings, &together, &result).await;
    }
}

/// What came of a request: the origin's verdict and answer, or why there are none.
type Sent = Result<(Verdict, Answer), NotSent>;

enum NotSent {
    Failed(Failure),
    UnknownPartner,
}

async fn settle_all(config: &Config, bindings: &Bindings, waiting: &[Waiting], result: &Sent) {
    let began = now();
    for Waiting { message, item } in waiting {
        let step = match result {
            Ok((verdict, answer)) => Step::acknowledged(*verdict, answer),
            Err(NotSent::UnknownPartner) => {
                Step::Park(Cause::UnknownPartner, "this edge has no such partner".to_owned())
            }
            Err(NotSent::Failed(failure)) => Step::after(config, item, message.attempt, failure.clone()),
        };
        settle(config, bindings, message, Some(item), step, began).await;
    }
}

async fn send(config: &Config, code: &str, waiting: &[Waiting]) -> Sent {
    let partner = config.registry.by_code(code).ok_or(NotSent::UnknownPartner)?;
    send_to(config, partner, waiting).await.map_err(NotSent::Failed)
}

async fn send_to(config: &Config, partner: &Partner, waiting: &[Waiting]) -> Result<(Verdict, Answer), Failure> {
    #[derive(Serialize)]
    struct Body<'a> {
        clicks: Vec<&'a Click>,
    }
    let body = Body { clicks: waiting.iter().filter_map(Waiting::click).collect() };
    let body = serde_json::to_string(&body).map_err(|_| Failure::ours("clicks cannot be written"))?;
    let event_id = batch_id(&body).ok_or_else(|| Failure::ours("a batch without a name"))?;
    let request_id = random_bytes().map(Nonce::from_bytes).map_err(Failure::ours)?;
    let path = format!("/clicks/{}", partner.code);
    let draft = Draft {
        method: "POST",
        path: path.clone(),
        query: Cow::Borrowed(""),
        body: Some(body),
        event_id: &event_id,
        received_at: now().to_string(),
        auth: "edge",
        client_ip: "unknown",
        original_target: &path,
        request_id: &request_id,
        accept: "application/json",
        prefer: Prefer::Minimal,
    };
    at_any_origin(config, partner, &draft).await
}
