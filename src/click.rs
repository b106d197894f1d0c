//! The redirector (R30): a visitor clicks, gets an id that nobody can guess, and is sent on to the offer's landing page, whose
//! address comes from the partner's file alone. The click itself goes into a queue: no origin can delay a visitor.

use crate::config::Config;
use crate::error::Error;
use crate::log::{self, Level, Line};
use crate::platform::incoming::{Incoming, Part};
use crate::platform::response::Reply;
use crate::platform::{Bindings, random_bytes};
use crate::queue::item::{CLICKS, Clicked};
use crate::reply;
use postback::click::{Click, ClickId, ClickQuery, Visitor};
use postback::id::Nonce;
use postback::limits::TARGET_BYTES_MAX;
use postback::reply::Format;
use postback::time::Timestamp;
use worker::worker_sys::Context;

/// How long the queue may take, in milliseconds: a visitor is waiting.
const ENQUEUE_MS_MAX: u32 = 300;

/// The reply to a click on an offer's link:
///
/// (1) the offer is known ................. 404
/// (2) the link is within limits .......... 414
/// (3) the click is in the queue; a visitor is sent on even if it is not
/// (4) the landing page is named .......... 302; HEAD gets the same and leaves no click
pub async fn redirect(
    config: &Config,
    bindings: &Bindings,
    context: &Context,
    incoming: &Incoming,
    offer_code: &str,
    request_id: &Nonce,
    now: Timestamp,
) -> Reply {
    let refused = |error: Error| {
        let reply = reply::failed(&error, Format::Json, request_id, None);
        let line = Line::of("click refused", request_id.as_str(), error.failure().code, reply::since(now));
        log::write(&Line { level: Level::Warn, status: Some(reply.status), ..line });
        reply
    };
    // (1)
    let Some((partner, offer)) = config.registry.offer(offer_code) else { return refused(Error::OfferNotFound) };
    // (2)
    let target = incoming.target();
    if target.len() > TARGET_BYTES_MAX {
        return refused(Error::UrlTooLong);
    }
    let Ok(random) = random_bytes() else { return refused(Error::Unavailable) };
    let query = ClickQuery::read(target.split_once('?').map_or("", |(_, query)| query));
    let visitor = Visitor {
        referrer: incoming.part(Part::Referer),
        user_agent: incoming.part(Part::UserAgent),
        country: incoming.part(Part::Country),
        purpose: incoming.part(Part::Purpose),
    };
    let click = Click::read(ClickId::new(now, random), now, offer_code, &query, &visitor);
    let location = offer.landing_url(&click, &query);
    // (3)
    let is_recorded = incoming.method() == "GET";
    let queued =
        if is_recorded { enqueue(bindings, context, Clicked::new(&partner.code, click)).await } else { Ok(()) };
    // (4)
    let mut reply = reply::empty(request_id);
    reply.status = 302;
    reply.headers.push(("location", location));
    if partner.enable_logging || queued.is_err() {
        log::write(&Line {
            level: if queued.is_ok() { Level::Info } else { Level::Error },
            partner: Some(&partner.code),
            reason: queued.as_ref().err().map(String::as_str),
            status: Some(reply.status),
            ..Line::of(
                if queued.is_ok() { "click sent on" } else { "click sent on and perhaps lost" },
                request_id.as_str(),
                if is_recorded { "click" } else { "probe" },
                reply::since(now),
            )
        });
    }
    reply
}

async fn enqueue(bindings: &Bindings, context: &Context, clicked: Clicked) -> Result<(), String> {
    let queue = bindings.queue(CLICKS).ok_or("no queue is bound to CLICKS")?;
    queue.send(Some(context), [clicked.to_message()?], ENQUEUE_MS_MAX).await
}
