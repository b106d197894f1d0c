//! Values as answers show them.

use super::table::Table;
use super::{Answer, Form, days};
use jiff::Timestamp as Instant;
use jiff::tz::TimeZone;
use postback::money::Amount;
use postback::time::Timestamp;
use serde_json::{Map, Value};

/// Named values of one row, in their order.
pub(super) type Cells = Vec<(&'static str, Value)>;

/// An instant on a zone's clocks.
pub(super) fn at(at: Timestamp, zone: &TimeZone) -> Value {
    let shown = Instant::from_millisecond(at.unix_ms()).map(|at| days::shown(at, zone));
    shown.map_or(Value::Null, Value::from)
}

/// An amount, or null.
pub(super) fn amount(amount: Option<Amount>) -> Value {
    amount.map_or(Value::Null, |amount| Value::from(amount.to_string()))
}

/// A text, or null.
pub(super) fn text(text: &Option<String>) -> Value {
    text.clone().map_or(Value::Null, Value::from)
}

/// A row as an object.
pub(super) fn object(cells: Cells) -> Value {
    cells.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A page of a list of requests, under its name.
pub(super) fn page(
    partner: &str,
    list: &str,
    zone: &TimeZone,
    form: Form,
    rows: Vec<Cells>,
    next_cursor: Option<String>,
) -> Answer {
    let answer = match form {
        Form::Csv => Answer::csv(Table::of(rows.into_iter())),
        Form::Json => {
            let page = [
                ("partner", Value::from(partner)),
                ("time_zone", zone.iana_name().unwrap_or("UTC").into()),
                (list, rows.into_iter().map(object).collect()),
                ("next_cursor", text(&next_cursor)),
            ];
            let page: Map<_, _> = page.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
            Answer::json(&Value::Object(page))
        }
    };
    Answer { next_cursor, ..answer }
}
