//! What operators can ask of the edge, each with a token of their own: the parked and the queued postbacks, how many there are, and whether all of
//! the way to the origins works. Every call leaves a line in the log that names the operator.

mod parked;
mod queued;
mod smoke;
mod metrics;

use crate::config::Config;
use crate::error::Error;
use crate::guard::limits;
use crate::log::{self, Level, Line};
use crate::platform::incoming::{Incoming, Part};
use crate::platform::response::Reply;
use crate::platform::{Bindings, now};
use crate::reply;
use postback::id::Nonce;
use postback::reply::Format;
use postback::time::Timestamp;

/// Stands where senders have an endpoint, when failures are counted.
const ENDPOINT: &str = "ops";

/// What an operation came to: its reply, and what the log is told.
struct Operated {
    reply: Reply,
    reason: String,
}

/// A failure of an operation, with what the log is told.
struct Failed {
    error: Error,
    reason: String,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed { error, reason: String::new() }
    }
}

/// Something that should be there is not: the queue, the table.
fn unavailable(problem: String) -> Failed {
    Failed { error: Error::Unavailable, reason: problem }
}

/// Does what an operator asks:
///
/// (1) the operator did not fail too often lately ... 429
/// (2) the token is an operator's ................... 403
/// (3) there is such an operation ................... 404, 405
pub async fn operate(
    config: &Config,
    bindings: &Bindings,
    incoming: &Incoming,
    operation: &str,
    request_id: &Nonce,
    began: Timestamp,
) -> Reply {
    let address = incoming.part(Part::ConnectingIp).unwrap_or("unknown");
    let answer = |failed: Failed, operator: Option<&str>| {
        let reply = reply::failed(&failed.error, Format::Json, request_id, None);
        let code = failed.error.failure().code;
        note(request_id, operator, code, reply.status, &failed.reason, Level::Warn, began);
        reply
    };
    // (1)
    if limits::is_shut_out(ENDPOINT, address, began.unix_ms()) {
        return answer(Error::TooMany.into(), None);
    }
    // (2)
    let bearer = incoming.part(Part::Authorization).and_then(|value| value.split_once(' '));
    let token = bearer.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim());
    let Some(operator) = token.and_then(|token| config.secrets.operator_tokens.owner_of(token, began.unix_s())) else {
        limits::count_failure(bindings, ENDPOINT, address, now().unix_ms()).await;
        return answer(Error::Unproven.into(), None);
    };
    // (3)
    let query = incoming.target().split_once('?').map_or("", |(_, query)| query);
    let operated = match (operation, incoming.method()) {
        ("parked", "GET") => parked::list(bindings, query, request_id).await,
        ("parked", _) => Err(Error::MethodNotAllowed { allow: "GET" }.into()),
        ("parked/replay", "POST") => parked::replay(bindings, query, request_id).await,
        ("parked/replay", _) => Err(Error::MethodNotAllowed { allow: "POST" }.into()),
        ("queued", "GET") => queued::list(bindings, query, request_id).await,
        ("queued", _) => Err(Error::MethodNotAllowed { allow: "GET" }.into()),
        ("metrics", "GET") => metrics::metrics(bindings, request_id).await,
        ("metrics", _) => Err(Error::MethodNotAllowed { allow: "GET" }.into()),
        ("smoke", "POST") => smoke::smoke(config, bindings, query, request_id).await,
        ("smoke", _) => Err(Error::MethodNotAllowed { allow: "POST" }.into()),
        (other, method) => match (other.strip_prefix("parked/"), method) {
            (Some(name), "GET") => parked::show(bindings, name, request_id).await,
            (Some(_), _) => Err(Error::MethodNotAllowed { allow: "GET" }.into()),
            (None, _) => Err(Error::OperationNotFound.into()),
        },
    };
    match operated {
        Ok(Operated { reply, reason }) => {
            note(request_id, Some(operator), operation, reply.status, &reason, Level::Info, began);
            reply
        }
        Err(failed) => answer(failed, Some(operator)),
    }
}

fn note(
    request_id: &Nonce,
    operator: Option<&str>,
    outcome: &str,
    status: u16,
    reason: &str,
    level: Level,
    began: Timestamp,
) {
    log::write(&Line {
        level,
        operator,
        status: Some(status),
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        ..Line::of("operation", request_id.as_str(), outcome, reply::since(began))
    });
}
