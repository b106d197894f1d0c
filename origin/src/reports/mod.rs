//! What is asked about what was stored, and the answers: statistics in any time zone, conversions and requests by the page, everything about
//! an id. Reading it is [`crate::store`]'s, who may ask is `crate::api`'s.

mod problem;
mod question;
pub(crate) mod days;
mod statistics;
mod cells;
mod conversions;
mod requests;
mod rejections;
mod trace;
mod cursor;
mod table;

pub use conversions::{CONVERSION, ConversionsQuestion, answer as conversions};
pub use problem::Problem;
pub use question::{LIMIT_DEFAULT, LIMIT_MAX};
pub use rejections::{REJECTION, RejectionsQuestion, answer as rejections};
pub use requests::{REQUEST, RequestsQuestion, answer as requests};
pub use statistics::money;
pub use statistics::{SUMS, StatisticsQuestion, answer as statistics};
#[cfg(not(target_family = "wasm"))]
pub use table::Table;
pub use trace::{KINDS, TraceQuestion, answer as trace, found as trace_of};

/// An answer, in the form that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `application/json` or `text/csv; charset=utf-8`.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
    /// Where the next page is, where there is one: for a header, because CSV has no place for it.
    pub next_cursor: Option<String>,
}

/// What a value in an answer looks like, for the document of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// A text.
    Text,
    /// A text or null.
    TextOrNull,
    /// An instant on the clocks of a zone, with its offset.
    Time,
    /// An exact decimal, as text.
    Amount,
    /// The same or null.
    AmountOrNull,
    /// A number from 0 on.
    Count,
    /// The same or null.
    CountOrNull,
    /// True or false.
    Flag,
    /// The same or null.
    FlagOrNull,
    /// A list.
    List,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// JSON.
    #[default]
    Json,
    /// CSV (RFC 4180), for spreadsheets: no cell of it is taken for a formula.
    Csv,
}

impl Form {
    /// What a request's `Accept` asks for, where its query says nothing.
    pub fn of_accept(accept: Option<&str>) -> Form {
        let wants_csv = accept.is_some_and(|accept| {
            accept
                .split(',')
                .any(|kind| kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/csv")))
        });
        if wants_csv { Form::Csv } else { Form::Json }
    }
}

impl Answer {
    fn json(value: &serde_json::Value) -> Answer {
        Answer { content_type: "application/json", body: value.to_string(), next_cursor: None }
    }

    fn csv(body: String) -> Answer {
        Answer { content_type: "text/csv; charset=utf-8", body, next_cursor: None }
    }
}
