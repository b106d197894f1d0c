//! What all questions have in common: parameters that are read once, and a time zone.

use super::{Form, Problem, days};
use jiff::tz::TimeZone;
use postback::limits::ID_BYTES_MAX;
use postback::params::{ParamValue, Params};
use postback::rejection::Code;
use postback::time::Timestamp;
use std::collections::BTreeMap;

/// Rows of a page at most.
pub const LIMIT_MAX: u32 = 1000;
/// Rows of a page where a question does not say.
pub const LIMIT_DEFAULT: u32 = 100;

/// Parameters that are ids.
const IDS: [&str; 7] = ["id", "request_id", "event_id", "conversion_id", "order_id", "click_id", "account_id"];

/// What is wrong with a value that cannot be read: of an id, that it is none.
fn unread(name: &str, code: Code) -> Problem {
    let is_no_id = matches!(code, Code::ControlChar | Code::ValueTooLong);
    IDS.into_iter().find(|id| *id == name && is_no_id).map_or(Problem::MALFORMED, Problem::id)
}

/// The parameters of a question that nobody has read yet.
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// The parameters of a query.
    pub fn of(query: &str) -> Result<Parameters, Problem> {
        let params = Params::from_query(query).map_err(|_| Problem::MALFORMED)?;
        let text = |(name, value): (&str, &ParamValue<'_>)| match value {
            ParamValue::Text(text) => Ok((name.to_owned(), text.trim_matches(' ').to_owned())),
            ParamValue::Unreadable(unreadable) => Err(unread(name, unreadable.refusal.code())),
        };
        Ok(Parameters(params.iter().map(text).collect::<Result<_, _>>()?))
    }

    /// One of them; an empty one is none.
    pub fn take(&mut self, name: &str) -> Option<String> {
        self.0.remove(name).filter(|value| !value.is_empty())
    }

    /// What form is asked for.
    pub fn form(&mut self, accept: Option<&str>) -> Result<Form, Problem> {
        match self.take("format").as_deref() {
            None => Ok(Form::of_accept(accept)),
            Some("json") => Ok(Form::Json),
            Some("csv") => Ok(Form::Csv),
            Some(_) => Err(Problem::FORMAT),
        }
    }

    /// In whose days and clocks it is asked; UTC where it is not said.
    pub fn zone(&mut self) -> Result<TimeZone, Problem> {
        match self.take("tz") {
            None => Ok(TimeZone::UTC),
            Some(name) => TimeZone::get(&name)
                .ok()
                .filter(|zone| name != "Factory" && zone.iana_name().is_some())
                .ok_or(Problem::TIME_ZONE),
        }
    }

    /// From when to when is asked, the end not included.
    pub fn bounds(&mut self, zone: &TimeZone) -> Result<(Option<Timestamp>, Option<Timestamp>), Problem> {
        let (from, to) = (self.take("from"), self.take("to"));
        let (from, to) = days::bounds(from.as_deref(), to.as_deref(), zone)?;
        Ok((
            from.map(|at| days::timestamp(at).ok_or(Problem::FROM)).transpose()?,
            to.map(|at| days::timestamp(at).ok_or(Problem::TO)).transpose()?,
        ))
    }

    /// How many rows are on a page at most.
    pub fn limit(&mut self) -> Result<u32, Problem> {
        match self.take("limit") {
            None => Ok(LIMIT_DEFAULT),
            Some(text) => text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit)).ok_or(Problem::LIMIT),
        }
    }

    /// An id, of whatever it is.
    pub fn id(&mut self, name: &'static str) -> Result<Option<String>, Problem> {
        let fits = |id: &String| id.len() <= ID_BYTES_MAX && !id.chars().any(char::is_control);
        self.take(name).map(|id| Some(id).filter(fits).ok_or(Problem::id(name))).transpose()
    }

    /// All have been read.
    pub fn end(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::UNKNOWN) }
    }
}
