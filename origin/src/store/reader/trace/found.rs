//! What an id is the id of: events and conversions.

use super::super::super::StoreError;
use super::super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::{CONVERSIONS_MAX, EVENTS_MAX, ORDERED_MAX};
use serde::Deserialize;

/// Columns of conversions that hold ids, each with an index.
pub(super) const COLUMNS: [&str; 4] = ["conversion_id", "order_id", "click_id", "account_id"];

/// A conversion by its key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Key {
    /// Its key.
    pub conversion_key: String,
    /// Which under its key.
    pub occurrence: i64,
}

/// An event that an id leads to.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Event {
    pub(super) event_id: String,
    pub(super) conversion_key: String,
}

/// The row of a statement about an id.
pub(super) const ID: &[Column<String>] = &[Column::text("id", |id| Some(id.clone()))];

/// A conversion's key that is `known`, in JSON, behind what a statement answers first.
pub(super) fn key(dialect: Dialect) -> String {
    let key = [("conversion_key", "known.conversion_key".to_owned()), ("occurrence", "known.occurrence".to_owned())];
    format!("select known.conversion_key as id, {} as answer", dialect.json_object(&key))
}

/// The event of this id, and that of the request of this id, also of a rejected one; and what a request of it was read into again.
pub(super) fn events(dialect: Dialect) -> Step<String> {
    let event = [("event_id", "known.event_id".to_owned()), ("conversion_key", "known.conversion_key".to_owned())];
    let statement = format!(
        ", traced_ids(event_id) as (
            select input.id from input
            union select request.event_id from input {}
            union select rejected.event_id from input {}
            union select again.event_id from input {}
            union select again.event_id from input {})
         select known.event_id as id, {} as answer from traced_ids {} limit {}",
        dialect.join_in_order("postbacks", "request", "request.request_id = input.id"),
        rejected(dialect),
        dialect.join_in_order("reread_requests", "again", "again.before_event_id = input.id"),
        dialect.join_in_order("reread_requests", "again", "again.before_conversion_id = input.id"),
        dialect.json_object(&event),
        dialect.join_in_order("events", "known", "known.event_id = traced_ids.event_id"),
        EVENTS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// The latest conversions that have the id in a column.
pub(super) fn conversions(dialect: Dialect, name: &str) -> Step<String> {
    let join = dialect.join_in_order("conversions", "traced", &format!("traced.{name} = input.id"));
    let statement = format!(
        "{} from (select traced.* from input {join} limit {ORDERED_MAX}) as known
         order by known.received_at desc, known.conversion_key desc, known.occurrence desc limit {}",
        key(dialect),
        CONVERSIONS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

/// The conversions that a rejected request of this id names.
pub(super) fn conversions_of_rejected(dialect: Dialect) -> Step<String> {
    let statement = format!(
        "{} from input {} {} limit {}",
        key(dialect),
        rejected(dialect),
        dialect.join_in_order("conversions", "known", "known.conversion_id = rejected.conversion_id"),
        CONVERSIONS_MAX.saturating_add(1),
    );
    Step::new(dialect, ID, &statement).answering()
}

fn rejected(dialect: Dialect) -> String {
    dialect.join_in_order("rejections", "rejected", "rejected.request_id = input.id")
}

/// The conversions that events made or changed; of an event that changed none, those under its key.
pub(super) fn conversions_of_events(dialect: Dialect) -> Step<Event> {
    const COLUMNS: &[Column<Event>] = &[
        Column::text("event_id", |event| Some(event.event_id.clone())),
        Column::text("conversion_key", |event| Some(event.conversion_key.clone())),
    ];
    let made = |occurrence: &str| {
        format!(
            "exists (select 1 from revisions as change where change.conversion_key = input.conversion_key{occurrence}
                and change.event_id = input.event_id{})",
            dialect.by_key()
        )
    };
    let statement = format!(
        "{} from input {} where {} or not {} limit {}",
        key(dialect),
        dialect.join_in_order("conversions", "known", "known.conversion_key = input.conversion_key"),
        made(" and change.occurrence = known.occurrence"),
        made(""),
        CONVERSIONS_MAX.saturating_add(1),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

pub(super) fn read_events(done: Option<Done>) -> Result<Vec<Event>, StoreError> {
    let events = done.into_iter().flat_map(|done| done.answers);
    events.map(|(_, answer)| read_json("an event that an id leads to", &answer)).collect()
}

pub(super) fn read_keys(done: Done) -> Result<Vec<Key>, StoreError> {
    done.answers.iter().map(|(_, answer)| read_json("a conversion's key", answer)).collect()
}
