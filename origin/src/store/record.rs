//! What goes into a store, and what comes of it.

#![deny(clippy::disallowed_methods)]

use postback::click::Click;
use postback::id::Nonce;
use postback::reading::Reading;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use serde::Deserialize;

/// One postback with everything that is written down about it.
#[derive(Clone, Debug)]
pub struct Record {
    /// The receipt's own name, of which there is no second: what entered the database by this receipt is known by it.
    pub receipt_id: Nonce,
    /// What it says.
    pub reading: Reading,
    /// How it came.
    pub receipt: Receipt,
    /// The origin's clock.
    pub now: Timestamp,
}

/// A request as it was received, secrets taken out (R46).
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The name of the request in logs and replies. Attempts to deliver one postback share it.
    pub request_id: String,
    /// When it reached us: the edge, or the origin where it came directly.
    pub received_at: Timestamp,
    /// Why the sender was believed.
    pub auth_mode: String,
    /// The key that it was signed with, or the token that it came with, by name.
    pub key_id: Option<String>,
    /// The sender's address.
    pub client_ip: Option<String>,
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers that identify sender and signature, as a JSON object.
    pub headers: serde_json::Value,
    /// The body's type.
    pub content_type: Option<String>,
    /// The body.
    pub body: Option<String>,
    /// The signature's nonce, to be spent.
    pub nonce: Option<Nonce>,
}

impl Receipt {
    /// Whether it was erased (R63): then it has none of these any more, and every other has some.
    pub fn is_erased(&self) -> bool {
        self.headers.as_object().is_some_and(serde_json::Map::is_empty)
            && self.body.is_none()
            && self.client_ip.is_none()
            && !self.target.contains('?')
    }
}

/// A rejected request.
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The receipt's own name, of which there is no second.
    pub receipt_id: Nonce,
    /// How it arrived.
    pub receipt: Receipt,
    /// Who received it.
    pub via: Via,
    /// Whether the request passed authentication. Of one that did not, every id is unverified.
    pub is_authenticated: bool,
    /// The error code of the reply.
    pub code: String,
    /// The field at fault, in the sender's words, where it is one.
    pub field: Option<String>,
    /// The HTTP status of the reply.
    pub status: u16,
    /// The version of the partner's rules that rejected it.
    pub rules: String,
    /// The ids that could be read.
    pub ids: RejectedIds,
}

/// Who received a request from its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The origin.
    Direct,
    /// The edge.
    Edge,
}

impl Via {
    /// The name in the database, in metrics and in answers.
    pub const fn name(self) -> &'static str {
        match self {
            Via::Direct => "direct",
            Via::Edge => "edge",
        }
    }

    /// The way of a name.
    pub fn parse(name: &str) -> Option<Via> {
        [Via::Direct, Via::Edge].into_iter().find(|via| via.name() == name)
    }
}

/// The ids of a rejected request, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct RejectedIds {
    /// The sender's id of the event.
    pub event_id: Option<String>,
    /// The conversion.
    pub conversion_id: Option<String>,
    /// The order.
    pub order_id: Option<String>,
    /// The click.
    pub click_id: Option<String>,
    /// The account.
    pub account_id: Option<String>,
}

impl RejectedIds {
    /// No id could be read.
    pub const NONE: RejectedIds =
        RejectedIds { event_id: None, conversion_id: None, order_id: None, click_id: None, account_id: None };
}

/// A report of the edge.
#[derive(Clone, Debug)]
pub struct EdgeReport {
    /// Rejected requests. One that is stored already is left alone.
    pub rejected: Vec<Rejected>,
    /// Counts. Those of a batch that was added already are left alone.
    pub outcomes: Vec<EdgeOutcome>,
    /// The report's own name, of which there is no second.
    pub receipt_id: Nonce,
    /// The origin's clock.
    pub now: Timestamp,
}

/// How often a request or a delivery of the edge ended in an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EdgeOutcome {
    /// The batch of counts.
    pub batch_id: String,
    /// What is counted: `requests`, `deliveries` or `rejections`.
    pub kind: String,
    /// The outcome.
    pub outcome: String,
    /// How often.
    pub count: u64,
}

/// What recording came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Committed with this verdict.
    As(Verdict),
    /// The nonce had been spent: nothing was written.
    Replayed,
}

/// A batch of clicks, as the edge delivered it.
#[derive(Clone, Debug)]
pub struct ClickBatch {
    /// The clicks.
    pub clicks: Vec<Click>,
    /// The signature's nonce, to be spent.
    pub nonce: Nonce,
    /// The receipt's own name, of which there is no second.
    pub receipt_id: Nonce,
    /// The origin's clock.
    pub now: Timestamp,
}

/// What recording a batch of clicks came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedClicks {
    /// Committed.
    As {
        /// How many were new.
        stored: u64,
        /// How many were there already.
        known: u64,
    },
    /// The nonce had been spent: nothing was written.
    Replayed,
}
