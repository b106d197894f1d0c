//! What is stored of requests that reached a verdict or were rejected, of events, and of the events' receipts.
//!
//! What cannot be read of one request is that request's own matter: where others are read with it, they are answered.

use super::super::StoreError;
use super::super::reader::receipt::{self, StoredReceipt};
use super::super::reader::requests::of_events;
use super::super::reader::{Total, flag, optional_time};
use super::super::record::Receipt;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::totals::totals_by_quarter;
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
    /// Its number.
    pub postback_id: i64,
    /// The number under which it was first stored, which tells the order of that; None: it was rejected then.
    pub first_number: Option<i64>,
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
    /// Its content as the database writes it: whether it is still as it was read is told by that.
    pub content_text: String,
    /// Names in it that mean nothing.
    pub ignored: Vec<String>,
    /// What is stored of its event beside, where there is one.
    pub event: Option<EventMarks>,
}

/// A rejected request of a believed sender, that has reached no verdict since.
#[derive(Clone, Debug)]
pub struct RejectedRow {
    /// Its number.
    pub rejection_id: i64,
    /// The number under which it was stored as a postback, where it was one.
    pub first_number: Option<i64>,
    /// The receipt's own name.
    pub receipt_id: String,
    /// Why it was rejected.
    pub code: String,
    /// The field at fault.
    pub field: Option<String>,
    /// How it came, without its nonce.
    pub receipt: Receipt,
}

/// A stored request that cannot be read.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its event; that of a rejected one is not known.
    pub event_id: Option<String>,
    /// Its name.
    pub request_id: String,
    /// What of it.
    pub reason: String,
}

/// A page of requests.
#[derive(Clone, Debug)]
pub struct StoredPage<R, P> {
    /// Those that can be read, in the order of the page.
    pub rows: Vec<R>,
    /// Those that cannot.
    pub unreadable: Vec<Unreadable>,
    /// Where it ends; None: nothing is behind the page before it.
    pub end: Option<P>,
}

/// Rejected requests that were received within a span of time, behind one of them.
#[derive(Clone, Copy, Debug)]
pub struct RejectedSpan {
    /// They were received at this instant or later.
    pub from: Timestamp,
    /// They were received before this instant.
    pub to: Timestamp,
    /// Behind which number; 0: from the first on.
    pub after: i64,
}

/// What an event has beside its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventMarks {
    /// The key of its conversion.
    pub conversion_key: String,
    /// The sender's own words, by canonical field.
    pub words: BTreeMap<String, String>,
    /// Whether its sender named it.
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
    /// Rejected requests that are read into them now. Whoever reads these knows which.
    pub rejected: Vec<RejectedRow>,
    /// Accounts whose deposits conversions count as, by the keys of these.
    pub deposit_accounts: BTreeMap<String, Vec<String>>,
}

/// Since when requests are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// The first that is, of those that reached a verdict.
    pub since: Option<Timestamp>,
    /// Whether there are events from before that, or no request at all and events all the same.
    pub has_older_events: bool,
}

#[derive(Deserialize)]
struct Request {
    postback_id: i64,
    receipt_id: String,
    event_id: String,
    verdict: String,
    content: String,
    ignored: String,
    receipt: StoredReceipt,
    first_number: Option<i64>,
    event: Option<Marks>,
}

#[derive(Deserialize)]
struct Rejected {
    receipt_id: String,
    code: String,
    field: Option<String>,
    first_number: Option<i64>,
    receipt: StoredReceipt,
}

/// As they are stored: words are JSON that travels as a text.
#[derive(Deserialize)]
struct Marks {
    conversion_key: String,
    words: String,
    #[serde(deserialize_with = "flag")]
    names_event: bool,
}

#[derive(Deserialize)]
struct Event {
    event_id: String,
    event: String,
    conversion_id: String,
    fingerprint: String,
    content: String,
    #[serde(flatten)]
    marks: Marks,
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
        ("ignored", "cast(known.ignored as text)".to_owned()),
        column("first_number"),
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

/// A page of rejected requests that have reached no verdict since.
pub(super) fn rejected_page(dialect: Dialect) -> Step<RejectedSpan> {
    const COLUMNS: &[Column<RejectedSpan>] = &[
        Column::time("from_at", |span| Some(span.from)),
        Column::time("to_at", |span| Some(span.to)),
        Column::number("after_id", |span| span.after),
    ];
    let statement = format!(
        "select cast(known.rejection_id as text) as id, {} as answer from rejections as known
         where known.rejection_id > (select after_id from input) and known.received_at >= (select from_at from input)
            and known.received_at < (select to_at from input) and {}
         order by known.rejection_id limit {PAGE}",
        rejected(dialect),
        may_be_recorded(dialect),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

/// Rejected requests by their numbers, of those that have reached no verdict since.
pub(super) fn rejected_by_number(dialect: Dialect) -> Step<i64> {
    const COLUMNS: &[Column<i64>] = &[Column::number("number", |number| *number)];
    let statement = format!(
        "select cast(known.rejection_id as text) as id, {} as answer from input {} where {}",
        rejected(dialect),
        dialect.join_in_order("rejections", "known", "known.rejection_id = input.number"),
        may_be_recorded(dialect),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

/// A rejected request that is `known`, in JSON.
fn rejected(dialect: Dialect) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let receipt = dialect.json_members(&receipt::members(dialect, "known"));
    let members = ["receipt_id", "code", "field", "first_number"].map(column);
    dialect.json_object(&members.into_iter().chain([("receipt", receipt)]).collect::<Vec<_>>())
}

/// That a rejected request's sender was believed, and that it has reached no verdict.
pub(super) fn may_be_recorded(dialect: Dialect) -> String {
    format!(
        "known.is_authenticated and not exists (select 1 from postbacks where postbacks.request_id = known.request_id{})",
        dialect.by_key()
    )
}

/// What the conversions of keys come to as they are stored, by quarters of an hour.
pub(super) fn totals_of_keys(dialect: Dialect) -> Step<String> {
    let join = dialect.join_in_order("conversions", "known", "known.conversion_key = input.id");
    Step::new(dialect, ID, &totals_by_quarter(dialect, &join)).answering()
}

/// The answers of that: when a quarter begins, and what it comes to.
pub(super) fn totals(done: Vec<Done>) -> Result<Vec<(Timestamp, Total)>, StoreError> {
    let total = |(_, answer): (String, String)| {
        let total: Total = read_json("a total", &answer)?;
        let start = Timestamp::from_unix_ms(total.span.saturating_mul(1_000));
        Ok((start.ok_or_else(|| StoreError::Bug("a total of no time".to_owned()))?, total))
    };
    answers(done).map(total).collect()
}

/// Since when requests are kept.
pub(super) fn kept(dialect: Dialect) -> Step<()> {
    const COLUMNS: &[Column<()>] = &[Column::number("asked", |()| 1)];
    let first = "(select min(received_at) from postbacks)";
    let older = format!("exists (select 1 from events where {first} is null or events.received_at < {first} limit 1)");
    let answer = dialect.json_object(&[("since", dialect.time_text(first)), ("has_older_events", older)]);
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

pub(super) fn requests(done: Vec<Done>) -> Result<StoredPage<RequestRow, Place>, StoreError> {
    let mut page = StoredPage { rows: Vec::new(), unreadable: Vec::new(), end: None };
    for (request_id, answer) in answers(done) {
        let request: Request = read_json("a request", &answer)?;
        page.end = Some(Place { received_at: request.receipt.received_at(), postback_id: request.postback_id });
        let event_id = Some(request.event_id.clone());
        page.add(event_id, request_id, RequestRow::of(request))?;
    }
    Ok(page)
}

pub(super) fn rejected_requests(done: Vec<Done>) -> Result<StoredPage<RejectedRow, i64>, StoreError> {
    let mut page = StoredPage { rows: Vec::new(), unreadable: Vec::new(), end: None };
    for (number, answer) in answers(done) {
        let rejected: Rejected = read_json("a rejected request", &answer)?;
        let number = number.parse().map_err(|_| StoreError::Bug("a rejected request without a number".to_owned()))?;
        page.end = Some(number);
        let request_id = rejected.receipt.request_id().to_owned();
        page.add(None, request_id, RejectedRow::of(number, rejected))?;
    }
    Ok(page)
}

impl<R, P> StoredPage<R, P> {
    fn add(
        &mut self,
        event_id: Option<String>,
        request_id: String,
        row: Result<R, StoreError>,
    ) -> Result<(), StoreError> {
        match row {
            Ok(row) => self.rows.push(row),
            Err(StoreError::Bug(reason)) => self.unreadable.push(Unreadable { event_id, request_id, reason }),
            Err(error) => return Err(error),
        }
        Ok(())
    }
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
            _ => stored.requests.push(RequestRow::of(read_json("a request", &answer)?)?),
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
        let EventMarks { conversion_key, words, names_event } = marks.try_into()?;
        let content = read_json("an event's content", &content_text)?;
        let row = EventRow { event, conversion_id, conversion_key, fingerprint, content, words, names_event };
        Ok((event_id, StoredEvent { row, content_text, first: first.into(), repeats: Vec::new() }))
    }

    /// All its receipts.
    pub fn receipts(&self) -> impl Iterator<Item = &ReceiptRow> {
        std::iter::once(&self.first).chain(&self.repeats)
    }
}

impl TryFrom<Marks> for EventMarks {
    type Error = StoreError;

    fn try_from(Marks { conversion_key, words, names_event }: Marks) -> Result<EventMarks, StoreError> {
        Ok(EventMarks { conversion_key, words: read_json("an event's words", &words)?, names_event })
    }
}

impl RequestRow {
    fn of(request: Request) -> Result<RequestRow, StoreError> {
        let content: BTreeMap<String, String> = read_json("a request's content", &request.content)?;
        Ok(RequestRow {
            postback_id: request.postback_id,
            // As the migration says that made the column.
            first_number: Some(request.first_number.unwrap_or(request.postback_id)).filter(|number| *number != 0),
            receipt_id: request.receipt_id,
            event_id: request.event_id,
            verdict: request.verdict,
            content,
            content_text: request.content,
            ignored: read_json("what is ignored of a request", &request.ignored)?,
            receipt: request.receipt.into_receipt()?,
            event: request.event.map(EventMarks::try_from).transpose()?,
        })
    }
}

impl RejectedRow {
    fn of(rejection_id: i64, rejected: Rejected) -> Result<RejectedRow, StoreError> {
        let Rejected { receipt_id, code, field, first_number, receipt } = rejected;
        Ok(RejectedRow { rejection_id, first_number, receipt_id, code, field, receipt: receipt.into_receipt()? })
    }
}
