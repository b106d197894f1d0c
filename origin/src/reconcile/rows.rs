//! A report's rows, read as the partner's postbacks are: by its names, words and clocks.

use super::cells::{date_of, plain};
use super::export::{self, Export, Row};
use super::head::{ReadColumn, columns};
use super::report::{Form, MONEY, Report, Theirs, Unread};
use postback::field::Field;
use postback::money::Amount;
use postback::params::Params;
use postback::partner::{Partner, UnknownStatus};
use postback::reading::{Reading, Warning, WarningCode};
use postback::rejection::{Code, Rejection};
use postback::time::Timestamp;
use std::borrow::Cow;
use std::collections::BTreeMap;

/// Rows at most.
const ROWS_MAX: usize = 1_000_000;

/// Reads a report. `more` are columns that mean a field whatever the partner's file says; without any, our own export is known by its
/// head, and read as we write it.
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
    let export = if more.is_empty() { Export::of(&text) } else { None };
    let delimiter = export.as_ref().map_or(form.delimiter, |_| export::DELIMITER);
    // What stands behind it would be one cell, and missing without a word.
    if let Some(line) = stray_quote(&text, delimiter) {
        return Err(format!("line {line}: a quoted cell that is not closed before the next one begins, or at all"));
    }
    let delimiter = u8::try_from(delimiter).unwrap_or(b',');
    let mut csv = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(text.as_bytes());
    let head = csv.headers().map_err(|error| format!("its first line cannot be read: {error}"))?.clone();
    let (reader, mut report) = match export {
        Some(export) => (Reader::Export(export), Report { form: Form::Export, ..Report::default() }),
        None => {
            let (columns, ignored) = columns(partner, head.iter(), more)?;
            let rows = Rows { partner: as_reporting(partner, &columns), columns, width: head.len(), now };
            (Reader::Partner(Box::new(rows)), Report { ignored, ..Report::default() })
        }
    };
    for record in csv.records() {
        let read = match record {
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                match &reader {
                    Reader::Export(export) => export.row(line, &record),
                    Reader::Partner(rows) => {
                        let row = rows.row(line, &record, &mut report.unknown_statuses);
                        row.map(|row| Row::Conversion(Box::new(row)))
                    }
                }
            }
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                Err(malformed(line, error.to_string(), None))
            }
        };
        match read {
            Ok(Row::Conversion(row)) => report.rows.push(*row),
            Ok(Row::Marked) => report.marked = report.marked.saturating_add(1),
            Ok(Row::Head) => {}
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

/// The line of a quoted cell whose quotes do not stand where a cell begins and ends. Within a cell that is not quoted they are text.
fn stray_quote(text: &str, delimiter: char) -> Option<u64> {
    let (mut line, mut opened): (u64, Option<u64>) = (1, None);
    let mut begins = true;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        if char == '\n' {
            line = line.saturating_add(1);
        }
        match opened {
            Some(at) if char == '"' => match chars.peek() {
                Some('"') => drop(chars.next()),
                Some(next) if *next != delimiter && *next != '\n' => return Some(at),
                Some(_) | None => opened = None,
            },
            Some(_) => {}
            None if char == '"' && begins => opened = Some(line),
            None => begins = char == delimiter || char == '\n',
        }
        if opened.is_some() {
            begins = false;
        }
    }
    opened
}

/// The partner as its reports are read: nothing but the id is needed, neither a status word that is not known nor an amount that a
/// postback would be refused for costs a row, and what a column says stands. Where its cell is empty, what is constant in postbacks is what it is taken for.
fn as_reporting(partner: &Partner, columns: &[ReadColumn]) -> Partner {
    let is_column = |field: Field| columns.iter().any(|column| column.field == field);
    let constant = |field: Field| partner.constants.get(&field).filter(|_| is_column(field)).cloned();
    let default_event = constant(Field::Event).or_else(|| partner.default_event.clone());
    Partner {
        required: vec![Field::ConversionId],
        constants: partner.constants.clone().into_iter().filter(|(field, _)| !is_column(*field)).collect(),
        default_event: default_event.or_else(|| Some("conversion".to_owned())),
        currency: constant(Field::Currency).or_else(|| partner.currency.clone()),
        unknown_status: UnknownStatus::Flag,
        negative_amounts: true,
        amount_max: Amount::MAX,
        zone: partner.report.zone.clone().unwrap_or_else(|| partner.zone.clone()),
        ..partner.clone()
    }
}

/// By what rows are read.
enum Reader {
    Export(Export),
    Partner(Box<Rows>),
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
        let id = || {
            let column = self.columns.iter().find(|column| column.field == Field::ConversionId)?;
            record.get(column.place).map(|id| id.trim().to_owned()).filter(|id| !id.is_empty())
        };
        if record.len() != self.width {
            let told = format!("it has {} columns where the head has {}", record.len(), self.width);
            return Err(malformed(line, told, id()));
        }
        let has_control =
            |column: &&ReadColumn| record.get(column.place).is_some_and(|text| text.chars().any(char::is_control));
        if let Some(column) = self.columns.iter().find(has_control) {
            return Err(Unread {
                line,
                code: Code::ControlChar.as_str().to_owned(),
                column: Some(column.name.clone()),
                hint: "it holds a line feed or another control character; is a quote missing?".to_owned(),
                conversion_id: id().filter(|id| !id.chars().any(char::is_control)),
            });
        }
        let pairs = self.columns.iter().filter_map(|column| {
            let text = record.get(column.place)?.trim();
            Some((self.name_of(column.field), plain(&self.partner.report, column.field, text).into_owned()))
        });
        let unread = |rejection: Rejection| self.unread(line, &rejection, id());
        let params = Params::from_pairs(pairs).map_err(unread)?;
        let reading = self.partner.read(&params, self.now).map_err(unread)?;
        // A postback may lose such a field; of a report's row it would leave another row.
        let is_lost =
            |warning: &Warning| matches!(warning.code, WarningCode::ValueDropped | WarningCode::UnknownCurrency);
        if reading.warnings.iter().any(is_lost) {
            let dropped = self.partner.examine(&params, self.now).dropped;
            let needed = [Field::ConversionId, Field::EventId, Field::Currency];
            if let Some(lost) = needed.iter().find_map(|field| dropped.get(field)) {
                return Err(unread(lost.refusal.clone()));
            }
        }
        // Taken for the partner's default event it would be a sale, whatever it is.
        if reading.warnings.iter().any(|warning| warning.code == WarningCode::UnnamedEvent) {
            let column = self.columns.iter().find(|column| column.field == Field::Event);
            return Err(Unread {
                line,
                code: Code::InvalidEvent.as_str().to_owned(),
                column: column.map(|column| column.name.clone()),
                hint: "this word can be no event's name: say what it means in the table [events] of the partner's file"
                    .to_owned(),
                conversion_id: id(),
            });
        }
        let is_unknown = reading.warnings.iter().any(|warning| warning.code == WarningCode::UnknownStatus);
        if is_unknown && let Some(word) = reading.words.get(&Field::Status) {
            let count = unknown_statuses.entry(word.clone()).or_default();
            *count = count.saturating_add(1);
        }
        Ok(self.theirs(line, record, &reading))
    }

    /// What a row says itself; what the partner's file adds to postbacks is none of it.
    fn theirs(&self, line: u64, record: &csv::StringRecord, reading: &Reading) -> Theirs {
        let postback = &reading.postback;
        let is_sent = |field: Field| {
            let mut columns = self.columns.iter().filter(|column| column.field == field);
            columns.any(|column| record.get(column.place).is_some_and(|text| !text.trim().is_empty()))
        };
        let money = MONEY.into_iter().filter(|field| is_sent(*field));
        let times = [Field::ConversionDatetime, Field::TsEvent].into_iter();
        let time = times.filter_map(|field| Some((field, postback.time(field)?))).next();
        let date = |(field, _): (Field, Timestamp)| {
            let column = self.columns.iter().find(|column| column.field == field)?;
            date_of(&plain(&self.partner.report, field, record.get(column.place)?.trim()))
        };
        let currency = postback.text(Field::Currency);
        Theirs {
            line,
            conversion_id: postback.conversion_id().into_owned(),
            event: (is_sent(Field::Event) && reading.names_event).then(|| postback.event().name().to_owned()),
            status: postback.status().filter(|_| is_sent(Field::Status)),
            happened_at: time.map(|(_, at)| at),
            date: time.and_then(date),
            money: money.filter_map(|field| Some((field, postback.amount(field)?))).collect(),
            assumed_currency: currency.clone().filter(|_| !is_sent(Field::Currency)),
            currency: currency.filter(|_| is_sent(Field::Currency)),
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

    /// What is wrong with a row, in the report's names.
    fn unread(&self, line: u64, rejection: &Rejection, conversion_id: Option<String>) -> Unread {
        let column = rejection.field().and_then(|name| {
            let field = self.partner.field_of(name)?;
            let column = self.columns.iter().find(|column| column.field == field)?;
            Some(column.name.clone())
        });
        Unread {
            line,
            code: rejection.code().as_str().to_owned(),
            column,
            hint: rejection.hint().to_owned(),
            conversion_id,
        }
    }
}

pub(super) fn malformed(line: u64, hint: String, conversion_id: Option<String>) -> Unread {
    Unread { line, code: "malformed_row".to_owned(), column: None, hint, conversion_id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;
    use postback::partner::file::read_files;
    use postback::status::Status;
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
    fn what_a_column_says_stands_whatever_is_constant_in_postbacks() {
        let constant = partner("[constants]\ncurrency = \"USD\"\nevent = \"purchase\"\n");
        let report = read_by(&constant, "conversion_id,payout,currency\nx,150000,IDR\ny,5,\n").unwrap();
        assert_eq!(shown(&report), ["2 x - -  payout 150000.00 IDR", "3 y - -  payout 5.00 -"]);
        let assumed: Vec<_> = report.rows.iter().map(|row| row.assumed_currency.as_deref()).collect();
        assert_eq!(assumed, [None, Some("USD")], "sums are in a currency");
        let report = read_by(&constant, "conversion_id,event,payout\nx,Refund,10\ny,,10\n").unwrap();
        assert_eq!(shown(&report), ["2 x refund -  payout -10.00 -", "3 y - -  payout 10.00 -"]);
        assert_eq!(report.rows[1].assumed_currency.as_deref(), Some("USD"), "without a column it stays constant");
    }

    #[test]
    fn a_word_that_can_be_no_event_s_name_makes_no_sale() {
        let text = "conversion_id,Event,rewars\nx,Rückerstattung,10\ny,purchase,10\nz,,10\n";
        let report = read_by(&partner(""), text).unwrap();
        assert_eq!(shown(&report), ["3 y purchase -  usd_payout 10.00 -", "4 z - -  usd_payout 10.00 -"]);
        let [unread] = report.unread.as_slice() else { panic!("{:?}", report.unread) };
        assert_eq!((unread.line, unread.code.as_str(), unread.column.as_deref()), (2, "invalid_event", Some("Event")));
        assert_eq!(unread.conversion_id.as_deref(), Some("x"), "ours is not compared, either");
        assert!(unread.hint.contains("[events]"), "{}", unread.hint);
        let named = partner("[events]\n\"Rückerstattung\" = \"refund\"\n");
        assert_eq!(shown(&read_by(&named, text).unwrap())[0], "2 x refund -  usd_payout -10.00 -");
    }

    #[test]
    fn a_date_without_a_time_is_that_day_on_every_clock() {
        let days = |form: &str, text: &str, zone: &str| {
            let report = read_by(&partner(form), &format!("conversion_id,ts_event\nx,{text}\n")).unwrap();
            report.days(&TimeZone::get(zone).unwrap()).map(|(day, _)| day.to_string()).unwrap()
        };
        for zone in ["Asia/Kuala_Lumpur", "UTC", "Pacific/Honolulu", "Pacific/Kiritimati"] {
            assert_eq!(days("", "2025-03-02", zone), "2025-03-02", "{zone}");
            assert_eq!(days("[report]\ntime_format = \"%d/%m/%Y\"\n", "02/03/2025", zone), "2025-03-02", "{zone}");
        }
        assert_eq!(days("", "2025-03-02 01:00", "UTC"), "2025-03-01", "a time is an instant");
        assert_eq!(days("[report]\ntime_format = \"%d/%m/%Y %H:%M\"\n", "02/03/2025 00:00", "UTC"), "2025-03-01");
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
            .map(|unread| {
                let [column, id] = [&unread.column, &unread.conversion_id].map(|text| text.as_deref().unwrap_or("-"));
                format!("{} {} {column} {id}", unread.line, unread.code)
            })
            .collect();
        assert_eq!(
            unread,
            [
                "2 invalid_amount Rewars c1",
                "3 missing_field conversion_id -",
                "4 malformed_row - c3",
                "5 invalid_time ts_event c4",
                "6 time_in_future ts_event c5",
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
    fn a_quote_that_is_not_closed_swallows_nothing() {
        for (text, line) in [
            ("conversion_id,rewars,note\nc1,1,\nc2,1,\"x\nc3,100,\n", 3),
            ("conversion_id,rewars,note\nc1,1,\"x\nc2,2,\nc3,3,\"y\n", 2),
            ("conversion_id,rewars,note\nc1,1,\"x\"y\n", 2),
        ] {
            let problem = read_by(&partner(""), text).unwrap_err();
            assert!(problem.starts_with(&format!("line {line}: a quoted cell that is not closed")), "{problem}");
        }
        let text = "conversion_id,rewars,note\nc1,1,27\" monitor\nc2,1,\"a \"\"b\"\"\"\nc3,1,\"\"\n";
        assert_eq!(read_by(&partner(""), text).unwrap().rows.len(), 3);
        let text = "conversion_id,rewars,note\n\"c1\n\",1,\nc2\0,1,\nc3,1,\"two\nlines\"\n";
        let report = read_by(&partner(""), text).unwrap();
        assert_eq!(shown(&report), ["5 c3 - -  usd_payout 1.00 -"]);
        let codes: Vec<_> = report.unread.iter().map(|unread| (unread.line, unread.code.as_str())).collect();
        assert_eq!(codes, [(2, "control_char"), (4, "control_char")]);
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd_to_be_read(text in "\\PC*", rows in "(conversion_id,rewars,status\n)([a-z0-9\",;\r\n.%{}-]{0,80})") {
            let _ = read_by(&partner(""), &text);
            let is_closed = stray_quote(&rows.replace("\r\n", "\n").replace('\r', "\n"), ',').is_none();
            prop_assert_eq!(read_by(&partner(""), &rows).is_ok(), is_closed);
        }
    }
}
