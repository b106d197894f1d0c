//! What goes into a store, and what comes of it.

#![deny(clippy::disallowed_methods)]

use postback::click::Click;
use postback::id::Nonce;
use postback::reading::Reading;
use postback::rejection::Code;
use postback::time::Timestamp;
use postback::verdict::Verdict;

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

/// A request of a believed sender that could not be read (R46).
#[derive(Clone, Debug)]
pub struct Rejected {
    /// The receipt's own name, of which there is no second.
    pub receipt_id: Nonce,
    /// How it came.
    pub receipt: Receipt,
    /// What is wrong with it.
    pub code: Code,
    /// The field that is at fault, in the sender's words, where it is one.
    pub field: Option<String>,
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
