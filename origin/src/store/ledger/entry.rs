//! A postback on its way into the database, and the columns that several statements read of it.

use super::super::record::Record;
use super::super::statement::Column;
use postback::duplicate::DuplicatePolicy;
use postback::id::Nonce;
use postback::postback::Postback;

/// A postback on its way into the database.
#[derive(Clone, Debug)]
pub struct Entry {
    pub(super) record: Record,
    /// What makes it one conversion with others (R48).
    pub(super) conversion_key: String,
    pub(super) content: String,
    pub(super) fingerprint: String,
    pub(super) warnings: String,
    /// Into which rows of the totals its transaction adds.
    pub(super) slot: i64,
    /// Whether it is entered alone and applied by a rebuild.
    pub(super) is_deferred: bool,
}

impl Entry {
    /// A record, ready for a partner with this policy.
    pub fn of(mut record: Record, policy: &DuplicatePolicy) -> Entry {
        // A clock ahead of ours must not keep what comes behind from counting. This is settled once, when the receipt is first stored.
        record.receipt.received_at = record.receipt.received_at.min(record.now);
        let postback = &record.reading.postback;
        let warnings = record.reading.warnings.iter().map(|warning| serde_json::Value::from(warning.to_string()));
        Entry {
            conversion_key: policy.conversion_key(postback),
            content: postback.to_json().to_string(),
            fingerprint: postback.fingerprint(),
            warnings: warnings.collect::<serde_json::Value>().to_string(),
            slot: 0,
            is_deferred: false,
            record,
        }
    }

    pub(super) fn postback(&self) -> &Postback {
        &self.record.reading.postback
    }

    pub(super) fn receipt_id(&self) -> &str {
        self.record.receipt_id.as_str()
    }
}

pub(super) const RECEIPT_ID: Column<Entry> = Column::text("receipt_id", |entry| Some(entry.receipt_id().to_owned()));
pub(super) const NONCE: Column<Entry> =
    Column::text("nonce", |entry| entry.record.receipt.nonce.as_ref().map(Nonce::to_string));
pub(super) const EVENT_ID: Column<Entry> =
    Column::text("event_id", |entry| Some(entry.postback().event_id().to_string()));
pub(super) const CONVERSION_ID: Column<Entry> =
    Column::text("conversion_id", |entry| Some(entry.postback().conversion_id().into_owned()));
pub(super) const CONVERSION_KEY: Column<Entry> =
    Column::text("conversion_key", |entry| Some(entry.conversion_key.clone()));
pub(super) const FINGERPRINT: Column<Entry> = Column::text("fingerprint", |entry| Some(entry.fingerprint.clone()));
pub(super) const CONTENT: Column<Entry> = Column::json("content", |entry| entry.content.clone());
pub(super) const RECEIVED_AT: Column<Entry> =
    Column::time("received_at", |entry| Some(entry.record.receipt.received_at));
pub(super) const REQUEST_ID: Column<Entry> =
    Column::text("request_id", |entry| Some(entry.record.receipt.request_id.clone()));
/// When it was received, in Unix milliseconds: receipts are ordered by it.
pub(super) const LAST_RECEIVED_MS: Column<Entry> =
    Column::number("last_received_ms", |entry| entry.record.receipt.received_at.unix_ms());
pub(super) const IS_DEFERRED: Column<Entry> = Column::flag("is_deferred", |entry| Some(entry.is_deferred));

/// A body as it can be stored: it may hold what no text of PostgreSQL does.
pub(super) fn storable(body: &str) -> String {
    body.replace('\0', "\u{fffd}")
}
