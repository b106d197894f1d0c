//! The conversions that are linked to others: sales to their refunds and chargebacks, and these to their sales, found by processing or
//! named by their sender.

use super::super::super::statement::{Column, Dialect, Step};
use super::CONVERSIONS_MAX;
use super::found::{Key, key};

/// The row of a statement about a conversion.
pub(super) const KEY: &[Column<Key>] = &[
    Column::text("conversion_key", |key| Some(key.conversion_key.clone())),
    Column::number("occurrence", |key| key.occurrence),
];

/// That rows of a table are the conversion of a row.
pub(super) fn is_own(table: &str) -> String {
    format!("{table}.conversion_key = input.conversion_key and {table}.occurrence = input.occurrence")
}

/// The statements, one for each link.
pub(super) fn all(dialect: Dialect) -> [Step<Key>; 5] {
    let own = dialect.join_in_order("conversions", "own", &is_own("own"));
    let known = |condition: &str| dialect.join_in_order("conversions", "known", condition);
    let links = [
        // Its sale, and its returns, as they were evaluated.
        format!(
            "{own} {}",
            known("known.conversion_key = own.refund_of and known.occurrence = own.refund_of_occurrence")
        ),
        known("known.refund_of = input.conversion_key and known.refund_of_occurrence = input.occurrence"),
        // Of the same id: a refund is stored beside its sale.
        format!("{own} {}", known("known.conversion_id = own.conversion_id")),
        // By the name of the sale's event, perhaps not evaluated yet.
        format!(
            "{} {}",
            dialect.join_in_order("revisions", "change", &is_own("change")),
            known("known.original_event_id = change.event_id")
        ),
        format!(
            "{own} {} {}",
            dialect.join_in_order("events", "sold", "sold.event_id = own.original_event_id"),
            known("known.conversion_key = sold.conversion_key")
        ),
    ];
    links.map(|link| {
        let statement = format!("{} from input {link} limit {}", key(dialect), CONVERSIONS_MAX.saturating_add(1));
        Step::new(dialect, KEY, &statement).answering()
    })
}
