//! What all questions have in common: parameters that are read once, and a time zone.

use super::{Form, Problem};
use jiff::tz::TimeZone;
use postback::params::{ParamValue, Params};
use std::collections::BTreeMap;

/// The parameters of a question that nobody has read yet.
pub struct Parameters(BTreeMap<String, String>);

impl Parameters {
    /// The parameters of a query.
    pub fn of(query: &str) -> Result<Parameters, Problem> {
        let params = Params::from_query(query).map_err(|_| Problem::MALFORMED)?;
        let text = |(name, value): (&str, &ParamValue<'_>)| match value {
            ParamValue::Text(text) => Ok((name.to_owned(), text.trim_matches(' ').to_owned())),
            ParamValue::Unreadable(_) => Err(Problem::MALFORMED),
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

    /// All have been read.
    pub fn end(self) -> Result<(), Problem> {
        if self.0.is_empty() { Ok(()) } else { Err(Problem::UNKNOWN) }
    }
}
