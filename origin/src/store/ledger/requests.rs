//! A request: its nonce, its event, and what is written down of it.

use super::super::statement::{Column, Dialect, Step};
use super::entry::{
    CONTENT, CONVERSION_ID, CONVERSION_KEY, EVENT_ID, Entry, FINGERPRINT, NONCE, RECEIPT_ID, RECEIVED_AT,
};
use super::{enter_once, nonce_is_own, of};
use postback::duplicate::{DuplicatePolicy, OnRepeat};
use postback::id::Nonce;
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// The warning on a repeat of an event that later ones have superseded. It may be a late retry, or a conversion that
/// returned to an earlier state; the two look alike, so nothing is changed and reconciliation is told.
const SUPERSEDED: &str = "superseded_event";
/// The warning on a notice that was overtaken before it came: it is history, and the conversion stands as it stood.
const LATE_STATUS: &str = "late_status:status";
/// The warning on a further event of a known conversion where the partner's policy is that the first stands.
const IGNORED_REPEAT: &str = "ignored_repeat";

/// A signature's nonce, to be spent by a receipt.
pub(super) struct Spending {
    pub(super) nonce: Option<Nonce>,
    pub(super) receipt_id: Nonce,
    pub(super) now: Timestamp,
}

impl Spending {
    pub(super) fn of(entry: &Entry) -> Spending {
        let record = &entry.record;
        Spending { nonce: record.receipt.nonce.clone(), receipt_id: record.receipt_id.clone(), now: record.now }
    }
}

pub(super) fn spend_nonces(dialect: Dialect) -> Step<Spending> {
    const COLUMNS: &[Column<Spending>] = &[
        Column::text("nonce", |spending| spending.nonce.as_ref().map(Nonce::to_string)),
        Column::time("seen_at", |spending| Some(spending.now)),
        Column::text("receipt_id", |spending| Some(spending.receipt_id.to_string())),
    ];
    Step::new(
        dialect,
        COLUMNS,
        "insert into nonces (nonce, seen_at, receipt_id)
         select input.nonce, input.seen_at, input.receipt_id from input where input.nonce is not null order by input.nonce
         on conflict (nonce) do nothing",
    )
}

pub(super) fn enter_event(dialect: Dialect) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        NONCE,
        EVENT_ID,
        Column::text("event", |entry| Some(entry.postback().event().name().to_owned())),
        CONVERSION_ID,
        FINGERPRINT,
        CONTENT,
        Column::json("words", words),
        RECEIVED_AT,
    ];
    const NAMES: [&str; 8] =
        ["event_id", "event", "conversion_id", "fingerprint", "content", "words", "received_at", "receipt_id"];
    enter_once(dialect, COLUMNS, "events", "event_id", &NAMES)
}

/// Writes each request down, with a verdict that follows from what the statements before have done.
pub(super) fn write_down(dialect: Dialect, policy: DuplicatePolicy) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        NONCE,
        EVENT_ID,
        CONVERSION_KEY,
        FINGERPRINT,
        CONTENT,
        RECEIVED_AT,
        Column::text("request_id", |entry| Some(entry.record.receipt.request_id.clone())),
        Column::text("auth_mode", |entry| Some(entry.record.receipt.auth_mode.clone())),
        Column::text("key_id", |entry| entry.record.receipt.key_id.clone()),
        Column::text("client_ip", |entry| entry.record.receipt.client_ip.clone()),
        Column::text("method", |entry| Some(entry.record.receipt.method.clone())),
        Column::text("target", |entry| Some(entry.record.receipt.target.clone())),
        Column::json("headers", |entry| entry.record.receipt.headers.to_string()),
        Column::text("content_type", |entry| entry.record.receipt.content_type.clone()),
        Column::text("body", |entry| entry.record.receipt.body.clone()),
        Column::json("ignored", |entry| serde_json::Value::from(entry.record.reading.ignored.clone()).to_string()),
        Column::json("warnings", |entry| entry.warnings.clone()),
    ];
    const NAMES: [&str; 14] = [
        "receipt_id",
        "event_id",
        "request_id",
        "received_at",
        "auth_mode",
        "key_id",
        "client_ip",
        "method",
        "target",
        "headers",
        "content_type",
        "body",
        "content",
        "ignored",
    ];
    let (repeat, notes) = match policy.repeat {
        OnRepeat::Revise => (
            Verdict::Revised,
            vec![
                ("seen.is_new and not seen.made_first and not seen.is_current".to_owned(), LATE_STATUS),
                ("not seen.is_new and seen.is_same and not seen.is_current".to_owned(), SUPERSEDED),
            ],
        ),
        OnRepeat::Ignore => {
            (Verdict::Duplicate, vec![("seen.is_new and not seen.made_first".to_owned(), IGNORED_REPEAT)])
        }
        OnRepeat::Flag => (Verdict::Created, Vec::new()),
    };
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", seen as (
                select input.*, events.receipt_id = input.receipt_id as is_new,
                    events.fingerprint = input.fingerprint as is_same,
                    exists (select 1 from revisions where revisions.conversion_key = input.conversion_key
                            and revisions.event_id = input.event_id and revisions.revision = 1{by_key}) as made_first,
                    exists (select 1 from conversions where conversions.conversion_key = input.conversion_key
                            and conversions.event_id = input.event_id{by_key}) as is_current
                from input {} where {} and events.event_id is not null)
             insert into postbacks ({}, verdict, warnings)
             select {}, case when seen.is_new then case when seen.made_first then '{}' else '{repeat}' end
                             when seen.is_same then '{}' else '{}' end, {}
             from seen where true returning receipt_id as id, verdict as answer",
            dialect.left_join_by_key("events", "events", "events.event_id = input.event_id"),
            nonce_is_own(dialect),
            NAMES.join(", "),
            of("seen", &NAMES),
            Verdict::Created,
            Verdict::Duplicate,
            Verdict::Conflict,
            dialect.with_note("seen.warnings", &notes),
            by_key = dialect.by_key(),
        ),
    )
    .answering()
}

/// The sender's own words, by canonical field.
fn words(entry: &Entry) -> String {
    let words = entry.record.reading.words.iter().map(|(field, word)| (field.name(), word.as_str()));
    words.collect::<serde_json::Value>().to_string()
}
