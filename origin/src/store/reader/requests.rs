//! Requests that reached a verdict, as they were received: by the page, and those of events.

use super::super::StoreError;
use super::super::statement::{Dialect, Done, Statement, Step, read_json};
use super::super::worklist::time;
use super::listing::{Asked, COLUMNS, Ids, Place, all, asked, rows_with};
use postback::message_signature::header::SIGNATURE_INPUT;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use serde::Deserialize;

/// Which requests are meant: all that what is given lets through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestFilter {
    /// They were received at this instant or later.
    pub from: Option<Timestamp>,
    /// They were received before this instant.
    pub to: Option<Timestamp>,
    /// What became of them.
    pub verdict: Option<Verdict>,
    /// What they are about. Of a conversion, order, click and account all requests are meant about conversions that have it, also those
    /// that do not name it themselves.
    pub ids: Ids,
}

/// A page of requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestPage {
    /// What is on it.
    pub filter: RequestFilter,
    /// Behind which request it begins; None: with the latest.
    pub after: Option<Place>,
    /// How many are on it at most.
    pub limit: u32,
}

/// A request that reached a verdict. Secrets were taken out before it was stored; the sender's address and the body are not read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Request {
    /// Its number in its table.
    pub postback_id: i64,
    /// Its name in replies and logs. Attempts to deliver one postback share it.
    pub request_id: String,
    /// The event that it tells of.
    pub event_id: String,
    /// The event's canonical name.
    pub event: Option<String>,
    /// The sender's id of the conversion.
    pub conversion_id: Option<String>,
    /// What became of it.
    pub verdict: String,
    /// When it reached us.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
    /// How its sender was authenticated.
    pub auth_mode: String,
    /// `edge` or `direct`; None where its headers have been erased.
    pub via: Option<String>,
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The body's type.
    pub content_type: Option<String>,
    /// Names that mean nothing to us.
    pub ignored: Vec<String>,
    /// Codes of what was odd.
    pub warnings: Vec<String>,
}

/// The statement for a page: only what the filter has stands in it, so that each text has one plan.
pub(super) fn select(dialect: Dialect, page: &RequestPage) -> Statement {
    let RequestPage { filter: RequestFilter { from, to, verdict, ids }, after, limit } = page.clone();
    let row = Asked { from, to, ids, after, ..Asked::default() };
    let given = row.ids.given();
    let (sets, source) = match given.first() {
        None => (String::new(), "postbacks as known".to_owned()),
        Some(&"request_id") => (String::new(), rows_with(dialect, "postbacks", "request_id")),
        Some(&"event_id") => {
            let events = format!("asked(event_id) as (select event_id from input), {}", of_events(dialect));
            (format!(", {events}"), "of_events as known".to_owned())
        }
        Some(name) => {
            let events = format!("asked(event_id) as ({}), {}", events_about(dialect, name), of_events(dialect));
            (format!(", {events}"), "of_events as known".to_owned())
        }
    };
    let mut conditions = row.within("postback_id");
    // Words of ours in the text, so that SQLite knows that its index of verdicts (`postbacks_by_verdict`) has all that is asked for.
    conditions.extend(verdict.map(|verdict| match verdict {
        Verdict::Created => format!("known.verdict = '{verdict}'"),
        Verdict::Duplicate | Verdict::Revised | Verdict::Conflict | Verdict::Rejected => {
            format!("known.verdict <> '{}' and known.verdict = '{verdict}'", Verdict::Created)
        }
    }));
    conditions.extend(given.iter().skip(1).map(|name| also(dialect, name)));
    let statement = format!(
        "{sets} select known.request_id as id, {} as answer from {source} {} where {}
         order by known.received_at desc, known.postback_id desc limit {limit}",
        object(dialect),
        join_event(dialect),
        all(&conditions),
    );
    Step::new(dialect, COLUMNS, &statement).answering().over(&[row])
}

/// The events of conversions that have an id in a column.
fn events_about(dialect: Dialect, name: &str) -> String {
    format!(
        "select distinct event.event_id from input {} {}",
        dialect.join_in_order("conversions", "own", &format!("own.{name} = input.{name}")),
        dialect.join_in_order("events", "event", "event.conversion_key = own.conversion_key"),
    )
}

/// A further condition on a request that another id has found.
fn also(dialect: Dialect, name: &str) -> String {
    let by_key = dialect.by_key();
    match name {
        "request_id" | "event_id" => format!("known.{name} = {}", asked(name)),
        _ => format!(
            "exists (select 1 from events as named join conversions as own on own.conversion_key = named.conversion_key
                where named.event_id = known.event_id and own.{name} = {}{by_key})",
            asked(name)
        ),
    }
}

/// The requests of the events that are `asked`, as the table `of_events`. What an event entered by came when it did and has its request
/// id; repeats and contradictions have an index (`postbacks_repeated`); a return to an earlier state is found by its receipt.
pub(in crate::store) fn of_events(dialect: Dialect) -> String {
    let [created, revised, duplicate, conflict] =
        [Verdict::Created, Verdict::Revised, Verdict::Duplicate, Verdict::Conflict];
    let of_receipt = |receipt: &str| {
        let condition = format!(
            "found.received_at = {receipt}.received_at and found.event_id = {receipt}.event_id
                and found.request_id = {receipt}.request_id and found.verdict in ('{created}', '{revised}')"
        );
        dialect.join_in_order("postbacks", "found", &condition)
    };
    format!(
        "of_events as (
            select found.* from asked {} {}
            union all
            select found.* from asked {}
            union all
            select found.* from asked {} {})",
        dialect.join_in_order("events", "entered", "entered.event_id = asked.event_id"),
        of_receipt("entered"),
        dialect.join_in_order(
            "postbacks",
            "found",
            &format!("found.event_id = asked.event_id and found.verdict in ('{duplicate}', '{conflict}')")
        ),
        dialect.join_in_order("repeats", "again", "again.event_id = asked.event_id"),
        of_receipt("again"),
    )
}

/// The event of a request that is `known`.
pub(super) fn join_event(dialect: Dialect) -> String {
    dialect.left_join_by_key("events", "event", "event.event_id = known.event_id")
}

/// A request that is `known`, in JSON, its `event` beside it.
pub(super) fn object(dialect: Dialect) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let list = |name: &'static str| {
        let list = match dialect {
            Dialect::Postgres => format!("known.{name}"),
            Dialect::Sqlite => format!("json(known.{name})"),
        };
        (name, list)
    };
    // The edge's requests alone have a message signature.
    let via = format!(
        "case when known.headers ->> '{SIGNATURE_INPUT}' is not null then 'edge'
              when cast(known.headers as text) <> '{{}}' then 'direct' end"
    );
    dialect.json_object(&[
        column("postback_id"),
        column("request_id"),
        column("event_id"),
        ("event", "event.event".to_owned()),
        ("conversion_id", "event.conversion_id".to_owned()),
        column("verdict"),
        ("received_at", dialect.time_text("known.received_at")),
        column("auth_mode"),
        ("via", via),
        column("method"),
        column("target"),
        column("content_type"),
        list("ignored"),
        list("warnings"),
    ])
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<Request>, StoreError> {
    let request = |(_, answer): (String, String)| read_json("a request", &answer);
    done.into_iter().flat_map(|done| done.answers).map(request).collect()
}
