//! Cells as postbacks would have them.

use super::day_of;
use chrono::{NaiveDate, NaiveDateTime};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::field::{Field, Kind};
use postback::partner::ReportForm;
use postback::time::{Timestamp, Written};
use postback::zone::Zone;
use std::borrow::Cow;

/// A cell of a field, in a report of a form.
pub fn plain<'t>(form: &ReportForm, field: Field, text: &'t str) -> Cow<'t, str> {
    match field.kind() {
        Kind::Amount => plain_amount(text, form.decimal_mark),
        Kind::Time => form
            .time_format
            .as_deref()
            .and_then(|format| plain_time(text, format))
            .map_or(Cow::Borrowed(text), Cow::Owned),
        Kind::Id | Kind::Text | Kind::Event | Kind::Status | Kind::Currency | Kind::Flag => Cow::Borrowed(text),
    }
}

/// An amount without what spreadsheets put around it: a sign of the currency in front, marks between thousands. What is no amount, or
/// could be two, stays none, and is told.
fn plain_amount(text: &str, decimal_mark: char) -> Cow<'_, str> {
    let thousands_mark = if decimal_mark == ',' { '.' } else { ',' };
    let (sign, digits) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text),
    };
    let digits = digits.trim_start_matches(['$', '€', '£', '¥', ' ']);
    let (whole, fraction) = digits.split_once(decimal_mark).map_or((digits, None), |(a, b)| (a, Some(b)));
    let groups: Vec<_> = whole.split(thousands_mark).collect();
    let is_grouped = groups.iter().skip(1).all(|group| group.len() == 3)
        && groups.first().is_some_and(|first| groups.len() == 1 || (1..=3).contains(&first.len()));
    if !is_grouped {
        // With a comma before the fraction a point means thousands or nothing.
        let is_odd = decimal_mark == ',' && text.contains('.');
        return if is_odd { Cow::Owned(format!("({text})")) } else { Cow::Borrowed(text) };
    }
    match fraction {
        None => Cow::Owned(format!("{sign}{}", groups.concat())),
        Some(fraction) => Cow::Owned(format!("{sign}{}.{fraction}", groups.concat())),
    }
}

/// A time of a format, as postbacks write it: a date alone stays one.
fn plain_time(text: &str, format: &str) -> Option<String> {
    match NaiveDateTime::parse_from_str(text, format) {
        Ok(time) => Some(time.format("%Y-%m-%d %H:%M:%S").to_string()),
        Err(_) => Some(NaiveDate::parse_from_str(text, format).ok()?.format("%Y-%m-%d").to_string()),
    }
}

/// The date that a cell's plain text is, where it has no time. On whose clocks it is makes none of it another.
pub fn date_of(text: &str) -> Option<Date> {
    match Timestamp::read(text, &Zone::utc())? {
        (midnight, Written::Date) => day_of(midnight, &TimeZone::UTC),
        (_, Written::EpochSeconds | Written::EpochMilliseconds | Written::LocalClock | Written::WithOffset) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_plain_or_stay_as_they_are() {
        for (text, mark, plain) in [
            ("1,234.50", '.', "1234.50"),
            ("1,234,567", '.', "1234567"),
            ("-$1,234.50", '.', "-1234.50"),
            ("€ 10", '.', "10"),
            ("12,34.50", '.', "12,34.50"),
            ("1234,567.50", '.', "1234,567.50"),
            ("10,50", '.', "10,50"),
            ("1.234,50", ',', "1234.50"),
            ("10,5", ',', "10.5"),
            ("10.50", ',', "(10.50)"),
            ("", '.', ""),
        ] {
            assert_eq!(plain_amount(text, mark), plain, "{text:?}");
        }
    }
}
