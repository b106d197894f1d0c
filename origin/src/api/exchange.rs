//! What every request about a partner's data ends in, whatever it asks for: a reply, an acknowledgement where the edge is
//! to be told, and one log line.

use super::error::Error;
use super::reply;
use crate::app::App;
use crate::metrics::{Answered, Kind};
use crate::verify::{self, FromEdge};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use postback::acknowledgement::acknowledge;
use postback::id::Nonce;
use postback::message_signature::header;
use postback::partner::Partner;
use postback::reply::Format;
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// A request and its reply, from the moment the request is there.
pub struct Exchange<'a> {
    pub app: &'a App,
    pub now: Timestamp,
    /// Our name of the request.
    pub own_id: String,
    partner: Option<&'a Partner>,
    format: Format,
    via: &'static str,
    /// Of a success, no more than its acknowledgement is wanted (RFC 7240).
    is_minimal: bool,
}

/// What a request came to where nothing failed.
pub trait Outcome {
    /// What these are counted as.
    const KIND: Kind;
    /// What the log says of these.
    const WORDS: Words;

    /// What the edge calls the request by, and is acknowledged.
    fn event_id(&self) -> &str;

    /// What became of it.
    fn verdict(&self) -> Verdict;

    /// The reply.
    fn response(&self, format: Format, request_id: &str) -> Response;
}

/// The messages of log lines about one kind of request.
pub struct Words {
    pub done: &'static str,
    /// It may work later, or is our mistake.
    pub failed: &'static str,
    /// It cannot work.
    pub refused: &'static str,
}

/// What came of a request, and what a signed caller's acknowledgement needs.
pub struct Served<T> {
    pub result: Result<T, Error>,
    /// The request's name, where it is neither ours nor the edge's.
    pub request_id: Option<String>,
    pub acknowledged_to: Option<Signer>,
}

impl<T> From<Error> for Served<T> {
    fn from(error: Error) -> Self {
        Served { result: Err(error), request_id: None, acknowledged_to: None }
    }
}

/// The caller's signature, to be answered.
pub struct Signer {
    key_id: String,
    /// When the key was found in force, in Unix seconds.
    verified_at_s: i64,
    nonce: Nonce,
    event_id: String,
    /// The edge's name of the request, or ours where it gives none.
    pub request_id: String,
}

impl<'a> Exchange<'a> {
    /// Begins with a request about a partner's data, where the path names a partner.
    pub fn begin(app: &'a App, parts: &Parts, partner: Option<&'a Partner>) -> Exchange<'a> {
        let accept = parts.headers.get("accept").and_then(|value| value.to_str().ok());
        Exchange {
            app,
            now: (app.platform.now)(),
            own_id: app.request_id(),
            partner,
            format: Format::negotiate(partner.map(|partner| partner.reply), accept),
            is_minimal: parts.headers.get(header::PREFER).is_some_and(|value| value == header::RETURN_MINIMAL),
            via: if verify::is_signed_by_edge(&parts.headers) { "edge" } else { "direct" },
        }
    }

    /// The same of a path that is the edge's alone, which reads JSON.
    pub fn begin_with_edge(app: &'a App, parts: &Parts, partner: Option<&'a Partner>) -> Exchange<'a> {
        Exchange { format: Format::Json, ..Exchange::begin(app, parts, partner) }
    }

    /// Whom an acknowledgement of the edge's request is for.
    pub fn signer(&self, edge: &FromEdge<'_>, parts: &Parts) -> Signer {
        Signer {
            key_id: edge.verified.key_id.clone(),
            verified_at_s: self.now.unix_s(),
            nonce: edge.verified.nonce.clone(),
            event_id: edge.claims.event_id.to_owned(),
            request_id: named_by_edge(&parts.headers).map_or_else(|| self.own_id.clone(), |id| id.to_string()),
        }
    }

    /// Ends with what came of it: the reply, and one line in the log (R21).
    pub fn end<T: Outcome>(&self, served: &Served<T>) -> Response {
        let by_edge = served.acknowledged_to.as_ref().map(|signer| signer.request_id.as_str());
        let request_id = served.request_id.as_deref().or(by_edge).unwrap_or(&self.own_id);
        let mut response = match &served.result {
            Ok(outcome) => outcome.response(self.format, request_id),
            Err(error) => reply::failure(error, self.format, request_id, None),
        };
        if let (Some(signer), Some(verdict)) = (&served.acknowledged_to, served.settled())
            && let Ok(key) = self.app.config.edge_keys.get(&signer.key_id, signer.verified_at_s)
        {
            let value = acknowledge(key, &signer.event_id, verdict, &signer.nonce);
            reply::set(&mut response, header::ACK, &value);
            if self.is_minimal && response.status() == StatusCode::OK {
                reply::minimise(&mut response);
            }
        }
        let ended = (self.app.platform.now)();
        self.count(served, ended);
        self.log(served, request_id, response.status().as_u16(), ended);
        response
    }

    fn count<T: Outcome>(&self, served: &Served<T>, ended: Timestamp) {
        let outcome = match &served.result {
            Ok(outcome) => outcome.verdict().name(),
            Err(error) => error.failure().code,
        };
        let partner = self.partner.map(|partner| partner.code.as_str());
        let (kind, via, began) = (T::KIND, self.via, self.now);
        self.app.metrics.answered(&Answered { kind, partner, via, outcome, began, ended });
    }

    fn log<T: Outcome>(&self, served: &Served<T>, request_id: &str, status: u16, ended: Timestamp) {
        let duration_ms = ended.unix_ms().saturating_sub(self.now.unix_ms());
        let (via, partner) = (self.via, self.partner.map_or("-", |partner| partner.code.as_str()));
        let Words { done, failed, refused } = T::WORDS;
        match &served.result {
            Ok(done_as) => {
                let (event_id, outcome) = (done_as.event_id(), done_as.verdict().name());
                tracing::info!(request_id, partner, via, event_id, outcome, status, duration_ms, "{done}");
            }
            Err(error) => {
                let (outcome, reason) = (error.failure().code, error.reason());
                if status >= 500 {
                    tracing::error!(request_id, partner, via, outcome, reason, status, duration_ms, "{failed}");
                } else {
                    tracing::warn!(request_id, partner, via, outcome, reason, status, duration_ms, "{refused}");
                }
            }
        }
    }
}

impl<T: Outcome> Served<T> {
    /// What the edge is told about the event: only what is settled. A 503 or a replay settles nothing.
    fn settled(&self) -> Option<Verdict> {
        match &self.result {
            Ok(outcome) => Some(outcome.verdict()),
            Err(error) => error.failure().verdict,
        }
    }
}

/// The edge's name of the request, which a signed caller may give; otherwise ours.
fn named_by_edge(headers: &HeaderMap) -> Option<Nonce> {
    Nonce::parse(headers.get(header::REQUEST_ID)?.to_str().ok()?)
}
