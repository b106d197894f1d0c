//! Delivery of what travels in batches: clicks, and reports of the edge. Those of a queue's batch together, each partner's in a request of
//! its own.

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
use postback::click::batch_id;
use postback::edge_report::{REJECTIONS_MAX, report_id};
use postback::id::{EventId, Nonce};
use postback::limits::{CLICKS_MAX, FORWARDED_BODY_BYTES_MAX};
use postback::partner::Partner;
use postback::verdict::Verdict;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Bytes of the items in one request, whose names and brackets need some room beside. An item that is larger goes alone.
const BYTES_MAX: usize = FORWARDED_BODY_BYTES_MAX / 2;

/// What a queue holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Clicks.
    Clicks,
    /// Rejected requests and counts.
    Reports,
}

impl Kind {
    /// The origin's path, in front of a partner's code.
    const fn path(self) -> &'static str {
        match self {
            Kind::Clicks => "/clicks/",
            Kind::Reports => "/rejections/",
        }
    }

    /// Items in one request.
    const fn items_max(self) -> usize {
        match self {
            Kind::Clicks => CLICKS_MAX,
            Kind::Reports => REJECTIONS_MAX,
        }
    }

    /// The id of a request, by its body.
    fn id(self, body: &str) -> Option<EventId> {
        match self {
            Kind::Clicks => batch_id(body),
            Kind::Reports => report_id(body),
        }
    }

    /// The list of a request that an item belongs into, and the item as JSON. None where the item is of another queue.
    fn member(self, item: &Item) -> Option<(&'static str, Result<String, serde_json::Error>)> {
        match (self, item) {
            (Kind::Clicks, Item::Click(clicked)) => Some(("clicks", serde_json::to_string(&clicked.click))),
            (Kind::Reports, Item::Report(reported)) => match (&reported.rejection, &reported.outcomes) {
                (Some(request), _) => Some(("rejections", serde_json::to_string(request))),
                (None, Some(batch)) => Some(("outcomes", serde_json::to_string(batch))),
                (None, None) => None,
            },
            (Kind::Clicks | Kind::Reports, Item::Postback(_) | Item::Click(_) | Item::Report(_)) => None,
        }
    }
}

/// A message, and the item that it holds.
struct Waiting {
    message: Message,
    item: Item,
    /// The list of a request that the item belongs into.
    list: &'static str,
    /// The item as it stands in a request.
    json: String,
}

/// Delivers a batch.
pub async fn deliver_all(config: &Config, bindings: &Bindings, kind: Kind, messages: Vec<Message>) {
    let began = now();
    let mut by_partner: BTreeMap<String, Vec<Waiting>> = BTreeMap::new();
    for message in messages {
        let item = match Item::from_message(&message.text) {
            Ok(item) => item,
            Err(problem) => {
                settle(config, bindings, &message, None, Step::Park(Cause::Unreadable, problem), began).await;
                continue;
            }
        };
        match kind.member(&item) {
            Some((list, Ok(json))) => {
                by_partner.entry(item.partner().to_owned()).or_default().push(Waiting { message, item, list, json });
            }
            Some((_, Err(_))) | None => {
                let step = Step::Park(Cause::Unreadable, "nothing that belongs into this queue".to_owned());
                settle(config, bindings, &message, Some(&item), step, began).await;
            }
        }
    }
    for (code, waiting) in by_partner {
        for together in portions(waiting, kind.items_max(), BYTES_MAX, |one| one.json.len()) {
            deliver(config, bindings, kind, &code, together).await;
        }
    }
}

/// Delivers one partner's items. Where the origin refuses them together, each is tried alone: one that cannot be read must not keep the
/// others.
async fn deliver(config: &Config, bindings: &Bindings, kind: Kind, code: &str, together: Vec<Waiting>) {
    let result = send(config, kind, code, &together).await;
    if matches!(result, Ok((Verdict::Conflict | Verdict::Rejected, _))) && together.len() > 1 {
        for alone in together {
            let alone = vec![alone];
            let result = send(config, kind, code, &alone).await;
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
    for Waiting { message, item, .. } in waiting {
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

async fn send(config: &Config, kind: Kind, code: &str, waiting: &[Waiting]) -> Sent {
    let partner = config.registry.by_code(code).ok_or(NotSent::UnknownPartner)?;
    send_to(config, kind, partner, waiting).await.map_err(NotSent::Failed)
}

async fn send_to(
    config: &Config,
    kind: Kind,
    partner: &Partner,
    waiting: &[Waiting],
) -> Result<(Verdict, Answer), Failure> {
    let body = body(waiting);
    let event_id = kind.id(&body).ok_or_else(|| Failure::ours("a batch without a name"))?;
    let request_id = random_bytes().map(Nonce::from_bytes).map_err(Failure::ours)?;
    let path = format!("{}{}", kind.path(), partner.code);
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

/// The items in the lists that they belong into: an object of lists, in JSON.
fn body(waiting: &[Waiting]) -> String {
    let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for Waiting { list, json, .. } in waiting {
        lists.entry(list).or_default().push(json);
    }
    let lists = lists.into_iter().map(|(list, items)| format!("\"{list}\":[{}]", items.join(",")));
    format!("{{{}}}", lists.collect::<Vec<_>>().join(","))
}
