//! Which conversions are balanced together: one step from each to its sale, its returns, and those of its id.

use super::super::statement::{Column, Dialect, Step};

/// A conversion, or what one will say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relation {
    /// Its key.
    pub conversion_key: Option<String>,
    /// The sender's id of it.
    pub conversion_id: Option<String>,
    /// An event of it.
    pub event_id: Option<String>,
    /// The event of a sale that it names.
    pub original_event_id: Option<String>,
}

/// The keys of conversions that are related to rows.
pub(super) fn keys(dialect: Dialect) -> Step<Relation> {
    const COLUMNS: &[Column<Relation>] = &[
        Column::text("conversion_key", |row| row.conversion_key.clone()),
        Column::text("conversion_id", |row| row.conversion_id.clone()),
        Column::text("event_id", |row| row.event_id.clone()),
        Column::text("original_event_id", |row| row.original_event_id.clone()),
    ];
    let conversions = |name: &str, condition: &str| dialect.join_in_order("conversions", name, condition);
    let own = conversions("own", "own.conversion_key = input.conversion_key");
    let events = |condition: &str| dialect.join_in_order("events", "event", condition);
    let found = [
        // Of its id, now and then.
        format!(
            "{own} {}",
            conversions("other", "other.conversion_id = own.conversion_id or other.conversion_key = own.refund_of")
        ),
        conversions("other", "other.conversion_id = input.conversion_id or other.original_event_id = input.event_id"),
        // What names an event of it.
        format!(
            "{} {}",
            events("event.conversion_key = input.conversion_key"),
            conversions("other", "other.original_event_id = event.event_id or other.refund_of = input.conversion_key")
        ),
    ];
    let named = [
        // Whose event it names, or will.
        events("event.event_id = input.original_event_id"),
        format!("{own} {}", events("event.event_id = own.original_event_id")),
    ];
    let others =
        found.iter().map(|joins| format!("select other.conversion_key as id, '' as answer from input {joins}"));
    let sales = named.iter().map(|joins| format!("select event.conversion_key as id, '' as answer from input {joins}"));
    let all: Vec<_> = others.chain(sales).collect();
    Step::new(dialect, COLUMNS, &all.join(" union ")).answering()
}
