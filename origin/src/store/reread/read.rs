//! What is stored of requests that reached a verdict, of their events, and of the events' receipts.

use super::super::StoreError;
use super::super::reader::receipt::{self, StoredReceipt};
use super::super::reader::requests::of_events;
use super::super::reader::{flag, optional_time};
use super::super::record::Receipt;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::worklist::time;
use super::PAGE;
use postback::time::Timestamp;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Where a page of requests begins: behind one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When that was received.
    pub received_at: Timestamp,
    /// Its number.
    pub postback_id: i64,
}

/// Requests that were received within a span of time, behind a place.
#[derive(Clone, Copy, Debug)]
pub struct RequestSpan {
    /// They were received at this instant or later.
    pub from: Timestamp,
    /// They were received before this instant.
    pub to: Timestamp,
    /// Behind which request; None: from the first on.
    pub after: Option<Place>,
}

/// A request that reached a verdict, as it was received, secrets taken out.
#[derive(Clone, Debug)]
pub struct RequestRow {
    /// Its number: the order in which requests were stored.
    pub postback_id: i64,
    /// The receipt's own name.
    pub receipt_id: String,
    /// The event that it tells of.
    pub event_id: String,
    /// What became of it.
    pub verdict: String,
    /// What it was read into: canonical names and texts.
    pub content: BTreeMap<String, String>,
    /// How it came, without its nonce.
    pub receipt: Receipt,
    /// Whether it was erased (R63).
    pub is_erased: bool,
    /// What is stored of its event beside, where there is one.
    pub event: Option<EventMarks>,
}

/// What an event has beside its content.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EventMarks {
    /// The key of its conversion.
    pub conversion_key: String,
    /// The sender's own words, by canonical field.
    #[serde(deserialize_with = "texts")]
    pub words: BTreeMap<String, String>,
    /// Whether its sender named it.
    #[serde(deserialize_with = "flag")]
    pub names_event: bool,
}

/// A receipt of an event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceiptRow {
    /// When it was received.
    pub received_at: Timestamp,
    /// By which request.
    pub request_id: String,
    /// Its own name.
    pub receipt_id: String,
}

/// What an event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    /// Its canonical name.
    pub event: String,
    /// The sender's id of its conversion, or one that stands for the event.
    pub conversion_id: String,
    /// The key of its conversion.
    pub conversion_key: String,
    /// What must not differ between two requests of it.
    pub fingerprint: String,
    /// Canonical names and texts.
    pub content: BTreeMap<String, String>,
    /// The sender's own words, by canonical field.
    pub words: BTreeMap<String, String>,
    /// Whether its sender named it.
    pub names_event: bool,
}

/// An event as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEvent {
    /// What it says.
    pub row: EventRow,
    /// Its content as the database writes it: whether it is still as it was read is told by that.
    pub content_text: String,
    /// The receipt that it entered by.
    pub first: ReceiptRow,
    /// Its further receipts.
    pub repeats: Vec<ReceiptRow>,
}

/// Events and their requests.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Events, by their ids.
    pub events: BTreeMap<String, StoredEvent>,
    /// Their requests.
    pub requests: Vec<RequestRow>,
    /// Accounts whose deposits conversions count as, by the keys of these.
    pub deposit_accounts: BTreeMap<String, Vec<String>>,
}

/// Since when requests are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The first that is, of those that reached a verdict.
    pub since: Option<Timestamp>,
    /// Whether there are events from before that.
    pub has_older_events: bool,
}

#[derive(Deserialize)]
struct Request {
    postback_id: i64,
    receipt_id: String,
    event_id: String,
    verdict: String,
    content: String,
    receipt: StoredReceipt,
    event: Option<EventMarks>,
}

#[derive(Deserialize)]
struct Event {
    event_id: String,
    event: String,
    conversion_id: String,
    fingerprint: String,
    content: String,
    #[serde(flatten)]
    marks: EventMarks,
    #[serde(flatten)]
    first: Receives,
}

#[derive(Deserialize)]
struct Repeat {
    event_id: String,
    #[serde(flatten)]
    receipt: Receives,
}

#[derive(Deserialize)]
struct Deposits {
    conversion_key: String,
    account_id: String,
}

#[derive(Deserialize)]
struct Receives {
    #[serde(deserialize_with = "time")]
    received_at: Timestamp,
    request_id: String,
    receipt_id: String,
}

/// JSON of texts that travels as a text.
fn texts<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    serde_json::from_str(&String::deserialize(from)?).map_err(serde::de::Error::custom)
}

const ID: &[Column<String>] = &[Column::text("id", |id| Some(id.clone()))];

const SPAN: &[Column<RequestSpan>] = &[
    Column::time("from_at", |span| Some(span.from)),
    Column::time("to_at", |span| Some(span.to)),
    Column::time("after_at", |span| span.after.map(|place| place.received_at)),
    Column::number("after_id", |span| span.after.map_or(0, |place| place.postback_id)),
];

/// A page of requests. Only what a page has stands in the text, so that each has one plan.
pub(super) fn page(dialect: Dialect, span: &RequestSpan) -> Step<RequestSpan> {
    let behind = match span.after {
        Some(_) => {
            "(known.received_at, known.postback_id) > ((select after_at from input), (select after_id from input))"
        }
        None => "known.received_at >= (select from_at from input)",
    };
    let statement = format!(
        "select known.request_id as id, {} as answer from postbacks as known {}
         where {behind} and known.received_at < (select to_at from input)
         order by known.received_at, known.postback_id limit {PAGE}",
        request(dialect, Some("event")),
        dialect.left_join_by_key("events", "event", "event.event_id = known.event_id"),
    );
    Step::new(dialect, SPAN, &statement).answering()
}

/// A request that is `known`, in JSON, and what its event has beside it.
fn request(dialect: Dialect, event: Option<&str>) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let receipt = dialect.json_members(&receipt::members(dialect, "known"));
    let mut members = vec![
        column("postback_id"),
        column("receipt_id"),
        column("event_id"),
        column("verdict"),
        ("content", "cast(known.content as text)".to_owned()),
        ("receipt", receipt),
    ];
    members.extend(event.map(|event| {
        let marks = dialect.json_members(&[
            ("conversion_key", format!("{event}.conversion_key")),
            ("words", format!("cast({event}.words as text)")),
            ("names_event", format!("{event}.names_event")),
        ]);
        ("event", dialect.json_or_null(&format!("{event}.event_id"), &marks))
    }));
    dialect.json_object(&members)
}

const EVENT: &str = "event";
const REPEAT: &str = "repeat";
const REQUEST: &str = "request";
const ACCOUNT: &str = "account";

/// Events by their ids; their repeats; their requests.
pub(super) fn events(dialect: Dialect) -> [Step<String>; 2] {
    let requests = format!(
        ", asked(event_id) as (select id from input), {}
         select '{REQUEST}' as id, {} as answer from of_events as known",
        of_events(dialect),
        request(dialect, None),
    );
    [of(dialect, "event_id"), Step::new(dialect, ID, &requests).answering()]
}

/// Events by the keys of their conversions; their repeats; the accounts whose deposits these count as.
pub(super) fn events_of_keys(dialect: Dialect) -> [Step<String>; 2] {
    let account = dialect.json_object(&[
        ("conversion_key", "own.conversion_key".to_owned()),
        ("account_id", "own.deposit_account".to_owned()),
    ]);
    let accounts = format!(
        "select '{ACCOUNT}' as id, {account} as answer from input {}
         where own.deposit in ('first', 'repeat') and own.deposit_account is not null",
        dialect.join_in_order("conversions", "own", "own.conversion_key = input.id"),
    );
    [of(dialect, "conversion_key"), Step::new(dialect, ID, &accounts).answering()]
}

/// Events and their repeats, by a column of events.
fn of(dialect: Dialect, column: &str) -> Step<String> {
    let member = |name: &'static str| (name, format!("events.{name}"));
    let event = dialect.json_object(&[
        member("event_id"),
        member("event"),
        member("conversion_id"),
        member("conversion_key"),
        member("fingerprint"),
        ("content", "cast(events.content as text)".to_owned()),
        ("words", "cast(events.words as text)".to_owned()),
        member("names_event"),
        ("received_at", dialect.time_text("events.received_at")),
        member("request_id"),
        member("receipt_id"),
    ]);
    let repeat = dialect.json_object(&[
        ("event_id", "repeats.event_id".to_owned()),
        ("received_at", dialect.time_text("repeats.received_at")),
        ("request_id", "repeats.request_id".to_owned()),
        ("receipt_id", "repeats.receipt_id".to_owned()),
    ]);
    let events = dialect.join_in_order("events", "events", &format!("events.{column} = input.id"));
    let repeats = dialect.join_in_order("repeats", "repeats", "repeats.event_id = events.event_id");
    let statement = format!(
        "select '{EVENT}' as id, {event} as answer from input {events}
         union all select '{REPEAT}' as id, {repeat} as answer from input {events} {repeats}"
    );
    Step::new(dialect, ID, &statement).answering()
}

/// Which requests reached a verdict.
pub(super) fn with_verdict(dialect: Dialect) -> Step<String> {
    let join = dialect.join_in_order("postbacks", "known", "known.request_id = input.id");
    Step::new(dialect, ID, &format!("select distinct known.request_id as id, '' as answer from input {join}"))
        .answering()
}

/// Since when requests are kept.
pub(super) fn kept(dialect: Dialect) -> Step<()> {
    const COLUMNS: &[Column<()>] = &[Column::number("asked", |()| 1)];
    let first = "(select min(received_at) from postbacks)";
    let answer = dialect.json_object(&[
        ("since", dialect.time_text(first)),
        ("has_older_events", format!("exists (select 1 from events where events.received_at < {first} limit 1)")),
    ]);
    Step::new(dialect, COLUMNS, &format!("select 'kept' as id, {answer} as answer from input")).answering()
}

pub(super) fn known(done: Vec<Done>) -> Result<Known, StoreError> {
    #[derive(Deserialize)]
    struct Kept {
        #[serde(deserialize_with = "optional_time")]
        since: Option<Timestamp>,
        #[serde(deserialize_with = "flag")]
        has_older_events: bool,
    }
    let (_, answer) = answers(done).next().ok_or_else(|| StoreError::Bug("no answer about requests".to_owned()))?;
    let Kept { since, has_older_events } = read_json("since when requests are kept", &answer)?;
    Ok(Known { since, has_older_events })
}

pub(super) fn requests(done: Vec<Done>) -> Result<Vec<RequestRow>, StoreError> {
    answers(done).map(|(_, answer)| RequestRow::read(&answer)).collect()
}

pub(super) fn stored(done: Vec<Done>) -> Result<Stored, StoreError> {
    let mut stored = Stored::default();
    let mut repeats = Vec::new();
    for (what, answer) in answers(done) {
        match what.as_str() {
            EVENT => {
                let (event_id, event) = StoredEvent::read(&answer)?;
                stored.events.insert(event_id, event);
            }
            ACCOUNT => {
                let Deposits { conversion_key, account_id } = read_json("a deposit's account", &answer)?;
                stored.deposit_accounts.entry(conversion_key).or_default().push(account_id);
            }
            REPEAT => repeats.push(read_json::<Repeat>("a repeat", &answer)?),
            _ => stored.requests.push(RequestRow::read(&answer)?),
        }
    }
    for Repeat { event_id, receipt } in repeats {
        if let Some(event) = stored.events.get_mut(&event_id) {
            event.repeats.push(receipt.into());
        }
    }
    stored.requests.sort_by_key(|request| request.postback_id);
    // An event that was asked for twice, by one key each, is one.
    stored.requests.dedup_by_key(|request| request.postback_id);
    stored.events.values_mut().for_each(|event| {
        event.repeats.sort();
        event.repeats.dedup();
    });
    Ok(stored)
}

fn answers(done: Vec<Done>) -> impl Iterator<Item = (String, String)> {
    done.into_iter().flat_map(|done| done.answers)
}

impl From<Receives> for ReceiptRow {
    fn from(Receives { received_at, request_id, receipt_id }: Receives) -> ReceiptRow {
        ReceiptRow { received_at, request_id, receipt_id }
    }
}

impl StoredEvent {
    fn read(answer: &str) -> Result<(String, StoredEvent), StoreError> {
        let event: Event = read_json("an event", answer)?;
        let Event { event_id, event, conversion_id, fingerprint, content: content_text, marks, first } = event;
        let EventMarks { conversion_key, words, names_event } = marks;
        let content = read_json("an event's content", &content_text)?;
        let row = EventRow { event, conversion_id, conversion_key, fingerprint, content, words, names_event };
        Ok((event_id, StoredEvent { row, content_text, first: first.into(), repeats: Vec::new() }))
    }

    /// All its receipts.
    pub fn receipts(&self) -> impl Iterator<Item = &ReceiptRow> {
        std::iter::once(&self.first).chain(&self.repeats)
    }
}

impl RequestRow {
    fn read(answer: &str) -> Result<RequestRow, StoreError> {
        let Request { postback_id, receipt_id, event_id, verdict, content, receipt, event } =
            read_json("a request", answer)?;
        let receipt = receipt.into_receipt()?;
        // An erased request has none of these any more ([`super::super::subject`]), and every other has some.
        let is_erased = receipt.headers.as_object().is_some_and(serde_json::Map::is_empty)
            && receipt.body.is_none()
            && receipt.client_ip.is_none()
            && !receipt.target.contains('?');
        let content = read_json("a request's content", &content)?;
        Ok(RequestRow { postback_id, receipt_id, event_id, verdict, content, receipt, is_erased, event })
    }
}
