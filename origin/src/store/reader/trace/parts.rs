//! What is stored of conversions, events and clicks that a trace has found.

use super::super::super::StoreError;
use super::super::super::statement::{Dialect, Done, Step, read_json};
use super::super::super::worklist::{Money, time};
use super::super::{conversions as conversion, flag, optional_time, rejected, requests as request};
use super::found::{ID, Key};
use super::linked::{KEY, is_own};
use super::{CLICKS_MAX, EVENTS_MAX, ORDERED_MAX, REJECTIONS_MAX, REQUESTS_MAX, REREADS_MAX, REVISIONS_MAX};
use postback::time::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A click. Where it came from is not read.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct ClickRow {
    /// Its id.
    pub click_id: String,
    /// The offer's code in the partner's file.
    pub offer: String,
    /// When.
    #[serde(deserialize_with = "time")]
    pub clicked_at: Timestamp,
    /// The publisher's mark.
    pub sub_id: Option<String>,
    /// The publisher.
    pub media_id: Option<String>,
    /// Whether a browser fetched the page in advance.
    #[serde(deserialize_with = "flag")]
    pub is_prefetch: bool,
}

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct EventRow {
    /// Its id.
    pub event_id: String,
    /// Its canonical name.
    pub event: String,
    /// The sender's id of the conversion.
    pub conversion_id: String,
    /// The conversion's key.
    pub conversion_key: String,
    /// The request that it entered by.
    pub request_id: String,
    /// When that was received.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
}

/// A revision: what a conversion stated behind an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Change {
    /// The conversion.
    #[serde(flatten)]
    pub key: Key,
    /// Its number, from 1.
    pub revision: i64,
    /// The event that made it.
    pub event_id: String,
    /// When it was received.
    #[serde(deserialize_with = "time")]
    pub received_at: Timestamp,
    /// When the event happened; None: it was stored before revisions kept what they state.
    #[serde(deserialize_with = "optional_time")]
    pub effective_at: Option<Timestamp>,
    /// The conversion's status behind it.
    pub status: Option<String>,
    /// Whether a known event came again and the conversion returned to what it says.
    #[serde(deserialize_with = "flag")]
    pub is_return: bool,
    /// The amounts behind it.
    #[serde(flatten)]
    pub stated: Money,
}

/// What is beside a conversion.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct State {
    /// The conversion.
    #[serde(flatten)]
    pub key: Key,
    /// When its click happened that was dropped for its age.
    #[serde(deserialize_with = "optional_time")]
    pub dropped_clicked_at: Option<Timestamp>,
    /// When it was processed last.
    #[serde(deserialize_with = "optional_time")]
    pub processed_at: Option<Timestamp>,
    /// Whether chargebacks left nothing of it.
    #[serde(deserialize_with = "flag")]
    pub is_charged_back: bool,
    /// When a rebuild of it is due, where one is pending.
    #[serde(deserialize_with = "optional_time")]
    pub rebuild_due_at: Option<Timestamp>,
}

/// A request that was read again, and what it was before.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Reread {
    /// When.
    #[serde(deserialize_with = "time")]
    pub reread_at: Timestamp,
    /// The version of the rules that it was read by.
    pub rules: String,
    /// The request.
    pub request_id: String,
    /// Its verdict before.
    pub before_verdict: String,
    /// Its event before; None: it was rejected.
    pub before_event_id: Option<String>,
    /// Its conversion before.
    pub before_conversion_id: Option<String>,
    /// Event, status and amounts before: JSON of texts.
    pub before_stated: Option<String>,
    /// Why it was rejected before.
    pub before_code: Option<String>,
    /// The field at fault before.
    pub before_field: Option<String>,
    /// Its verdict behind it.
    pub verdict: String,
    /// Its event behind it; None: it was rejected.
    pub event_id: Option<String>,
    /// Its conversion behind it.
    pub conversion_id: Option<String>,
    /// Event, status and amounts behind it.
    pub stated: Option<String>,
    /// Why it was rejected.
    pub code: Option<String>,
    /// The field at fault.
    pub field: Option<String>,
}

/// A pending job of an event.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Job {
    /// The event.
    pub event_id: String,
    /// The conversion's key.
    pub conversion_key: String,
    /// `waiting`, `delayed` until there is a rate, or `dead`: it failed permanently.
    pub state: String,
    /// How often it failed.
    pub attempts: i64,
    /// When it is due.
    #[serde(deserialize_with = "time")]
    pub due_at: Timestamp,
}

/// Conversions by their keys.
pub(super) fn conversions(dialect: Dialect) -> Step<Key> {
    let statement = format!(
        "select known.conversion_key as id, {} as answer from input {} {}",
        conversion::object(dialect),
        dialect.join_in_order("conversions", "known", &is_own("known")),
        conversion::join_sale(dialect),
    );
    Step::new(dialect, KEY, &statement).answering()
}

/// Their revisions.
pub(super) fn revisions(dialect: Dialect) -> Step<Key> {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let time = |name: &'static str| (name, dialect.time_text(&format!("known.{name}")));
    let amount = |name: &'static str| (name, dialect.micros(&format!("known.{}", dialect.amount(name))));
    let revision = [
        column("conversion_key"),
        column("occurrence"),
        column("revision"),
        column("event_id"),
        time("received_at"),
        time("effective_at"),
        column("status"),
        column("is_return"),
        amount("sale_amount"),
        column("currency"),
        amount("payout"),
        column("payout_currency"),
        amount("usd_sale_amount"),
        amount("usd_payout"),
    ];
    let statement = format!(
        "select known.conversion_key as id, {} as answer from input {} limit {}",
        dialect.json_object(&revision),
        dialect.join_in_order("revisions", "known", &is_own("known")),
        REVISIONS_MAX.saturating_add(1),
    );
    Step::new(dialect, KEY, &statement).answering()
}

/// What is beside them.
pub(super) fn states(dialect: Dialect) -> Step<Key> {
    let time = |name: &'static str| (name, dialect.time_text(&format!("known.{name}")));
    let state = [
        ("conversion_key", "known.conversion_key".to_owned()),
        ("occurrence", "known.occurrence".to_owned()),
        time("dropped_clicked_at"),
        time("processed_at"),
        ("is_charged_back", "known.is_charged_back".to_owned()),
        ("rebuild_due_at", dialect.time_text("rebuild.due_at")),
    ];
    let statement = format!(
        "select known.conversion_key as id, {} as answer from input {} {}",
        dialect.json_object(&state),
        dialect.join_in_order("conversions", "known", &is_own("known")),
        dialect.left_join_by_key("rebuilds", "rebuild", "rebuild.conversion_key = input.conversion_key"),
    );
    Step::new(dialect, KEY, &statement).answering()
}

/// The ids of their events, the latest first: those that made or changed them, and those of their key that changed no conversion.
pub(super) fn events(dialect: Dialect) -> Step<Key> {
    let made = |occurrence: &str| {
        format!(
            "exists (select 1 from revisions as change where change.conversion_key = known.conversion_key{occurrence}
                and change.event_id = known.event_id{})",
            dialect.by_key()
        )
    };
    let statement = format!(
        "select known.event_id as id, {} as answer from input {} where {} or not {}
         order by known.received_at desc limit {}",
        dialect.time_text("known.received_at"),
        dialect.join_in_order("events", "known", "known.conversion_key = input.conversion_key"),
        made(" and change.occurrence = input.occurrence"),
        made(""),
        EVENTS_MAX.saturating_add(1),
    );
    Step::new(dialect, KEY, &statement).answering()
}

/// Events by their ids.
pub(super) fn event_rows(dialect: Dialect) -> Step<String> {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let event = [
        column("event_id"),
        column("event"),
        column("conversion_id"),
        column("conversion_key"),
        column("request_id"),
        ("received_at", dialect.time_text("known.received_at")),
    ];
    let statement = format!(
        "select known.event_id as id, {} as answer from input {}",
        dialect.json_object(&event),
        dialect.join_in_order("events", "known", "known.event_id = input.id"),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// The latest requests of events.
pub(super) fn requests(dialect: Dialect) -> Step<String> {
    let statement = format!(
        ", asked(event_id) as (select id from input), {},
         known as (select * from of_events limit {ORDERED_MAX})
         select known.request_id as id, {} as answer from known {}
         order by known.received_at desc, known.postback_id desc limit {}",
        request::of_events(dialect),
        request::object(dialect),
        request::join_event(dialect),
        REQUESTS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// The pending jobs of events.
pub(super) fn jobs(dialect: Dialect) -> Step<String> {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let job = [
        column("event_id"),
        column("conversion_key"),
        column("state"),
        column("attempts"),
        ("due_at", dialect.time_text("known.due_at")),
    ];
    let statement = format!(
        "select known.event_id as id, {} as answer from input {}",
        dialect.json_object(&job),
        dialect.join_in_order("work_items", "known", "known.event_id = input.id"),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// Clicks by their ids.
pub(super) fn clicks(dialect: Dialect) -> Step<String> {
    let statement = format!(
        "select known.click_id as id, {} as answer from input {} limit {}",
        click(dialect),
        dialect.join_in_order("clicks", "known", "known.click_id = input.id"),
        CLICKS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// The clicks that are linked to an account.
pub(super) fn clicks_of_account(dialect: Dialect) -> Step<String> {
    let statement = format!(
        "select known.click_id as id, {} as answer from input {} {} limit {}",
        click(dialect),
        dialect.join_in_order("links", "link", "link.kind = 'account' and link.linked_id = input.id"),
        dialect.join_in_order("clicks", "known", "known.click_id = link.click_id"),
        CLICKS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

fn click(dialect: Dialect) -> String {
    let column = |name: &'static str| (name, format!("known.{name}"));
    dialect.json_object(&[
        column("click_id"),
        column("offer"),
        ("clicked_at", dialect.time_text("known.clicked_at")),
        column("sub_id"),
        column("media_id"),
        column("is_prefetch"),
    ])
}

/// The latest rejected requests that have an id in a column.
pub(super) fn rejections(dialect: Dialect, name: &str) -> Step<String> {
    let join = dialect.join_in_order("rejections", "traced", &format!("traced.{name} = input.id"));
    let statement = format!(
        "select known.request_id as id, {} as answer
         from (select traced.* from input {join} limit {ORDERED_MAX}) as known
         order by known.received_at desc, known.rejection_id desc limit {}",
        rejected::object(dialect),
        REJECTIONS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// How requests were read again, by a column of ids.
pub(super) fn rereads(dialect: Dialect, name: &str) -> Step<String> {
    let column = |name: &'static str| (name, format!("known.{name}"));
    let json = |name: &'static str| (name, format!("cast(known.{name} as text)"));
    let reread = [
        ("reread_at", dialect.time_text("done.reread_at")),
        ("rules", "done.rules".to_owned()),
        column("request_id"),
        column("before_verdict"),
        column("before_event_id"),
        column("before_conversion_id"),
        json("before_stated"),
        column("before_code"),
        column("before_field"),
        column("verdict"),
        column("event_id"),
        column("conversion_id"),
        json("stated"),
        column("code"),
        column("field"),
    ];
    let statement = format!(
        "select known.request_id as id, {} as answer from input {} {} limit {}",
        dialect.json_object(&reread),
        dialect.join_in_order("reread_requests", "known", &format!("known.{name} = input.id")),
        dialect.join_in_order("rereads", "done", "done.reread_id = known.reread_id"),
        REREADS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

pub(super) fn read<T: DeserializeOwned>(what: &str, done: Vec<Done>) -> Result<Vec<T>, StoreError> {
    let rows = done.into_iter().flat_map(|done| done.answers);
    rows.map(|(_, answer)| read_json(what, &answer)).collect()
}
