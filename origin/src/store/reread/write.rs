//! Putting events in the place of those that are stored: one transaction, without effect where one of these has changed since it was
//! read.

use super::super::rebuild::{Growth, Key, phases, turns};
use super::super::record::{RejectedIds, Via};
use super::super::statement::{Column, Dialect, Statement, Step};
use super::super::subject::AS_RECEIVED;
use super::super::totals::judging_slot;
use super::super::turns::{Turn, take_turns};
use super::read::{EventRow, ReceiptRow, RequestRow, StoredEvent, may_be_recorded};
use postback::conversion::Folded;
use postback::id::Nonce;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a transaction answers that took effect.
pub(super) const DONE: &str = "done";

/// Requests and events of which some are read otherwise than they were.
#[derive(Clone, Debug)]
pub struct Replacement {
    /// The transaction's own name, of which there is no second.
    pub reread_id: Nonce,
    /// The clock.
    pub now: Timestamp,
    /// The version of the rules that they were read by.
    pub rules: String,
    /// Events that must be as they were read, and what takes the place of some of them.
    pub events: Vec<Arc<EventChange>>,
    /// What becomes of requests.
    pub requests: Vec<Arc<RequestChange>>,
    /// The conversions that events come to now, by all keys that any of these had or has, and how many events each key had.
    pub keys: Vec<KeyChange>,
    /// Who is linked to which click, before or after.
    pub links: Vec<Link>,
}

/// An event before and after.
#[derive(Clone, Debug)]
pub struct EventChange {
    /// Its id.
    pub event_id: String,
    /// As it was read; None: there was none.
    pub before: Option<StoredEvent>,
    /// How many requests of it were read that are marked as duplicates or contradictions; None where its requests were not read.
    pub others: Option<usize>,
    /// What becomes of it.
    pub after: After,
}

/// What becomes of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays as it is.
    Same,
    /// It is this, with these receipts, the first of which it enters by.
    Is(Box<EventRow>, ReceiptRow, Vec<ReceiptRow>),
    /// No request tells of it.
    Gone,
}

impl After {
    /// What it says, where it is another.
    pub fn row(&self) -> Option<&EventRow> {
        match self {
            After::Is(row, ..) => Some(row),
            After::Same | After::Gone => None,
        }
    }
}

/// A key of conversions.
#[derive(Clone, Debug)]
pub struct KeyChange {
    /// The key.
    pub conversion_key: String,
    /// How many events it had.
    pub events: usize,
    /// The conversions under it now.
    pub folded: Folded,
    /// Accounts whose deposits its conversions counted as.
    pub deposit_accounts: Vec<String>,
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub struct RequestChange {
    /// Its rows: a request that was delivered twice has two. The first one first.
    pub rows: Vec<(Row, Verdict)>,
    /// Its name.
    pub request_id: String,
    /// When it was received.
    pub received_at: Timestamp,
    /// What it was.
    pub was: Was,
    /// What it is now.
    pub became: Became,
}

/// Where a request is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Among those that reached a verdict, under a number, with a content as the database writes it.
    Postback(i64, String),
    /// Among the rejected ones, under a number.
    Rejection(i64),
}

impl Row {
    /// Where a request is stored that reached a verdict.
    pub fn of(row: &RequestRow) -> Row {
        Row::Postback(row.postback_id, row.content_text.clone())
    }
}

/// What a request was before.
#[derive(Clone, Debug)]
pub enum Was {
    /// A postback.
    Accepted {
        /// Its event.
        event_id: String,
        /// Its conversion.
        conversion_id: String,
        /// Its verdict.
        verdict: String,
        /// Event, status and amounts.
        stated: BTreeMap<String, String>,
    },
    /// No postback.
    Rejected {
        /// The code.
        code: String,
        /// The field at fault.
        field: Option<String>,
    },
}

/// What a request is read into.
#[derive(Clone, Debug)]
pub enum Became {
    /// A postback.
    Accepted(Box<Accepted>),
    /// No postback. It moves to the rejected requests.
    Rejected(Box<Rejection>),
}

/// Why a request is no postback.
#[derive(Clone, Debug)]
pub struct Rejection {
    /// The code.
    pub code: String,
    /// The field at fault.
    pub field: Option<String>,
    /// The HTTP status that such requests are replied.
    pub status: u16,
    /// How it came.
    pub via: Via,
    /// The ids that can be read.
    pub ids: RejectedIds,
}

/// A postback.
#[derive(Clone, Debug)]
pub struct Accepted {
    /// Its event.
    pub event_id: String,
    /// Its conversion.
    pub conversion_id: String,
    /// Its verdict.
    pub verdict: Verdict,
    /// Event, status and amounts.
    pub stated: BTreeMap<String, String>,
    /// Canonical names and texts.
    pub content: BTreeMap<String, String>,
    /// Names that mean nothing.
    pub ignored: Vec<String>,
    /// What is odd about it.
    pub warnings: Vec<String>,
}

/// That somebody is linked to a click.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Link {
    /// The click.
    pub click_id: String,
    /// `account` or `install`.
    pub kind: &'static str,
    /// Who.
    pub linked_id: String,
    /// An event that says so now.
    pub event_id: Option<String>,
    /// An event that said so before, and may not now.
    pub before_event_id: Option<String>,
}

/// The row of an event.
struct Event {
    reread_id: String,
    now: Timestamp,
    rules: String,
    change: Arc<EventChange>,
}

/// The row of a receipt of an event.
struct Repeat {
    reread_id: String,
    event_id: String,
    receipt: ReceiptRow,
}

/// A row of a request.
struct Request {
    reread_id: String,
    rules: String,
    change: Arc<RequestChange>,
    row: Row,
    verdict: Verdict,
    is_first: bool,
}

/// The row of a key.
struct KeyRow {
    reread_id: String,
    conversion_key: String,
    events: i64,
    generation: i64,
    now: Timestamp,
}

/// The row of a link.
struct LinkRow {
    reread_id: String,
    link: Link,
}

/// That the transaction takes effect.
const TAKES_EFFECT: &str = "exists (select 1 from rereads where rereads.reread_id = input.reread_id)";

/// The statements. Who records, rebuilds or evaluates what is about any of these takes turns with them. Then:
///
/// (1) it takes effect where every event is as it was read, no key has more of them, and every request that changes is too
/// (2) what each request was, and what it is, is noted
/// (3) events are what they say now, and have the receipts that they have now
/// (4) requests are what they say now; those that are none move to the rejected ones, and rejected ones that are some reach their verdict
/// (5) conversions are what their events come to, and are evaluated again
/// (6) events that no request tells of go
/// (7) clicks are linked to whom events name now
/// (8) whether it took effect is answered
pub(super) fn statements(dialect: Dialect, replacement: &Replacement) -> Vec<Statement> {
    let keys: Vec<_> = replacement.keys.iter().map(|change| (key(replacement, change), change)).collect();
    let all: Vec<_> = replacement.events.iter().map(|change| event(replacement, change)).collect();
    let changed = replacement.events.iter().filter(|change| change.after != After::Same);
    let changed: Vec<_> = changed.map(|change| event(replacement, change)).collect();
    let requests: Vec<_> = replacement.requests.iter().flat_map(|change| requests(replacement, change)).collect();
    let repeats: Vec<_> = replacement.events.iter().flat_map(|change| repeats(replacement, change)).collect();
    let reread_id = replacement.reread_id.to_string();
    let links = replacement.links.iter().map(|link| LinkRow { reread_id: reread_id.clone(), link: link.clone() });
    let links: Vec<_> = links.collect();
    let key_rows: Vec<_> = keys.iter().map(|(key, change)| key_row(replacement, key, change)).collect();

    let turns = all_turns(dialect, replacement, keys.iter().map(|(key, _)| key));
    let mut statements: Vec<_> = take_turns(dialect).map(|step| step.over(&turns)).into_iter().collect();
    // (1)
    statements.extend([
        begin(dialect).over(&all),
        revoke(dialect).over(&key_rows),
        revoke_changed(dialect).over(&requests),
    ]);
    // (2)
    statements.push(note(dialect).over(&requests));
    // (3)
    statements.extend(put_events(dialect).iter().map(|step| step.over(&changed)));
    statements.push(put_repeats(dialect).over(&repeats));
    // (4)
    statements.extend(put_requests(dialect).iter().map(|step| step.over(&requests)));
    // (5)
    statements.push(request_rebuilds(dialect).over(&key_rows));
    let rebuilds = keys.iter().map(|(key, change)| phases(dialect, key, change.folded.clone()));
    let [mut out, mut put, mut evaluate] = [const { Vec::new() }; 3];
    for [one_out, one_put, one_evaluate] in rebuilds {
        out.extend(one_out);
        put.extend(one_put);
        evaluate.extend(one_evaluate);
    }
    statements.extend(out.into_iter().chain(put).chain(evaluate));
    // (6)
    let [forget_links, put_links] = put_links(dialect);
    statements.push(forget_links.over(&links));
    statements.push(forget_events(dialect).over(&changed));
    // (7)
    statements.push(put_links.over(&links));
    // (8)
    statements.push(answer(dialect).over(&all));
    statements
}

/// Everybody's turns, in one order.
fn all_turns<'k>(dialect: Dialect, replacement: &Replacement, keys: impl Iterator<Item = &'k Key>) -> Vec<Turn> {
    let slot = Turn::Slot(judging_slot(dialect));
    let events = replacement.events.iter().map(|change| Turn::Event(change.event_id.clone()));
    std::iter::once(slot).chain(events).chain(keys.flat_map(turns)).collect()
}

fn event(replacement: &Replacement, change: &Arc<EventChange>) -> Event {
    Event {
        reread_id: replacement.reread_id.to_string(),
        now: replacement.now,
        rules: replacement.rules.clone(),
        change: Arc::clone(change),
    }
}

fn requests(replacement: &Replacement, change: &Arc<RequestChange>) -> Vec<Request> {
    let row = |(place, (row, verdict)): (usize, &(Row, Verdict))| Request {
        reread_id: replacement.reread_id.to_string(),
        rules: replacement.rules.clone(),
        change: Arc::clone(change),
        row: row.clone(),
        verdict: *verdict,
        is_first: place == 0,
    };
    change.rows.iter().enumerate().map(row).collect()
}

fn repeats(replacement: &Replacement, change: &EventChange) -> Vec<Repeat> {
    let After::Is(_, _, repeats) = &change.after else { return Vec::new() };
    let repeat = |receipt: &ReceiptRow| Repeat {
        reread_id: replacement.reread_id.to_string(),
        event_id: change.event_id.clone(),
        receipt: receipt.clone(),
    };
    repeats.iter().map(repeat).collect()
}

fn key(replacement: &Replacement, change: &KeyChange) -> Key {
    Key {
        conversion_key: change.conversion_key.clone(),
        generation: generation(&replacement.reread_id),
        growth: Growth::Refused,
        now: replacement.now,
        deposit_accounts: change.deposit_accounts.clone(),
    }
}

fn key_row(replacement: &Replacement, key: &Key, change: &KeyChange) -> KeyRow {
    KeyRow {
        reread_id: replacement.reread_id.to_string(),
        conversion_key: change.conversion_key.clone(),
        events: number(change.events),
        generation: key.generation,
        now: replacement.now,
    }
}

/// The generation of the rebuilds of a transaction: as good as drawn by lot, because its name is, and as large as a request's own
/// ([`Dialect::random`]).
fn generation(reread_id: &Nonce) -> i64 {
    let folded =
        reread_id.as_str().bytes().fold(0_i64, |number, byte| number.wrapping_mul(257).wrapping_add(i64::from(byte)));
    folded & 0x000f_ffff_ffff_ffff
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// A text or nothing, as JSON.
fn json(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Postgres => format!("cast(input.{column} as jsonb)"),
        Dialect::Sqlite => format!("input.{column}"),
    }
}

fn as_json(texts: &BTreeMap<String, String>) -> String {
    serde_json::Value::from_iter(texts.iter().map(|(name, text)| (name.clone(), text.clone()))).to_string()
}

impl Event {
    fn before<T>(&self, read: impl Fn(&StoredEvent) -> T) -> Option<T> {
        self.change.before.as_ref().map(read)
    }

    fn row<T>(&self, read: impl Fn(&EventRow) -> T) -> Option<T> {
        self.change.after.row().map(read)
    }

    fn first<T>(&self, read: impl Fn(&ReceiptRow) -> T) -> Option<T> {
        match &self.change.after {
            After::Is(_, first, _) => Some(read(first)),
            After::Same | After::Gone => None,
        }
    }
}

const EVENTS: &[Column<Event>] = &[
    Column::text("event_id", |event| Some(event.change.event_id.clone())),
    Column::text("reread_id", |event| Some(event.reread_id.clone())),
    Column::time("reread_at", |event| Some(event.now)),
    Column::text("rules", |event| Some(event.rules.clone())),
    Column::text("before_content", |event| event.before(|before| before.content_text.clone())),
    Column::text("before_key", |event| event.before(|before| before.row.conversion_key.clone())),
    Column::text("before_request", |event| event.before(|before| before.first.request_id.clone())),
    Column::number("before_repeats", |event| number(event.before(|before| before.repeats.len()).unwrap_or(0))),
    Column::number("before_others", |event| event.change.others.map_or(-1, number)),
    Column::text("event", |event| event.row(|row| row.event.clone())),
    Column::text("conversion_id", |event| event.row(|row| row.conversion_id.clone())),
    Column::text("conversion_key", |event| event.row(|row| row.conversion_key.clone())),
    Column::text("fingerprint", |event| event.row(|row| row.fingerprint.clone())),
    Column::text("content", |event| event.row(|row| as_json(&row.content))),
    Column::text("words", |event| event.row(|row| as_json(&row.words))),
    Column::flag("names_event", |event| event.row(|row| row.names_event)),
    Column::time("received_at", |event| event.first(|receipt| receipt.received_at)),
    Column::text("request_id", |event| event.first(|receipt| receipt.request_id.clone())),
    Column::text("receipt_id", |event| event.first(|receipt| receipt.receipt_id.clone())),
];

/// Notes the transaction, where every event is as it was read.
fn begin(dialect: Dialect) -> Step<Event> {
    let by_key = dialect.by_key();
    let [duplicate, conflict] = [Verdict::Duplicate, Verdict::Conflict];
    let is_other = format!(
        "(stored.event_id is null) <> (one.before_content is null)
         or stored.event_id is not null and (cast(stored.content as text) <> one.before_content
            or stored.conversion_key <> one.before_key or stored.request_id <> one.before_request
            or (select count(*) from repeats where repeats.event_id = one.event_id{by_key}) <> one.before_repeats)
         or one.before_others >= 0 and (select count(*) from postbacks as other where other.event_id = one.event_id
            and other.verdict in ('{duplicate}', '{conflict}'){by_key}) <> one.before_others"
    );
    let statement = format!(
        "insert into rereads (reread_id, reread_at, rules)
         select min(input.reread_id), min(input.reread_at), min(input.rules) from input
         where not exists (select 1 from input as one {} where {is_other}) having count(*) > 0",
        dialect.left_join_by_key("events", "stored", "stored.event_id = one.event_id"),
    );
    Step::new(dialect, EVENTS, &statement)
}

const KEYS: &[Column<KeyRow>] = &[
    Column::text("conversion_key", |row| Some(row.conversion_key.clone())),
    Column::text("reread_id", |row| Some(row.reread_id.clone())),
    Column::number("before_events", |row| row.events),
    Column::number("generation", |row| row.generation),
    Column::time("at", |row| Some(row.now)),
];

/// Takes that back, where a key has other events than those that were read.
fn revoke(dialect: Dialect) -> Step<KeyRow> {
    let statement = format!(
        "delete from rereads where reread_id in (select input.reread_id from input
            where (select count(*) from events where events.conversion_key = input.conversion_key{}) <> input.before_events)",
        dialect.by_key()
    );
    Step::new(dialect, KEYS, &statement)
}

/// Takes it back where a request has changed since it was read: it was erased or deleted, or a rejected one has reached a verdict.
fn revoke_changed(dialect: Dialect) -> Step<Request> {
    let by_key = dialect.by_key();
    let statement = format!(
        "delete from rereads where reread_id in (select input.reread_id from input
            where input.rejection_id > 0 and not exists (select 1 from rejections as known
                where known.rejection_id = input.rejection_id and {} and {AS_RECEIVED}{by_key})
            or input.postback_id > 0 and not exists (select 1 from postbacks as known
                where known.postback_id = input.postback_id and cast(known.content as text) = input.before_content
                    and {AS_RECEIVED}{by_key}))",
        may_be_recorded(dialect),
    );
    Step::new(dialect, REQUESTS, &statement)
}

impl Request {
    fn was_accepted(&self, read: impl Fn(&str, &str, &BTreeMap<String, String>) -> String) -> Option<String> {
        match &self.change.was {
            Was::Accepted { event_id, conversion_id, stated, .. } => Some(read(event_id, conversion_id, stated)),
            Was::Rejected { .. } => None,
        }
    }

    fn was_rejected(&self) -> Option<(&str, Option<&str>)> {
        match &self.change.was {
            Was::Accepted { .. } => None,
            Was::Rejected { code, field } => Some((code, field.as_deref())),
        }
    }

    fn before_verdict(&self) -> &str {
        match &self.change.was {
            Was::Accepted { verdict, .. } => verdict,
            Was::Rejected { .. } => Verdict::Rejected.name(),
        }
    }

    /// No row has the number zero.
    fn postback_id(&self) -> i64 {
        match self.row {
            Row::Postback(number, _) => number,
            Row::Rejection(_) => 0,
        }
    }

    fn rejection_id(&self) -> i64 {
        match self.row {
            Row::Postback(..) => 0,
            Row::Rejection(number) => number,
        }
    }

    fn before_content(&self) -> Option<String> {
        match &self.row {
            Row::Postback(_, content) => Some(content.clone()),
            Row::Rejection(_) => None,
        }
    }

    fn accepted<T>(&self, read: impl Fn(&Accepted) -> T) -> Option<T> {
        match &self.change.became {
            Became::Accepted(accepted) => Some(read(accepted)),
            Became::Rejected { .. } => None,
        }
    }

    fn rejected<T>(&self, read: impl Fn(&Rejection) -> T) -> Option<T> {
        match &self.change.became {
            Became::Rejected(rejection) => Some(read(rejection)),
            Became::Accepted(_) => None,
        }
    }

    fn id(&self, read: impl Fn(&RejectedIds) -> Option<String>) -> Option<String> {
        self.rejected(|rejection| read(&rejection.ids)).flatten()
    }
}

const REQUESTS: &[Column<Request>] = &[
    Column::number("postback_id", Request::postback_id),
    Column::number("rejection_id", Request::rejection_id),
    Column::text("before_content", Request::before_content),
    Column::text("reread_id", |row| Some(row.reread_id.clone())),
    Column::text("rules", |row| Some(row.rules.clone())),
    Column::flag("is_first", |row| Some(row.is_first)),
    Column::text("request_id", |row| Some(row.change.request_id.clone())),
    Column::time("received_at", |row| Some(row.change.received_at)),
    Column::text("before_verdict", |row| Some(row.before_verdict().to_owned())),
    Column::text("before_event_id", |row| row.was_accepted(|event_id, _, _| event_id.to_owned())),
    Column::text("before_conversion_id", |row| row.was_accepted(|_, conversion_id, _| conversion_id.to_owned())),
    Column::text("before_stated", |row| row.was_accepted(|_, _, stated| as_json(stated))),
    Column::text("before_code", |row| row.was_rejected().map(|(code, _)| code.to_owned())),
    Column::text("before_field", |row| row.was_rejected().and_then(|(_, field)| field.map(str::to_owned))),
    Column::text("verdict", |row| Some(row.verdict.to_string())),
    Column::text("event_id", |row| row.accepted(|accepted| accepted.event_id.clone())),
    Column::text("conversion_id", |row| row.accepted(|accepted| accepted.conversion_id.clone())),
    Column::text("stated", |row| row.accepted(|accepted| as_json(&accepted.stated))),
    Column::text("content", |row| row.accepted(|accepted| as_json(&accepted.content))),
    Column::text("ignored", |row| {
        row.accepted(|accepted| serde_json::Value::from(accepted.ignored.clone()).to_string())
    }),
    Column::text("warnings", |row| {
        row.accepted(|accepted| serde_json::Value::from(accepted.warnings.clone()).to_string())
    }),
    Column::text("code", |row| row.rejected(|rejection| rejection.code.clone())),
    Column::text("field", |row| row.rejected(|rejection| rejection.field.clone()).flatten()),
    Column::text("via", |row| row.rejected(|rejection| rejection.via.name().to_owned())),
    Column::number("status", |row| row.rejected(|rejection| i64::from(rejection.status)).unwrap_or(0)),
    Column::text("named_event_id", |row| row.id(|ids| ids.event_id.clone())),
    Column::text("named_conversion_id", |row| row.id(|ids| ids.conversion_id.clone())),
    Column::text("named_order_id", |row| row.id(|ids| ids.order_id.clone())),
    Column::text("named_click_id", |row| row.id(|ids| ids.click_id.clone())),
    Column::text("named_account_id", |row| row.id(|ids| ids.account_id.clone())),
];

/// Notes what each request was, and what it is.
fn note(dialect: Dialect) -> Step<Request> {
    let [before_stated, stated] = ["before_stated", "stated"].map(|column| json(dialect, column));
    let statement = format!(
        "insert into reread_requests (reread_id, request_id, received_at, before_verdict, before_event_id, before_conversion_id,
            before_stated, before_code, before_field, verdict, event_id, conversion_id, stated, code, field)
         select input.reread_id, input.request_id, input.received_at, input.before_verdict, input.before_event_id,
            input.before_conversion_id, {before_stated}, input.before_code, input.before_field, input.verdict, input.event_id,
            input.conversion_id, {stated}, input.code, input.field
         from input where input.is_first and {TAKES_EFFECT}"
    );
    Step::new(dialect, REQUESTS, &statement)
}

/// Events are as they are read now, without receipts but the first; and nobody has a job about what they were.
fn put_events(dialect: Dialect) -> Vec<Step<Event>> {
    let changed = format!("(select input.event_id from input where {TAKES_EFFECT})");
    let among = |column: &str| dialect.among(EVENTS, column, "event_id");
    let names = [
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
    let values = names.map(|name| match name {
        "content" | "words" => json(dialect, name),
        _ => format!("input.{name}"),
    });
    let replaced = names.iter().skip(1).map(|name| format!("{name} = excluded.{name}"));
    let put = format!(
        "insert into events ({}) select {} from input where input.event is not null and {TAKES_EFFECT}
         order by input.event_id on conflict (event_id) do update set {}",
        names.join(", "),
        values.join(", "),
        replaced.collect::<Vec<_>>().join(", "),
    );
    [
        format!("delete from work_items where event_id in {changed}{}", among("work_items.event_id")),
        format!("delete from repeats where event_id in {changed}{}", among("repeats.event_id")),
        put,
    ]
    .map(|statement| Step::new(dialect, EVENTS, &statement))
    .into()
}

/// Their further receipts.
fn put_repeats(dialect: Dialect) -> Step<Repeat> {
    const COLUMNS: &[Column<Repeat>] = &[
        Column::text("event_id", |row| Some(row.event_id.clone())),
        Column::text("reread_id", |row| Some(row.reread_id.clone())),
        Column::text("request_id", |row| Some(row.receipt.request_id.clone())),
        Column::time("received_at", |row| Some(row.receipt.received_at)),
        Column::text("receipt_id", |row| Some(row.receipt.receipt_id.clone())),
    ];
    let statement = format!(
        "insert into repeats (event_id, request_id, received_at, receipt_id)
         select input.event_id, input.request_id, input.received_at, input.receipt_id from input where {TAKES_EFFECT}"
    );
    Step::new(dialect, COLUMNS, &statement)
}

/// Conversions of an account that are gone through: more are no person's.
const CONVERSIONS_MAX: usize = 1_000;

/// Who is linked to a click: as the first receipt says of all events that say it. They are those that were read, those of conversions
/// that name the click, and the one that it is linked by already, unless that is replaced. Where it was, they are also those of the
/// account's conversions: these may name another click since.
fn put_links(dialect: Dialect) -> [Step<LinkRow>; 2] {
    const COLUMNS: &[Column<LinkRow>] = &[
        Column::text("click_id", |row| Some(row.link.click_id.clone())),
        Column::text("reread_id", |row| Some(row.reread_id.clone())),
        Column::text("kind", |row| Some(row.link.kind.to_owned())),
        Column::text("linked_id", |row| Some(row.link.linked_id.clone())),
        Column::text("event_id", |row| row.link.event_id.clone()),
        Column::text("before_event_id", |row| row.link.before_event_id.clone()),
    ];
    let forget = format!(
        "delete from links where (click_id, kind, linked_id, event_id) in (
            select input.click_id, input.kind, input.linked_id, input.before_event_id from input where {TAKES_EFFECT}){}",
        dialect.among(COLUMNS, "links.click_id", "click_id"),
    );
    let conversions = dialect.join_in_order("conversions", "own", "own.click_id = input.click_id");
    let events_of_them = dialect.join_in_order("events", "event", "event.conversion_key = own.conversion_key");
    let events = dialect.join_in_order("events", "event", "event.event_id = input.event_id");
    let repeats = dialect.join_in_order("repeats", "again", "again.event_id = told.event_id");
    let columns = "input.reread_id, input.click_id, input.kind, input.linked_id, event.event_id, event.received_at, event.request_id";
    let by_account = dialect.join_in_order("conversions", "own", "own.account_id = input.linked_id");
    let by_key = dialect.by_key();
    let says =
        "event.content ->> 'click_id' = input.click_id and event.content ->> (input.kind || '_id') = input.linked_id";
    let says = match dialect {
        Dialect::Postgres => says.to_owned(),
        // One whose content is damaged says nothing, and keeps none of the others.
        Dialect::Sqlite => format!("case when json_valid(event.content) then {says} else false end"),
    };
    let request_id = match dialect {
        Dialect::Postgres => "said.request_id collate \"C\"",
        Dialect::Sqlite => "said.request_id",
    };
    let put = format!(
        ", pairs as (select distinct reread_id, click_id, kind, linked_id from input),
         lost as (
            select pairs.* from pairs where pairs.kind = 'account'
                and not exists (select 1 from links where links.click_id = pairs.click_id and links.kind = pairs.kind
                    and links.linked_id = pairs.linked_id{by_key})
                and (select count(*) from (select 1 from conversions as one where one.account_id = pairs.linked_id
                    limit {CONVERSIONS_MAX} + 1) as some_of_them) <= {CONVERSIONS_MAX}),
         told as (
            select {columns} from input {events} where {says}
            union select {columns} from pairs as input {conversions} {events_of_them} where {says}
            union select {columns} from lost as input {by_account} {events_of_them} where {says}),
         said as (
            select * from told
            union all select told.reread_id, told.click_id, told.kind, told.linked_id, told.event_id, again.received_at,
                again.request_id from told {repeats}),
         placed as (
            select said.*, row_number() over (partition by said.click_id, said.kind, said.linked_id
                order by said.received_at, {request_id}, said.event_id) as place
            from said where exists (select 1 from rereads where rereads.reread_id = said.reread_id))
         insert into links (click_id, kind, linked_id, event_id, linked_at, request_id)
         select placed.click_id, placed.kind, placed.linked_id, placed.event_id, placed.received_at, placed.request_id
         from placed where placed.place = 1 order by placed.click_id, placed.kind, placed.linked_id
         on conflict (click_id, kind, linked_id) do update set event_id = excluded.event_id, linked_at = excluded.linked_at,
            request_id = excluded.request_id
         where (excluded.linked_at, excluded.request_id, excluded.event_id)
            < (links.linked_at, links.request_id, links.event_id)"
    );
    [forget, put].map(|statement| Step::new(dialect, COLUMNS, &statement))
}

/// Requests are as they are read now. Those that are no postbacks are where they would be, had they been read so at first.
fn put_requests(dialect: Dialect) -> [Step<Request>; 4] {
    let [content, ignored, warnings] = ["content", "ignored", "warnings"].map(|column| json(dialect, column));
    let among = dialect.among(REQUESTS, "postbacks.postback_id", "postback_id");
    let put = format!(
        "update postbacks set event_id = input.event_id, verdict = input.verdict, content = {content}, ignored = {ignored},
            warnings = {warnings}
         from input where postbacks.postback_id = input.postback_id and input.event_id is not null and {TAKES_EFFECT}{among}"
    );
    let kept = [
        "receipt_id",
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
    ];
    let given = ["event_id", "conversion_id", "order_id", "click_id", "account_id"];
    let reject = format!(
        "insert into rejections ({kept}, code, field, via, is_authenticated, status, rules, {given}, first_number)
         select {values}, input.code, input.field, input.via, {is_authenticated}, input.status, input.rules, {named},
            nullif(coalesce(known.first_number, known.postback_id), 0)
         from input {known} where input.is_first and input.code is not null and {TAKES_EFFECT}
         on conflict (request_id) do update set {replaced}",
        kept = kept.join(", "),
        given = given.join(", "),
        values = kept.map(|name| format!("known.{name}")).join(", "),
        // It was rejected before, and is now for another reason.
        replaced = ["code", "field", "status", "rules"]
            .into_iter()
            .chain(given)
            .map(|name| format!("{name} = excluded.{name}"))
            .collect::<Vec<_>>()
            .join(", "),
        named = given.map(|name| format!("input.named_{name}")).join(", "),
        is_authenticated = match dialect {
            Dialect::Postgres => "true",
            Dialect::Sqlite => "1",
        },
        known = dialect.join_in_order("postbacks", "known", "known.postback_id = input.postback_id"),
    );
    let forget = format!(
        "delete from postbacks where postback_id in (
            select input.postback_id from input where input.code is not null and {TAKES_EFFECT}){among}"
    );
    let recover = format!(
        "insert into postbacks ({kept}, event_id, verdict, content, ignored, warnings, first_number)
         select {values}, input.event_id, input.verdict, {content}, {ignored}, {warnings}, coalesce(known.first_number, 0)
         from input {known} where input.rejection_id > 0 and {TAKES_EFFECT}
         order by known.received_at, known.request_id",
        kept = kept.join(", "),
        values = kept.map(|name| format!("known.{name}")).join(", "),
        known = dialect.join_in_order("rejections", "known", "known.rejection_id = input.rejection_id"),
    );
    [put, reject, forget, recover].map(|statement| Step::new(dialect, REQUESTS, &statement))
}

/// Requests that the keys are rebuilt, by the transaction itself.
fn request_rebuilds(dialect: Dialect) -> Step<KeyRow> {
    let statement = format!(
        "insert into rebuilds (conversion_key, generation, due_at)
         select input.conversion_key, input.generation, input.at from input where {TAKES_EFFECT}
         order by input.conversion_key
         on conflict (conversion_key) do update set generation = excluded.generation, due_at = excluded.due_at"
    );
    Step::new(dialect, KEYS, &statement)
}

fn forget_events(dialect: Dialect) -> Step<Event> {
    let statement = format!(
        "delete from events where event_id in (
            select input.event_id from input where input.event is null and {TAKES_EFFECT}){}",
        dialect.among(EVENTS, "events.event_id", "event_id"),
    );
    Step::new(dialect, EVENTS, &statement)
}

fn answer(dialect: Dialect) -> Step<Event> {
    let statement = format!(
        "select min(input.reread_id) as id, '{DONE}' as answer from input where {TAKES_EFFECT} having count(*) > 0"
    );
    Step::new(dialect, EVENTS, &statement).answering()
}
