//! The checks of the form of a partner's reports.

use super::ReportTable;
use super::checks::Checks;
use crate::field::Field;
use crate::partner::fold_word;
use crate::partner::report::ReportForm;
use chrono::{DateTime, NaiveDate, NaiveDateTime};
use std::collections::BTreeMap;
use std::fmt::Write;

impl Checks<'_> {
    pub(super) fn report(&mut self, written: Option<ReportTable>) -> ReportForm {
        let form = ReportForm::default();
        let Some(written) = written else { return form };
        let delimiter = written.delimiter.unwrap_or(form.delimiter);
        if ![',', ';', '\t', '|'].contains(&delimiter) {
            self.wrong("report.delimiter", format!("{delimiter:?} is none of , ; | and the tab"));
        }
        let decimal_mark = written.decimal_mark.unwrap_or(form.decimal_mark);
        if !['.', ','].contains(&decimal_mark) {
            self.wrong("report.decimal_mark", format!("{decimal_mark:?} is neither . nor ,"));
        }
        if written.time_format.as_deref().is_some_and(|format| !is_format(format)) {
            self.wrong("report.time_format", "is no format of a date or a time, such as \"%d/%m/%Y %H:%M\"");
        }
        ReportForm {
            columns: self.columns(&written.columns),
            delimiter,
            decimal_mark,
            time_format: written.time_format,
            zone: written.time_zone.map(|name| self.zone("report.time_zone", &name)),
        }
    }

    fn columns(&mut self, written: &BTreeMap<String, String>) -> BTreeMap<String, Field> {
        let mut columns = BTreeMap::new();
        for (name, field) in written {
            let key = format!("report.columns.{name}");
            if fold_word(name).is_empty() {
                self.wrong(&key, "is an empty name");
            }
            let Some(field) = self.field(&key, field) else { continue };
            if columns.values().any(|other| *other == field) {
                self.wrong(&key, format!("{} has another column already", field.name()));
            }
            if columns.insert(fold_word(name), field).is_some() {
                self.wrong(&key, "stands twice, but for case and joints");
            }
        }
        columns
    }
}

/// Whether times that are written so can be read again, to the minute where there is a time of day at all. An offset is not read, so there
/// must be none, and no seconds since 1970, which have one.
fn is_format(format: &str) -> bool {
    let at = |unix_s: i64| DateTime::from_timestamp(unix_s, 0).map(|time| time.naive_utc());
    // An evening, of which nothing is like anything else; the same without its seconds; and another hour of the day.
    let (Some(time), Some(minute), Some(other)) = (at(1_763_757_296), at(1_763_757_240), at(1_763_720_000)) else {
        return false;
    };
    let written = |time: NaiveDateTime| {
        let mut text = String::new();
        write!(text, "{}", time.format(format)).is_ok().then_some(text)
    };
    let Some(text) = written(time) else { return false };
    let has_offset = format.contains("%s") || text.ends_with('Z');
    match NaiveDateTime::parse_from_str(&text, format) {
        Ok(read) => !has_offset && (read == time || read == minute),
        Err(_) => {
            let is_day = NaiveDate::parse_from_str(&text, format).is_ok_and(|day| day == time.date());
            !has_offset && is_day && written(other).as_deref() == Some(text.as_str())
        }
    }
}
