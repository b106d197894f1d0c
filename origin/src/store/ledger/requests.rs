//! A request: its nonce, its event, and what is written down of it.

use super::super::statement::{Column, Dialect, Step};
use super::conversions::{is_apart, is_last, is_last_receipt, is_newest};
use super::entry::{
    CONTENT, CONVERSION_ID, CONVERSION_KEY, EVENT_ID, Entry, FINGERPRINT, IS_DEFERRED, LAST_RECEIVED_MS, NONCE,
    RECEIPT_ID, RECEIVED_AT, REQUEST_ID,
};
use super::{enter_once, nonce_is_own, of};
use postback::duplicate::{DuplicatePolicy, OnRepeat};
use postback::id::Nonce;
use postback::time::Timestamp;
use postback::verdict::Verdict;

/// The warning on a repeat of an event that later ones have superseded, while its sender may still be retrying: nothing changes.
const SUPERSEDED: &str = "superseded_event";
/// The warning on a notice that was overtaken before it came: it is history, and the conversion stands as it stood.
const LATE_STATUS: &str = "late_status:status";
/// The warning on a receipt that was stored behind one that the gateway received later. It takes effect in its place.
const LATE_RECEIPT: &str = "late_receipt";
/// The warning on a known event that came again after its sender's retries: the conversion returns to what it says.
const RETURNED: &str = "returned";
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
        CONVERSION_KEY,
        REQUEST_ID,
        Column::flag("names_event", |entry| Some(entry.record.reading.names_event)),
    ];
    const NAMES: [&str; 11] = [
        "event_id",
        "event",
        "conversion_id",
        "fingerprint",
        "content",
        "words",
        "received_at",
        "receipt_id",
        "conversion_key",
        "request_id",
        "names_event",
    ];
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
        REQUEST_ID,
        LAST_RECEIVED_MS,
        IS_DEFERRED,
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
    let late = ("seen.is_new and not seen.is_applied or seen.is_earlier".to_owned(), LATE_RECEIPT);
    let (repeat, notes) = match policy.repeat {
        OnRepeat::Revise => (
            Verdict::Revised,
            vec![
                late,
                ("seen.is_return".to_owned(), RETURNED),
                ("seen.is_new and not seen.made_first and not seen.is_current".to_owned(), LATE_STATUS),
                ("not seen.is_new and seen.is_same and not seen.is_current".to_owned(), SUPERSEDED),
            ],
        ),
        OnRepeat::Ignore => {
            (Verdict::Duplicate, vec![late, ("seen.is_new and not seen.made_first".to_owned(), IGNORED_REPEAT)])
        }
        OnRepeat::Flag => (Verdict::Created, vec![late]),
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
                            and conversions.event_id = input.event_id{by_key}) as is_current,
                    exists (select 1 from conversions where conversions.conversion_key = input.conversion_key
                            and {is_applied}{by_key}) as is_applied,
                    {is_known} and {is_earlier} as is_earlier,
                    {is_return} as is_return
                from input {} where {} and events.event_id is not null)
             insert into postbacks ({}, verdict, warnings)
             select {}, case when seen.is_new then case when seen.made_first then '{}'
                                                        when seen.is_applied then '{repeat}' else '{}' end
                             when seen.is_return then '{}'
                             when seen.is_same then '{}' else '{}' end, {}
             from seen where true returning receipt_id as id, verdict as answer",
            dialect.left_join_by_key("events", "events", "events.event_id = input.event_id"),
            nonce_is_own(dialect),
            NAMES.join(", "),
            of("seen", &NAMES),
            Verdict::Created,
            match policy.repeat {
                OnRepeat::Revise | OnRepeat::Ignore => Verdict::Revised,
                OnRepeat::Flag => Verdict::Created,
            },
            Verdict::Revised,
            Verdict::Duplicate,
            Verdict::Conflict,
            dialect.with_note("seen.warnings", &notes),
            by_key = dialect.by_key(),
            is_applied = is_last_receipt("conversions"),
            is_known = IS_KNOWN,
            is_earlier = is_earlier(dialect),
            is_return = is_return(dialect, policy),
        ),
    )
    .answering()
}

/// That a row's event entered by another receipt, that says the same, of another request.
const IS_KNOWN: &str = "events.receipt_id <> input.receipt_id and events.fingerprint = input.fingerprint
    and events.request_id <> input.request_id";

/// That a row was received before the request that its event entered by.
fn is_earlier(dialect: Dialect) -> String {
    format!(
        "(input.last_received_ms, input.request_id) < ({}, events.request_id)",
        dialect.unix_ms("events.received_at")
    )
}

/// That a row's known event came again after its sender's retries, with another event in between: the same as
/// [`postback::conversion::fold`] finds of the newest receipt. One request delivered twice never is.
fn is_return(dialect: Dialect, policy: DuplicatePolicy) -> String {
    match policy.repeat {
        OnRepeat::Ignore | OnRepeat::Flag => return "false".to_owned(),
        OnRepeat::Revise => {}
    }
    let by_key = dialect.by_key();
    format!(
        "({IS_KNOWN}
            and not exists (select 1 from repeats where repeats.event_id = input.event_id
                and repeats.request_id = input.request_id{by_key})
            and exists (select 1 from conversions as last where {is_last} and {is_newest} and not {is_apart}
                and (select latest.event_id from revisions as latest where latest.conversion_key = last.conversion_key
                    and latest.occurrence = last.occurrence order by latest.revision desc limit 1) <> input.event_id
                and input.last_received_ms - (select max({made_ms}) from revisions as effect
                    where effect.conversion_key = last.conversion_key and effect.occurrence = last.occurrence
                        and effect.event_id = input.event_id) > {retry_ms}))",
        is_last = is_last("last"),
        is_newest = is_newest("last"),
        is_apart = is_apart(policy, "last"),
        made_ms = dialect.unix_ms("effect.received_at"),
        retry_ms = policy.retry_window_ms(),
    )
}

/// Keeps further receipts of known events, and has conversions folded again whose receipts are not stored in their order: a new event
/// that is not the newest receipt, a repeat that came before its event or that a rule looks at (a window, a return). A fold that is due already is
/// told that there is more.
pub(super) fn keep_order(dialect: Dialect, policy: DuplicatePolicy) -> Vec<Step<Entry>> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        NONCE,
        EVENT_ID,
        CONVERSION_KEY,
        FINGERPRINT,
        RECEIVED_AT,
        REQUEST_ID,
        LAST_RECEIVED_MS,
        Column::time("due_at", |entry| Some(entry.record.now)),
    ];
    let by_key = dialect.by_key();
    let events = dialect.left_join_by_key("events", "events", "events.event_id = input.event_id");
    let enter = format!(
        "insert into repeats (event_id, request_id, received_at, receipt_id)
         select input.event_id, input.request_id, input.received_at, input.receipt_id from input {events}
         where {IS_KNOWN} and {} order by input.event_id, input.request_id
         on conflict (event_id, request_id) do nothing",
        nonce_is_own(dialect),
    );
    let may_return =
        format!("input.last_received_ms - {} > {}", dialect.unix_ms("events.received_at"), policy.retry_window_ms());
    let is_looked_at = match (policy.window_s, policy.repeat) {
        (Some(_), _) => "true".to_owned(),
        (None, OnRepeat::Revise) => format!("({} or {may_return})", is_earlier(dialect)),
        (None, OnRepeat::Ignore | OnRepeat::Flag) => is_earlier(dialect),
    };
    let request = |entered: &str| {
        format!(
            "insert into rebuilds (conversion_key, generation, due_at)
             select events.conversion_key, 1, min(input.due_at) from input {events}
             where events.receipt_id = input.receipt_id and not exists (
                    select 1 from conversions where conversions.conversion_key = input.conversion_key and {is_applied}{by_key})
                or {IS_KNOWN} and {is_looked_at} and exists (
                    select 1 from {entered} as entered
                    where entered.event_id = input.event_id and entered.request_id = input.request_id
                        and entered.receipt_id = input.receipt_id{by_key})
                or exists (select 1 from rebuilds where rebuilds.conversion_key = events.conversion_key{by_key})
             group by events.conversion_key order by events.conversion_key
             on conflict (conversion_key) do update set generation = rebuilds.generation + 1",
            is_applied = is_last_receipt("conversions"),
        )
    };
    match dialect {
        Dialect::Postgres => {
            let entered = format!(", entered as ({enter} returning event_id, request_id, receipt_id)");
            vec![Step::new(dialect, COLUMNS, &format!("{entered} {}", request("entered")))]
        }
        Dialect::Sqlite => {
            vec![Step::new(dialect, COLUMNS, &enter), Step::new(dialect, COLUMNS, &request("repeats"))]
        }
    }
}

/// The sender's own words, by canonical field.
fn words(entry: &Entry) -> String {
    let words = entry.record.reading.words.iter().map(|(field, word)| (field.name(), word.as_str()));
    words.collect::<serde_json::Value>().to_string()
}
