//! What lists of requests have in common: the ids that they are filtered by, places in their order, and how a filter becomes SQL.

use super::super::statement::{Column, Dialect};
use postback::time::Timestamp;

/// Ids that a request must have; those that are not given match everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ids {
    /// The request's own.
    pub request_id: Option<String>,
    /// Its event's.
    pub event_id: Option<String>,
    /// Its conversion's, as the sender names it.
    pub conversion_id: Option<String>,
    /// The order's.
    pub order_id: Option<String>,
    /// The click's.
    pub click_id: Option<String>,
    /// The account's.
    pub account_id: Option<String>,
}

impl Ids {
    /// The names of those that are given, in the order in which they single out the fewest rows.
    pub(super) fn given(&self) -> Vec<&'static str> {
        let Ids { request_id, event_id, conversion_id, order_id, click_id, account_id } = self;
        let ids = [
            ("request_id", request_id),
            ("event_id", event_id),
            ("conversion_id", conversion_id),
            ("order_id", order_id),
            ("click_id", click_id),
            ("account_id", account_id),
        ];
        ids.into_iter().filter(|(_, id)| id.is_some()).map(|(name, _)| name).collect()
    }
}

/// The place of a request in the order of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When it was received.
    pub received_at: Timestamp,
    /// Its number in its table.
    pub number: i64,
}

/// What a list is asked for, as the row that its statement works on.
#[derive(Clone, Debug, Default)]
pub(super) struct Asked {
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
    pub(super) ids: Ids,
    pub(super) code: Option<String>,
    pub(super) after: Option<Place>,
}

pub(super) const COLUMNS: &[Column<Asked>] = &[
    Column::time("from_at", |asked| asked.from),
    Column::time("to_at", |asked| asked.to),
    Column::text("request_id", |asked| asked.ids.request_id.clone()),
    Column::text("event_id", |asked| asked.ids.event_id.clone()),
    Column::text("conversion_id", |asked| asked.ids.conversion_id.clone()),
    Column::text("order_id", |asked| asked.ids.order_id.clone()),
    Column::text("click_id", |asked| asked.ids.click_id.clone()),
    Column::text("account_id", |asked| asked.ids.account_id.clone()),
    Column::text("code", |asked| asked.code.clone()),
    Column::time("after_at", |asked| asked.after.map(|after| after.received_at)),
    Column::number("after_number", |asked| asked.after.map_or(0, |after| after.number)),
];

impl Asked {
    /// The conditions of time and place on the rows `known` of a table whose key is `key`.
    pub(super) fn within(&self, key: &str) -> Vec<String> {
        let conditions = [
            self.from.map(|_| format!("known.received_at >= {}", asked("from_at"))),
            self.to.map(|_| format!("known.received_at < {}", asked("to_at"))),
            // The first condition alone is one that an index of the time answers.
            self.after.map(|_| {
                let [at, number] = ["after_at", "after_number"].map(asked);
                format!("known.received_at <= {at} and (known.received_at, known.{key}) < ({at}, {number})")
            }),
        ];
        conditions.into_iter().flatten().collect()
    }
}

/// A column of what is asked.
pub(super) fn asked(name: &str) -> String {
    format!("(select {name} from input)")
}

/// All of these conditions.
pub(super) fn all(conditions: &[String]) -> String {
    if conditions.is_empty() { "true".to_owned() } else { conditions.join(" and ") }
}

/// The rows of a table that have an id, found by its index before anything is put in order: of a few rows no order by time is read.
pub(super) fn rows_with(dialect: Dialect, table: &str, name: &str) -> String {
    format!("(select * from {table} where {table}.{name} = {}{}) as known", asked(name), dialect.by_key())
}
