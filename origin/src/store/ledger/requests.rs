//! A request: its nonce, its event, and what is written down of it.

use super::super::statement::{Column, Dialect, Step};
use super::conversions::{is_apart, is_last_receipt, is_newest, left_join_last};
use super::entry::storable;
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

/// Of a request, and of its receipt.
const REQUEST: &[Column<Entry>] = &[
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
    Column::text("body", |entry| entry.record.receipt.body.as_deref().map(storable)),
    Column::json("ignored", |entry| serde_json::Value::from(entry.record.reading.ignored.clone()).to_string()),
    Column::json("warnings", |entry| entry.warnings.clone()),
    DUE_AT,
];
/// Of its receipt alone.
const RECEIPT: &[Column<Entry>] = &[
    RECEIPT_ID,
    NONCE,
    EVENT_ID,
    CONVERSION_KEY,
    FINGERPRINT,
    RECEIVED_AT,
    REQUEST_ID,
    LAST_RECEIVED_MS,
    IS_DEFERRED,
    DUE_AT,
];
const DUE_AT: Column<Entry> = Column::time("due_at", |entry| Some(entry.record.now));

/// Writes each request down, with a verdict that follows from what the statements before have done, and keeps the order of receipts:
/// further ones of known events are stored, and conversions whose receipts are not stored in their order are to be folded again.
pub(super) fn write_down(dialect: Dialect, policy: DuplicatePolicy) -> Vec<Step<Entry>> {
    let seen = seen(dialect, policy);
    let written = written(dialect, policy);
    match dialect {
        // In one statement, so that what is known of each row is looked up once.
        Dialect::Postgres => {
            let repeated = format!("{ENTER_REPEATS} returning event_id, request_id, receipt_id");
            let requested = request_rebuilds(dialect, "repeated");
            let all = format!(
                ", seen as ({seen}), written as ({written}), repeated as ({repeated}), requested as ({requested})
                 select id, answer from written"
            );
            vec![Step::new(dialect, REQUEST, &all).answering()]
        }
        Dialect::Sqlite => {
            let step =
                |columns, statement: &str| Step::new(dialect, columns, &format!(", seen as ({seen}) {statement}"));
            let requested = request_rebuilds(dialect, "repeats");
            vec![step(REQUEST, &written).answering(), step(RECEIPT, ENTER_REPEATS), step(RECEIPT, &requested)]
        }
    }
}

/// What is known of each row's event, and of the last conversion under its key.
fn seen(dialect: Dialect, policy: DuplicatePolicy) -> String {
    // Which of its receipts an event entered by is chance: each of them may be the one that took effect.
    let by_key = dialect.by_key();
    let is_over = |received_at: &str| {
        format!("input.last_received_ms - {} > {}", dialect.unix_ms(received_at), policy.retry_window_ms())
    };
    let may_return = format!(
        "({} or exists (select 1 from repeats where repeats.event_id = input.event_id and {}{by_key}))",
        is_over("events.received_at"),
        is_over("repeats.received_at"),
    );
    let is_earlier = is_earlier(dialect);
    let is_looked_at = match (policy.window_s, policy.repeat) {
        (Some(_), _) => "true".to_owned(),
        (None, OnRepeat::Revise) => format!("({is_earlier} or {may_return})"),
        (None, OnRepeat::Ignore | OnRepeat::Flag) => is_earlier.clone(),
    };
    format!(
        "select input.*, events.conversion_key as known_key, events.receipt_id = input.receipt_id as is_new,
            events.fingerprint = input.fingerprint as is_same,
            last.occurrence is not null and {is_applied} as is_applied,
            last.occurrence is not null and {is_applied} and last.event_id = input.event_id and last.revision = 1 as made_first,
            last.occurrence is not null and last.event_id = input.event_id
                or events.receipt_id <> input.receipt_id and exists (
                    select 1 from conversions where conversions.conversion_key = input.conversion_key
                        and conversions.event_id = input.event_id{by_key}) as is_current,
            {IS_KNOWN} as is_known, {IS_KNOWN} and {is_earlier} as is_earlier, {IS_KNOWN} and {is_looked_at} as is_looked_at,
            coalesce({is_return}, false) as is_return
         from input {events} {last} where {nonce_is_own} and events.event_id is not null",
        by_key = dialect.by_key(),
        events = dialect.left_join_by_key("events", "events", "events.event_id = input.event_id"),
        last = left_join_last(dialect, "last"),
        nonce_is_own = nonce_is_own(dialect),
        is_applied = is_last_receipt("last"),
        is_return = is_return(dialect, policy),
    )
}

/// A request's row, with its verdict, which is answered.
fn written(dialect: Dialect, policy: DuplicatePolicy) -> String {
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
    format!(
        "insert into postbacks ({}, verdict, warnings)
         select {}, case when seen.is_new then case when seen.made_first then '{}'
                                                    when seen.is_applied then '{repeat}' else '{}' end
                         when seen.is_return then '{}'
                         when seen.is_same then '{}' else '{}' end, {}
         from seen where true returning receipt_id as id, verdict as answer",
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
    )
}

/// Stores further receipts of known events.
const ENTER_REPEATS: &str = "insert into repeats (event_id, request_id, received_at, receipt_id)
    select seen.event_id, seen.request_id, seen.received_at, seen.receipt_id from seen
    where seen.is_known order by seen.event_id, seen.request_id on conflict (event_id, request_id) do nothing";

/// Requests that conversions are folded again: of a new event that is not the newest receipt, and of a repeat that came before its event or
/// that a rule looks at (a window, a return), where it is among those that were stored just now. A fold that is due already is told that
/// there is more.
fn request_rebuilds(dialect: Dialect, repeats: &str) -> String {
    let by_key = dialect.by_key();
    format!(
        "insert into rebuilds (conversion_key, generation, due_at)
         select seen.known_key, {generation}, min(seen.due_at) from seen
         where seen.is_new and not seen.is_applied
            or seen.is_looked_at and exists (
                select 1 from {repeats} as entered
                where entered.event_id = seen.event_id and entered.request_id = seen.request_id
                    and entered.receipt_id = seen.receipt_id{by_key})
            or exists (select 1 from rebuilds where rebuilds.conversion_key = seen.known_key{by_key})
         group by seen.known_key order by seen.known_key
         on conflict (conversion_key) do update set generation = rebuilds.generation + 1",
        generation = dialect.random(),
    )
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
            and last.occurrence is not null and {is_newest} and not {is_apart}
            and (select latest.event_id from revisions as latest where latest.conversion_key = last.conversion_key
                and latest.occurrence = last.occurrence order by latest.revision desc limit 1) <> input.event_id
            and input.last_received_ms - (select max({made_ms}) from revisions as effect
                where effect.conversion_key = last.conversion_key and effect.occurrence = last.occurrence
                    and effect.event_id = input.event_id) > {retry_ms})",
        is_newest = is_newest("last"),
        is_apart = is_apart(policy, "last"),
        made_ms = dialect.unix_ms("effect.received_at"),
        retry_ms = policy.retry_window_ms(),
    )
}

/// The sender's own words, by canonical field.
fn words(entry: &Entry) -> String {
    let words = entry.record.reading.words.iter().map(|(field, word)| (field.name(), word.as_str()));
    words.collect::<serde_json::Value>().to_string()
}
