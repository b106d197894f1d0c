//! Who changed what (R59): an entry for each change, in the transaction that makes it.

use postback::id::Nonce;
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};

/// A change to be noted.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its name, of which there is no second: what it changes bears that name, and an entry is made where something does.
    pub id: Nonce,
    /// When.
    pub at: Timestamp,
    /// Who: a person at a command line, or an origin by itself.
    pub actor: String,
}

/// An entry of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Its number.
    pub audit_id: i64,
    /// When, in Unix seconds.
    pub at_s: i64,
    /// Who.
    pub actor: String,
    /// What was done, such as `token.create`.
    pub action: String,
    /// To what.
    pub subject: String,
    /// More about it; no secrets.
    pub details: serde_json::Value,
}
