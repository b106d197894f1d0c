//! A report's rows, read as the partner's postbacks are: its names, words and clocks.

use super::day_of;
use crate::store::reader::Conversion;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use postback::field::{Field, Kind};
use postback::money::Amount;
use postback::params::Params;
use postback::partner::{Partner, UnknownStatus, fold_word};
use postback::reading::{Dialect, Reading, WarningCode};
use postback::rejection::Rejection;
use postback::status::Status;
use postback::time::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Rows at most.
pub const ROWS_MAX: usize = 1_000_000;

/// A report that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The rows that could be.
    pub rows: Vec<Theirs>,
    /// Those that could not.
    pub unread: Vec<Unread>,
    /// Columns that mean nothing to the partner's file.
    pub ignored: Vec<String>,
    /// Status words that the partner's file does not know, and how many rows have each: their status is not compared.
    pub unknown_statuses: BTreeMap<String, u64>,
}

/// A conversion as the partner has it. What the report does not say is None and is not compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Theirs {
    /// The line that it begins on.
    pub line: u64,
    /// The partner's id of it.
    pub conversion_id: String,
    /// The event's canonical name.
    pub event: Option<String>,
    /// Where it stands.
    pub status: Option<Status>,
    /// When it happened.
    pub happened_at: Option<Timestamp>,
    /// Its amounts, of those in [`MONEY`].
    pub money: BTreeMap<Field, Amount>,
    /// ISO 4217, of those that are not in US dollars.
    pub currency: Option<String>,
}

/// A conversion as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ours {
    /// The partner's id of it.
    pub conversion_id: String,
    /// The event's canonical name.
    pub event: String,
    /// Where it stands.
    pub status: Option<Status>,
    /// When it happened, as statistics have it.
    pub happened_at: Timestamp,
    /// Its amounts, of those in [`MONEY`].
    pub money: BTreeMap<Field, Amount>,
    /// ISO 4217, of those that are not in US dollars.
    pub currency: Option<String>,
    /// What we are paid, in the reporting currency.
    pub reporting_payout: Option<Amount>,
    /// Whether it is marked as a possible duplicate: then it counts for nothing.
    pub is_duplicate: bool,
}

/// A row that cannot be read, and why.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Unread {
    /// The line that it begins on.
    pub line: u64,
    /// As of a postback; `malformed_row` where it is no row at all.
    pub code: String,
    /// The column that is at fault.
    pub column: Option<String>,
    /// What to do.
    pub hint: String,
}

/// Amounts that are compared.
pub const MONEY: [Field; 4] = [Field::SaleAmount, Field::Payout, Field::UsdSaleAmount, Field::UsdPayout];

impl Report {
    /// The first and the last day of its rows, on a zone's clocks.
    pub fn days(&self, zone: &TimeZone) -> Option<(Date, Date)> {
        let days = || self.rows.iter().filter_map(|row| day_of(row.happened_at?, zone));
        Some((days().min()?, days().max()?))
    }

    /// Whether it says what we are paid in US dollars.
    pub fn has_usd(&self) -> bool {
        self.rows.iter().any(|row| row.money.contains_key(&Field::UsdPayout))
    }
}

impl From<Conversion> for Ours {
    fn from(conversion: Conversion) -> Ours {
        let money = conversion.money;
        let amounts = [
            (Field::SaleAmount, money.sale_amount),
            (Field::Payout, money.payout),
            (Field::UsdSaleAmount, money.usd_sale_amount),
            (Field::UsdPayout, money.usd_payout),
        ];
        Ours {
            conversion_id: conversion.conversion_id,
            event: conversion.event,
            status: conversion.status.as_deref().and_then(Status::parse),
            happened_at: conversion.happened_at,
            money: amounts.into_iter().filter_map(|(field, amount)| Some((field, amount?))).collect(),
            currency: money.currency,
            reporting_payout: money.reporting.reporting_payout,
            is_duplicate: conversion.is_duplicate,
        }
    }
}

/// Reads a report. `more` are columns that mean a field whatever the partner's file says.
///
/// # Errors
/// It is no report of this partner's: no column is the conversion's id, two are one field, or there are too many rows.
pub fn read(
    partner: &Partner,
    text: &str,
    more: &BTreeMap<String, Field>,
    now: Timestamp,
    mut progress: impl FnMut(u64),
) -> Result<Report, String> {
    let form = &partner.report;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Lines are counted by their line feeds.
    let text = if text.contains('\r') {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n"))
    } else {
        Cow::Borrowed(text)
    };
    let delimiter = u8::try_from(form.delimiter).unwrap_or(b',');
    let mut csv = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let head = csv.headers().map_err(|error| format!("its first line cannot be read: {error}"))?.clone();
    let (columns, ignored) = columns(partner, head.iter(), more)?;
    let reader = Rows { partner: as_reporting(partner), columns, width: head.len(), now };
    let mut report = Report { ignored, ..Report::default() };
    for record in csv.records() {
        let read = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                reader.row(line, &record, &mut report.unknown_statuses)
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                Err(malformed(line, error.to_string()))
            }
        };
        match read {
            Ok(row) => report.rows.push(row),
            Err(unread) => report.unread.push(unread),
        }
        let rows = report.rows.len().saturating_add(report.unread.len());
        if rows > ROWS_MAX {
            return Err(format!("it has more than {ROWS_MAX} rows: split it by days"));
        }
        progress(u64::try_from(rows).unwrap_or(u64::MAX));
    }
    Ok(report)
}

/// A column that is read: its place, its name, and what it means.
struct ReadColumn {
    place: usize,
    name: String,
    field: Field,
}

/// Which columns mean which fields, and the names of those that mean nothing.
fn columns<'h>(
    partner: &Partner,
    head: impl Iterator<Item = &'h str>,
    more: &BTreeMap<String, Field>,
) -> Result<(Vec<ReadColumn>, Vec<String>), String> {
    let (mut found, mut ignored): (Vec<ReadColumn>, Vec<String>) = (Vec::new(), Vec::new());
    let named: BTreeMap<_, _> = more.iter().map(|(name, field)| (fold_word(name), *field)).collect();
    let is_said = |field: &Field| named.values().chain(partner.report.columns.values()).any(|said| said == field);
    for (place, name) in head.enumerate() {
        let name = name.trim();
        let folded = fold_word(name);
        let said = named.get(&folded).or_else(|| partner.report.columns.get(&folded)).copied();
        let by_name = || {
            let joined = folded.replace(' ', "_");
            let field = partner.field_of_any_case(name).or_else(|| partner.field_of_any_case(&joined));
            // What was said of another column stands.
            field.filter(|field| !is_said(field))
        };
        match said.or_else(by_name) {
            None => ignored.push(name.to_owned()),
            Some(field) => match found.iter().find(|other| other.field == field) {
                Some(other) => {
                    return Err(format!(
                        "its columns {:?} and {name:?} both mean {}: say which, --column 'NAME={}'",
                        other.name,
                        field.name(),
                        field.name()
                    ));
                }
                None => found.push(ReadColumn { place, name: name.to_owned(), field }),
            },
        }
    }
    if found.iter().any(|column| column.field == Field::ConversionId) {
        Ok((found, ignored))
    } else {
        let names: Vec<_> =
            found.iter().map(|column| &column.name).chain(&ignored).map(|name| format!("{name:?}")).collect();
        Err(format!(
            "none of its columns is the conversion's id (they are {}): say which, --column 'NAME=conversion_id', or in the table [report.columns] \
             of partners/{}.toml",
            names.join(", "),
            partner.code
        ))
    }
}

/// The partner as its reports are read: nothing but the id is needed, and a word that is not known costs no row.
fn as_reporting(partner: &Partner) -> Partner {
    Partner {
        required: vec![Field::ConversionId],
        default_event: partner.default_event.clone().or_else(|| Some("conversion".to_owned())),
        unknown_status: UnknownStatus::Flag,
        negative_amounts: true,
        zone: partner.report.zone.clone().unwrap_or_else(|| partner.zone.clone()),
        ..partner.clone()
    }
}

struct Rows {
    partner: Partner,
    columns: Vec<ReadColumn>,
    width: usize,
    now: Timestamp,
}

impl Rows {
    fn row(
        &self,
        line: u64,
        record: &csv::StringRecord,
        unknown_statuses: &mut BTreeMap<String, u64>,
    ) -> Result<Theirs, Unread> {
        if record.len() != self.width {
            let told = format!("it has {} columns where the head has {}", record.len(), self.width);
            return Err(malformed(line, told));
        }
        let pairs = self.columns.iter().filter_map(|column| {
            let text = record.get(column.place)?.trim();
            Some((self.name_of(column.field), self.plain(column.field, text).into_owned()))
        });
        let unread = |rejection: Rejection| self.unread(line, &rejection);
        let params = Params::from_canonical(pairs).map_err(unread)?;
        let reading = self.partner.read(&params, Dialect::Partner, self.now).map_err(unread)?;
        let is_unknown = reading.warnings.iter().any(|warning| warning.code == WarningCode::UnknownStatus);
        if is_unknown && let Some(word) = reading.words.get(&Field::Status) {
            let count = unknown_statuses.entry(word.clone()).or_default();
            *count = count.saturating_add(1);
        }
        Ok(self.theirs(line, &reading))
    }

    fn theirs(&self, line: u64, reading: &Reading) -> Theirs {
        let postback = &reading.postback;
        let is_sent = |field: Field| self.columns.iter().any(|column| column.field == field);
        let money = MONEY.into_iter().filter(|field| is_sent(*field));
        Theirs {
            line,
            conversion_id: postback.conversion_id().into_owned(),
            event: (is_sent(Field::Event) && reading.names_event).then(|| postback.event().name().to_owned()),
            status: postback.status(),
            happened_at: postback.time(Field::ConversionDatetime).or_else(|| postback.time(Field::TsEvent)),
            money: money.filter_map(|field| Some((field, postback.amount(field)?))).collect(),
            currency: postback.text(Field::Currency),
        }
    }

    /// A name by which the partner's postbacks know a field.
    fn name_of(&self, field: Field) -> String {
        let canonical = field.name();
        let alias = || self.partner.aliases.iter().find(|(_, meant)| **meant == field).map(|(name, _)| name.clone());
        match self.partner.field_of(canonical) == Some(field) {
            true => canonical.to_owned(),
            false => alias().unwrap_or_else(|| canonical.to_owned()),
        }
    }

    /// A cell as a postback would have it.
    fn plain<'t>(&self, field: Field, text: &'t str) -> Cow<'t, str> {
        let form = &self.partner.report;
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

    /// What is wrong with a row, in the report's names.
    fn unread(&self, line: u64, rejection: &Rejection) -> Unread {
        let column = rejection.field().and_then(|name| {
            let field = self.partner.field_of(name)?;
            let column = self.columns.iter().find(|column| column.field == field)?;
            Some(column.name.clone())
        });
        Unread { line, code: rejection.code().as_str().to_owned(), column, hint: rejection.hint().to_owned() }
    }
}

fn malformed(line: u64, hint: String) -> Unread {
    Unread { line, code: "malformed_row".to_owned(), column: None, hint }
}

/// An amount without what spreadsheets put around it: a sign of the currency in front, marks between thousands. What is no amount stays as
/// it is, and is told.
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
        return Cow::Borrowed(text);
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
    use postback::partner::file::read_files;
    use postback::zone::Zone;
    use proptest::prelude::*;

    const PARTNER: &str = r#"
name = "Example"
tenant = "bytec"
endpoint = "example/event"
database = "example_db"
time_zone = "Asia/Kuala_Lumpur"
reply = "json"
auth = ["open"]
default_event = "conversion"
required = ["conversion_id", "offer_id"]
[aliases]
usd_payout = ["rewars"]
[statuses]
"Yet to consumed" = "pending"
"Approved" = "approved"
"#;

    fn partner(more: &str) -> Partner {
        let text = format!("{PARTNER}{more}");
        read_files([("example.toml", text.as_str())].into_iter()).unwrap().by_code("example").unwrap().clone()
    }

    fn read_by(partner: &Partner, text: &str) -> Result<Report, String> {
        let now = Timestamp::parse("2025-12-01T00:00:00Z", &Zone::utc()).unwrap();
        read(partner, text, &BTreeMap::new(), now, |_| ())
    }

    fn shown(report: &Report) -> Vec<String> {
        let row = |row: &Theirs| {
            let money: Vec<_> = row.money.iter().map(|(field, amount)| format!("{} {amount}", field.name())).collect();
            format!(
                "{} {} {} {} {} {} {}",
                row.line,
                row.conversion_id,
                row.event.as_deref().unwrap_or("-"),
                row.status.map_or("-", Status::name),
                row.happened_at.map(|at| at.to_string()).unwrap_or_default(),
                money.join(","),
                row.currency.as_deref().unwrap_or("-"),
            )
        };
        report.rows.iter().map(row).collect()
    }

    #[test]
    fn a_report_is_read_in_the_partner_s_names_words_and_clocks() {
        let text = "\u{feff}Conversion ID,REWARS,Status,event_time,Note\r\n\
                    c1,10.50,yet_to_consumed,2025-11-21 07:00:00,x\r\n\
                    \"c,2\",\"1,234.50\",Approved,2025-11-22,\r\n\
                    c3,$3,Lost,,\r\nc4,-4,N/A,,\r\n";
        let report = read_by(&partner("[report.columns]\nevent_time = \"conversion_datetime\"\n"), text).unwrap();
        assert_eq!(
            shown(&report),
            [
                "2 c1 - pending 2025-11-20T23:00:00Z usd_payout 10.50 -",
                "3 c,2 - approved 2025-11-21T16:00:00Z usd_payout 1234.50 -",
                "4 c3 - -  usd_payout 3.00 -",
                "5 c4 - -  usd_payout -4.00 -",
            ]
        );
        assert_eq!(report.ignored, ["Note"]);
        assert_eq!(report.unknown_statuses, BTreeMap::from([("Lost".to_owned(), 1)]));
        let zone = TimeZone::get("Asia/Kuala_Lumpur").unwrap();
        assert_eq!(report.days(&zone).map(|(a, b)| format!("{a} {b}")).unwrap(), "2025-11-21 2025-11-22");
    }

    #[test]
    fn a_form_of_its_own_is_in_the_partner_s_file() {
        let form = "[report]\ndelimiter = \";\"\ndecimal_mark = \",\"\ntime_format = \"%d/%m/%Y %H:%M\"\ntime_zone = \"UTC\"\n\
                    [report.columns]\nTransaktion = \"conversion_id\"\nBetrag = \"payout\"\nZeit = \"ts_event\"\n";
        let text = "transaktion;BETRAG;Zeit;Currency;Event\nc1;1.234,50;03/11/2025 23:30;eur;Refund\n";
        let report = read_by(&partner(form), text).unwrap();
        assert_eq!(shown(&report), ["2 c1 refund - 2025-11-03T23:30:00Z payout -1234.50 EUR"]);
    }

    #[test]
    fn what_is_wrong_with_a_row_is_told_by_line_and_column_and_costs_no_other() {
        let text = "conversion_id,Rewars,ts_event\nc1,\"10,50\",\n,1,\nc3,1\nc4,1,31.02.2025\nc5,1,2030-01-01\nc6,1,\n";
        let report = read_by(&partner(""), text).unwrap();
        assert_eq!(shown(&report), ["7 c6 - -  usd_payout 1.00 -"]);
        let unread: Vec<_> = report
            .unread
            .iter()
            .map(|unread| format!("{} {} {}", unread.line, unread.code, unread.column.as_deref().unwrap_or("-")))
            .collect();
        assert_eq!(
            unread,
            [
                "2 invalid_amount Rewars",
                "3 missing_field conversion_id",
                "4 malformed_row -",
                "5 invalid_time ts_event",
                "6 time_in_future ts_event",
            ]
        );
    }

    #[test]
    fn what_is_no_report_of_the_partner_s_is_told() {
        for (text, told) in [
            ("", "none of its columns is the conversion's id (they are )"),
            ("id,payout\n", "none of its columns is the conversion's id (they are \"payout\", \"id\")"),
            ("conversion_id,rewars,usd_payout\n", "its columns \"rewars\" and \"usd_payout\" both mean usd_payout"),
            ("conversion_id,Conversion-ID\n", "its columns \"conversion_id\" and \"Conversion-ID\" both mean"),
        ] {
            let problem = read_by(&partner(""), text).unwrap_err();
            assert!(problem.starts_with(told), "{problem}");
        }
        // What is said of one column stands against the name of another.
        let said = partner("[report.columns]\n\"Transaction\" = \"conversion_id\"\n");
        let report = read_by(&said, "conversion_id,Transaction\nours,theirs\n").unwrap();
        assert_eq!(
            (report.rows[0].conversion_id.as_str(), report.ignored.as_slice()),
            ("theirs", ["conversion_id".to_owned()].as_slice())
        );
    }

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
            ("10.50", ',', "10.50"),
            ("", '.', ""),
        ] {
            assert_eq!(plain_amount(text, mark), plain, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in "\\PC*", rows in "(conversion_id,rewars,status\n)([a-z0-9\",;\r\n.%{}-]{0,80})") {
            let _ = read_by(&partner(""), &text);
            prop_assert!(read_by(&partner(""), &rows).is_ok());
        }
    }
}
