//! A request as it was received: the columns that `postbacks` and `rejections` have in common.

use super::super::StoreError;
use super::super::record::Receipt;
use super::super::statement::{Dialect, read_json};
use super::super::worklist::time;
use postback::time::Timestamp;
use serde::Deserialize;

/// The JSON of [`members`].
#[derive(Deserialize)]
pub(in crate::store) struct StoredReceipt {
    request_id: String,
    #[serde(deserialize_with = "time")]
    received_at: Timestamp,
    auth_mode: String,
    key_id: Option<String>,
    client_ip: Option<String>,
    method: String,
    target: String,
    headers: String,
    content_type: Option<String>,
    body: Option<String>,
}

/// Names and expressions of a table's row.
pub(in crate::store) fn members(dialect: Dialect, table: &str) -> [(&'static str, String); 10] {
    let column = |name: &'static str| (name, format!("{table}.{name}"));
    [
        column("request_id"),
        ("received_at", dialect.time_text(&format!("{table}.received_at"))),
        column("auth_mode"),
        column("key_id"),
        column("client_ip"),
        column("method"),
        column("target"),
        ("headers", format!("cast({table}.headers as text)")),
        column("content_type"),
        column("body"),
    ]
}

impl StoredReceipt {
    pub(in crate::store) fn request_id(&self) -> &str {
        &self.request_id
    }

    pub(in crate::store) fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// The receipt. Its nonce is not kept.
    ///
    /// # Errors
    /// Its headers are not as they were stored.
    pub(in crate::store) fn into_receipt(self) -> Result<Receipt, StoreError> {
        Ok(Receipt {
            request_id: self.request_id,
            received_at: self.received_at,
            auth_mode: self.auth_mode,
            key_id: self.key_id,
            client_ip: self.client_ip,
            method: self.method,
            target: self.target,
            headers: read_json("a request's headers", &self.headers)?,
            content_type: self.content_type,
            body: self.body,
            nonce: None,
        })
    }
}
