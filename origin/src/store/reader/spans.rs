//! What conversions come to, by spans of time.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::totals::{Table, case, is_counted, is_rejected};
use postback::time::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

/// A span of time; one that totals are asked of begins and ends at a quarter of an hour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// A number of the caller's.
    pub number: i64,
    /// Its beginning.
    pub start: Timestamp,
    /// Its end, which is not in it.
    pub end: Timestamp,
}

/// What conversions come to that happened within a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All of them, in each part of the span in which there were any.
    pub parts: Vec<Total>,
    /// Those of each kind, in the whole span.
    pub kinds: Vec<Kind>,
}

/// What all conversions within a span come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Total {
    /// The span's number.
    pub span: i64,
    /// How many count.
    pub conversions: i64,
    /// How many were rejected, and are not marked as duplicates.
    pub rejected: i64,
    /// How many are marked as duplicates.
    pub duplicates: i64,
    /// How many of those that count are accounts' first deposits.
    pub first_deposits: i64,
    /// What customers paid for those that count, in the reporting currency.
    #[serde(deserialize_with = "decimal")]
    pub reporting_sale_amount: Decimal,
    /// What we are paid for those that count, in the reporting currency.
    #[serde(deserialize_with = "decimal")]
    pub reporting_payout: Decimal,
}

/// What conversions of one kind come to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Kind {
    /// The event's canonical name.
    pub event: String,
    /// The status' canonical name; empty where there is none.
    pub status: String,
    /// ISO 4217; empty where there is none.
    pub currency: String,
    /// Whether they are marked as duplicates.
    #[serde(deserialize_with = "super::flag")]
    pub is_duplicate: bool,
    /// How many.
    pub conversions: i64,
    /// How many of them are accounts' first deposits.
    pub first_deposits: i64,
    /// What customers paid, in the currency.
    #[serde(deserialize_with = "decimal")]
    pub sale_amount: Decimal,
    /// What we are paid, in the currency.
    #[serde(deserialize_with = "decimal")]
    pub payout: Decimal,
    /// What customers paid, in the reporting currency.
    #[serde(deserialize_with = "decimal")]
    pub reporting_sale_amount: Decimal,
    /// What we are paid, in the reporting currency.
    #[serde(deserialize_with = "decimal")]
    pub reporting_payout: Decimal,
}

/// A sum travels as a text ([`Dialect::sum_text`]): it may be more than an integer holds.
fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
    let text = String::deserialize(from)?;
    let (units, micros) = text.split_once(':').unwrap_or(("0", &text));
    let [units, micros] = [units, micros].map(|part| part.parse::<i128>().ok());
    let sum = units.zip(micros).and_then(|(units, micros)| units.checked_mul(1_000_000)?.checked_add(micros));
    let sum = sum.and_then(|sum| Decimal::try_from_i128_with_scale(sum, 6).ok());
    sum.ok_or_else(|| serde::de::Error::custom("not a sum"))
}

/// Periods of one table that follow each other, and what they are summed for.
pub(super) struct Periods {
    span: Span,
    source: Source,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// Hours, for a total.
    Hours,
    /// The quarters around them.
    AroundHours,
    /// Days, for kinds.
    Days,
    /// The quarters around them.
    AroundDays,
}

impl Source {
    const fn name(self) -> &'static str {
        match self {
            Source::Hours => "hours",
            Source::AroundHours => "around hours",
            Source::Days => "days",
            Source::AroundDays => "around days",
        }
    }

    const fn table(self) -> Table {
        match self {
            Source::Hours => Table::Hours,
            Source::Days => Table::Days,
            Source::AroundHours | Source::AroundDays => Table::Quarters,
        }
    }

    const fn around(self) -> Source {
        match self {
            Source::Hours | Source::AroundHours => Source::AroundHours,
            Source::Days | Source::AroundDays => Source::AroundDays,
        }
    }
}

/// Whatever is to be summed: the parts of a span for totals, the whole for kinds.
pub(super) fn periods(whole: Span, parts: &[Span]) -> Vec<Periods> {
    let totals = parts.iter().flat_map(|part| split(*part, Source::Hours));
    totals.chain(split(whole, Source::Days)).collect()
}

/// The periods of a span: the long ones in it, and the quarters before and behind them.
fn split(span: Span, long: Source) -> impl Iterator<Item = Periods> {
    let period_s = long.table().period_s();
    let [start_s, end_s] = [span.start.unix_s(), span.end.unix_s()];
    let last_s = end_s.saturating_sub(end_s.rem_euclid(period_s));
    let first_s = start_s.saturating_add(start_s.saturating_neg().rem_euclid(period_s)).min(last_s.max(start_s));
    let last_s = last_s.max(first_s);
    let at = |second: i64| Timestamp::from_unix_ms(second.saturating_mul(1_000));
    let periods = move |source: Source, start: Option<Timestamp>, end: Option<Timestamp>| {
        let (start, end) = (start?, end?);
        (start < end).then_some(Periods { span: Span { number: span.number, start, end }, source })
    };
    [
        periods(long.around(), Some(span.start), at(first_s)),
        periods(long, at(first_s), at(last_s)),
        periods(long.around(), at(last_s), Some(span.end)),
    ]
    .into_iter()
    .flatten()
}

/// One statement, so that totals and kinds are of one moment.
pub(super) fn totals_of(dialect: Dialect) -> Step<Periods> {
    const COLUMNS: &[Column<Periods>] = &[
        Column::number("span", |periods| periods.span.number),
        Column::time("start_at", |periods| Some(periods.span.start)),
        Column::time("end_at", |periods| Some(periods.span.end)),
        Column::text("source", |periods| Some(periods.source.name().to_owned())),
    ];
    Step::new(dialect, COLUMNS, &format!("{} union all {}", totals(dialect), kinds(dialect))).answering()
}

fn totals(dialect: Dialect) -> String {
    let is_counted = is_counted("found");
    let amounts = ["reporting_sale_amount", "reporting_payout"].map(|name| dialect.amount(name));
    let of_hours = "found.conversions, found.rejected, found.duplicates, found.first_deposits".to_owned();
    let of_quarters = [
        (is_counted.as_str(), "conversions", "conversions"),
        (&is_rejected("found"), "conversions", "rejected"),
        ("found.is_duplicate", "conversions", "duplicates"),
        (&is_counted, "first_deposits", "first_deposits"),
    ];
    let hours: Vec<_> = std::iter::once(of_hours).chain(amounts.iter().map(|name| format!("found.{name}"))).collect();
    let quarters: Vec<_> = of_quarters
        .into_iter()
        .chain(amounts.iter().map(|name| (is_counted.as_str(), name.as_str(), name.as_str())))
        .map(|(condition, what, name)| format!("{} as {name}", case(condition, &format!("found.{what}"))))
        .collect();
    let numbers = ["conversions", "rejected", "duplicates", "first_deposits"];
    let found = format!("{} union all {}", of(Source::Hours, &hours), of(Source::AroundHours, &quarters));
    summed(
        dialect,
        "total",
        &["span"],
        &numbers,
        &["reporting_sale_amount", "reporting_payout"],
        &found,
        "total.conversions <> 0 or total.rejected <> 0 or total.duplicates <> 0",
    )
}

fn kinds(dialect: Dialect) -> String {
    let names = ["event", "status", "currency", "is_duplicate", "conversions", "first_deposits"];
    let amounts = ["sale_amount", "payout", "reporting_sale_amount", "reporting_payout"];
    let columns: Vec<_> = names
        .iter()
        .map(|name| format!("found.{name}"))
        .chain(amounts.iter().map(|name| format!("found.{}", dialect.amount(name))))
        .collect();
    let found = format!("{} union all {}", of(Source::Days, &columns), of(Source::AroundDays, &columns));
    let (kind, numbers) = names.split_at(4);
    summed(dialect, "kind", kind, numbers, &amounts, &found, "kind.conversions <> 0")
}

/// The rows of totals of what is to be summed from a table.
fn of(source: Source, columns: &[String]) -> String {
    format!(
        "select input.span, {} from input join {} as found
           on found.period_start >= input.start_at and found.period_start < input.end_at where input.source = '{}'",
        columns.join(", "),
        source.table().name(),
        source.name(),
    )
}

/// Rows that were found, summed by their key, as answers of a name.
fn summed(
    dialect: Dialect,
    name: &str,
    key: &[&str],
    numbers: &[&str],
    amounts: &[&str],
    found: &str,
    is_any: &str,
) -> String {
    let sums = numbers.iter().map(|number| format!("sum(found.{number}) as {number}")).chain(
        amounts
            .iter()
            .map(|amount| format!("{} as {amount}", dialect.sum_text(&format!("found.{}", dialect.amount(amount))))),
    );
    let grouped: Vec<_> = key.iter().map(|column| format!("found.{column}")).collect();
    let grouped = grouped.join(", ");
    let members: Vec<_> =
        [key, numbers, amounts].concat().into_iter().map(|column| (column, format!("{name}.{column}"))).collect();
    format!(
        "select '{name}' as id, {} as answer
         from (select {grouped}, {} from ({found}) as found group by {grouped}) as {name} where {is_any}",
        dialect.json_object(&members),
        sums.collect::<Vec<_>>().join(", "),
    )
}

pub(super) fn read(done: Vec<Done>) -> Result<Totals, StoreError> {
    let mut totals = Totals::default();
    for (name, answer) in done.into_iter().flat_map(|done| done.answers) {
        match name.as_str() {
            "total" => totals.parts.push(read_json("a total", &answer)?),
            _ => totals.kinds.push(read_json("a kind", &answer)?),
        }
    }
    totals.parts.sort_by_key(|total| total.span);
    totals.kinds.sort_by(|a, b| a.key().cmp(&b.key()));
    Ok(totals)
}

impl Total {
    /// Both together, under the number of the first.
    #[must_use]
    pub fn plus(self, other: &Total) -> Total {
        Total {
            span: self.span,
            conversions: self.conversions.saturating_add(other.conversions),
            rejected: self.rejected.saturating_add(other.rejected),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            first_deposits: self.first_deposits.saturating_add(other.first_deposits),
            reporting_sale_amount: self.reporting_sale_amount.saturating_add(other.reporting_sale_amount),
            reporting_payout: self.reporting_payout.saturating_add(other.reporting_payout),
        }
    }
}

impl Kind {
    fn key(&self) -> (&str, &str, &str, bool) {
        (&self.event, &self.status, &self.currency, self.is_duplicate)
    }
}
