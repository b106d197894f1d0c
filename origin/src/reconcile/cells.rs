//! Cells as postbacks would have them.

use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use postback::field::{Field, Kind};
use postback::partner::ReportForm;
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

/// A time of a format, as postbacks write it: a date alone is its midnight.
fn plain_time(text: &str, format: &str) -> Option<String> {
    let time = NaiveDateTime::parse_from_str(text, format)
        .or_else(|_| NaiveDate::parse_from_str(text, format).map(|day| day.and_time(NaiveTime::MIN)));
    Some(time.ok()?.format("%Y-%m-%d %H:%M:%S").to_string())
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
