//! Our own export of conversions (`/partner/{endpoint}/conversions?format=csv`) as a report: another origin's, or one that a partner
//! gives back. Its names, words and times are canonical, so the partner's file has no say in it.

use super::cells::date_of;
use super::report::{Theirs, Unread};
use super::rows::malformed;
use crate::reports::Table;
use postback::event::Event;
use postback::field::Field;
use postback::money::{Amount, Currency};
use postback::rejection::Code;
use postback::status::Status;
use postback::time::Timestamp;
use postback::zone::Zone;
use std::collections::BTreeMap;

/// What separates columns.
pub const DELIMITER: char = ',';
/// Columns that are read; a file that has them all is our export. No partner calls its columns so by chance.
const COLUMNS: [&str; 14] = [
    "conversion_id",
    "occurrence",
    "revision",
    "event",
    "status",
    "happened_at",
    "sale_amount",
    "payout",
    "currency",
    "usd_sale_amount",
    "usd_payout",
    "reporting_sale_amount",
    "reporting_payout",
    "is_duplicate",
];
/// Each amount in US dollars, the one in another currency, and the column of what that was converted to.
const DOLLARS: [(Field, Field, &str); 2] = [
    (Field::UsdSaleAmount, Field::SaleAmount, "reporting_sale_amount"),
    (Field::UsdPayout, Field::Payout, "reporting_payout"),
];

/// The head of such an export.
pub struct Export {
    names: Vec<String>,
}

/// A record of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Row {
    /// A conversion.
    Conversion(Box<Theirs>),
    /// One that is marked as a possible duplicate: it counts for nothing, as ours do.
    Marked,
    /// The head again: pages were put behind one another.
    Head,
}

impl Export {
    /// The export that a text is, if it is one.
    pub fn of(text: &str) -> Option<Export> {
        let head = text.lines().next()?;
        let names: Vec<_> = head.split(DELIMITER).map(|name| name.trim().trim_matches('"').to_owned()).collect();
        let has = |name: &&str| names.iter().any(|known| known == name);
        COLUMNS.iter().all(has).then_some(Export { names })
    }

    /// Reads a record.
    ///
    /// # Errors
    /// It is not as our exports are.
    pub fn row(&self, line: u64, record: &csv::StringRecord) -> Result<Row, Unread> {
        if record.iter().map(str::trim).eq(self.names.iter().map(String::as_str)) {
            return Ok(Row::Head);
        }
        let cells = Cells { export: self, line, record };
        if record.len() != self.names.len() {
            let told = format!("it has {} columns where the head has {}", record.len(), self.names.len());
            return Err(malformed(line, told, cells.id()));
        }
        match cells.text("is_duplicate").to_ascii_lowercase().as_str() {
            "true" => return Ok(Row::Marked),
            "false" => {}
            _ => return Err(cells.unread("is_duplicate", Code::InvalidFlag, "write true or false")),
        }
        let id = cells.id().ok_or_else(|| cells.unread("conversion_id", Code::MissingField, "it is empty"))?;
        let event = Event::parse(cells.text("event"))
            .ok_or_else(|| cells.unread("event", Code::InvalidEvent, "this word can be no event's name"))?;
        let happened_at = Timestamp::parse(cells.text("happened_at"), &Zone::utc())
            .ok_or_else(|| cells.unread("happened_at", Code::InvalidTime, "write it as 2025-11-21T08:00:00Z"))?;
        let statuses = "write pending, approved, rejected or paid";
        let status = cells.read("status", Code::UnknownStatus, statuses, Status::parse)?;
        let three_letters = "write three letters of ISO 4217, such as EUR";
        let currency = cells.read("currency", Code::InvalidCurrency, three_letters, Currency::parse)?;
        Ok(Row::Conversion(Box::new(Theirs {
            line,
            conversion_id: id,
            event: Some(event.name().to_owned()),
            status,
            happened_at: Some(happened_at),
            date: date_of(cells.text("happened_at")),
            money: cells.money()?,
            currency: currency.map(|currency| currency.code().to_owned()),
            assumed_currency: None,
        })))
    }
}

/// A record's cells by their columns' names.
struct Cells<'a> {
    export: &'a Export,
    line: u64,
    record: &'a csv::StringRecord,
}

impl<'a> Cells<'a> {
    /// A cell's text; empty where there is no such column.
    fn text(&self, name: &str) -> &'a str {
        let place = self.export.names.iter().position(|known| known == name);
        Table::text_of(place.and_then(|place| self.record.get(place)).unwrap_or_default())
    }

    fn id(&self) -> Option<String> {
        Some(self.text("conversion_id")).filter(|id| !id.is_empty()).map(str::to_owned)
    }

    /// A cell's value; None where it is empty.
    fn read<T>(
        &self,
        name: &str,
        code: Code,
        hint: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, Unread> {
        match self.text(name) {
            "" => Ok(None),
            text => parse(text).map(Some).ok_or_else(|| self.unread(name, code, hint)),
        }
    }

    fn amount(&self, name: &str) -> Result<Option<Amount>, Unread> {
        self.read(name, Code::InvalidAmount, "write a plain decimal, such as -10.50", Amount::parse)
    }

    /// Its amounts as they were stated. Where nobody stated one, such as a refund of all, what it was taken to be in dollars.
    fn money(&self) -> Result<BTreeMap<Field, Amount>, Unread> {
        let mut money = BTreeMap::new();
        for (usd, local, reporting) in DOLLARS {
            let (in_usd, in_local) = (self.amount(usd.name())?, self.amount(local.name())?);
            let reported = self.amount(reporting)?.filter(|_| in_local.is_none());
            for (field, amount) in [(usd, in_usd.or(reported)), (local, in_local)] {
                money.extend(amount.map(|amount| (field, amount)));
            }
        }
        Ok(money)
    }

    fn unread(&self, column: &str, code: Code, hint: &str) -> Unread {
        Unread {
            line: self.line,
            code: code.as_str().to_owned(),
            column: Some(column.to_owned()),
            hint: hint.to_owned(),
            conversion_id: self.id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::{Form, Report};
    use super::super::rows::read;
    use super::*;
    use crate::reports::CONVERSION;
    use postback::partner::file::read_files;
    use serde_json::Value;

    /// Rows of our export, of each the cells that are not as usual.
    fn export(rows: &[&[(&str, &str)]]) -> String {
        let row = |given: &&[(&str, &str)]| {
            let cell = |name: &'static str| {
                let said = given.iter().find(|(known, _)| *known == name).map(|(_, text)| Value::from(*text));
                let usual = match name {
                    "is_duplicate" => Value::from(false),
                    "event" => Value::from("purchase"),
                    "happened_at" => Value::from("2025-11-20T20:00:00+00:00"),
                    _ => Value::Null,
                };
                (name, said.unwrap_or(usual))
            };
            CONVERSION.map(|(name, _)| cell(name)).to_vec()
        };
        Table::of(rows.iter().map(row))
    }

    /// As it is read for a partner whose file says other things of all of it.
    fn report(text: &str) -> Report {
        let file = r#"
name = "Example"
tenant = "bytec"
endpoint = "example/event"
database = "example_db"
time_zone = "Asia/Kuala_Lumpur"
reply = "json"
auth = ["open"]
default_event = "conversion"
required = ["conversion_id"]
[constants]
currency = "IDR"
[events]
purchase = "lead"
[statuses]
approved = "rejected"
[report]
delimiter = ";"
decimal_mark = ","
time_format = "%d/%m/%Y"
[report.columns]
reporting_payout = "payout"
revision = "conversion_id"
"#;
        let partners = read_files([("example.toml", file)].into_iter()).unwrap();
        let now = Timestamp::parse("2025-12-01T00:00:00Z", &Zone::utc()).unwrap();
        read(partners.by_code("example").unwrap(), text, &BTreeMap::new(), now, |_| ()).unwrap()
    }

    fn shown(report: &Report) -> Vec<String> {
        let row = |row: &Theirs| {
            let money: Vec<_> = row.money.iter().map(|(field, amount)| format!("{} {amount}", field.name())).collect();
            let currency = row.currency.as_deref().unwrap_or("-");
            let (event, status) = (row.event.as_deref().unwrap_or("-"), row.status.map_or("-", Status::name));
            let at = row.happened_at.map(|at| at.to_string()).unwrap_or_default();
            format!("{} {} {event} {status} {at} {} {currency}", row.line, row.conversion_id, money.join(","))
        };
        report.rows.iter().map(row).collect()
    }

    #[test]
    fn our_export_is_read_as_we_wrote_it_whatever_the_partner_s_file_says() {
        let report = report(&export(&[
            &[
                ("conversion_id", "=1+1"),
                ("status", "approved"),
                ("sale_amount", "100.00"),
                ("payout", "10.50"),
                ("currency", "EUR"),
                ("reporting_payout", "11.55"),
            ],
            &[
                ("conversion_id", "a,\"b\""),
                ("event", "refund"),
                ("usd_payout", "-10.50"),
                ("happened_at", "2025-11-21T04:00:00+08:00"),
            ],
            &[("conversion_id", "'@c"), ("event", "chargeback"), ("reporting_payout", "-3.000001")],
            &[("conversion_id", "-5"), ("event", "level_5"), ("status", "rejected")],
            &[("conversion_id", "e"), ("is_duplicate", "true"), ("payout", "7")],
        ]));
        assert_eq!(report.unread, []);
        assert_eq!(
            shown(&report),
            [
                "2 =1+1 purchase approved 2025-11-20T20:00:00Z sale_amount 100.00,payout 10.50 EUR",
                "3 a,\"b\" refund - 2025-11-20T20:00:00Z usd_payout -10.50 -",
                "4 '@c chargeback - 2025-11-20T20:00:00Z usd_payout -3.000001 -",
                "5 -5 level_5 rejected 2025-11-20T20:00:00Z  -",
            ]
        );
        assert_eq!((report.form, report.marked, report.ignored.len()), (Form::Export, 1, 0));
    }

    #[test]
    fn pages_may_stand_behind_one_another() {
        let [first, second] = ["a", "b"].map(|id| export(&[&[("conversion_id", id)]]));
        let report = report(&(first + &second));
        let ids: Vec<_> = report.rows.iter().map(|row| row.conversion_id.as_str()).collect();
        assert_eq!((ids, report.unread.len()), (vec!["a", "b"], 0));
    }

    #[test]
    fn a_cell_that_we_would_not_write_is_named_by_line_code_and_column() {
        let report = report(&export(&[
            &[("conversion_id", "a"), ("payout", "1,50")],
            &[("conversion_id", "b"), ("status", "Approved")],
            &[("conversion_id", "c"), ("event", "{event}")],
            &[("conversion_id", "d"), ("happened_at", "yesterday")],
            &[("conversion_id", "e"), ("currency", "XXXX")],
            &[("conversion_id", "f"), ("is_duplicate", "perhaps")],
            &[("payout", "1")],
        ]));
        let told = report.unread.iter();
        let told: Vec<_> =
            told.map(|one| format!("{} {} {}", one.line, one.code, one.column.as_deref().unwrap())).collect();
        assert_eq!(
            told,
            [
                "2 invalid_amount payout",
                "3 unknown_status status",
                "4 invalid_event event",
                "5 invalid_time happened_at",
                "6 invalid_currency currency",
                "7 invalid_flag is_duplicate",
                "8 missing_field conversion_id",
            ]
        );
    }

    #[test]
    fn a_report_that_lacks_a_column_of_ours_is_a_partner_s() {
        let head = COLUMNS.join(",");
        assert!(Export::of(&format!("{head}\r\n")).is_some());
        assert!(Export::of(&head.replace(",occurrence", "")).is_none());
        assert!(Export::of("conversion_id,event,status,happened_at,payout,usd_payout\n").is_none());
    }

    #[test]
    fn our_export_has_every_column_that_is_read() {
        for name in COLUMNS {
            assert!(CONVERSION.iter().any(|(known, _)| *known == name), "{name}");
        }
    }
}
