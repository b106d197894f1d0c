//! Totals by spans of time.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use super::super::totals::Grain;
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

/// What conversions of one kind come to within a span.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Counted {
    /// The span's number.
    pub span: i64,
    /// The event's canonical name.
    pub event: String,
    /// The status' canonical name; empty where there is none.
    pub status: String,
    /// ISO 4217; empty where there is none.
    pub currency: String,
    /// Whether they are marked as duplicates.
    #[serde(deserialize_with = "super::flag")]
    pub is_duplicate: bool,
    /// What they come to.
    #[serde(flatten)]
    pub sums: Sums,
}

/// Numbers of conversions and sums of their amounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Sums {
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

impl Sums {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Sums) -> Sums {
        Sums {
            conversions: self.conversions.saturating_add(other.conversions),
            first_deposits: self.first_deposits.saturating_add(other.first_deposits),
            sale_amount: self.sale_amount.saturating_add(other.sale_amount),
            payout: self.payout.saturating_add(other.payout),
            reporting_sale_amount: self.reporting_sale_amount.saturating_add(other.reporting_sale_amount),
            reporting_payout: self.reporting_payout.saturating_add(other.reporting_payout),
        }
    }
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

/// A part of a span, and the totals that it is summed from.
pub(super) struct Part {
    span: Span,
    grain: Grain,
}

/// The parts of a span: its hours, and the quarters before and behind them.
pub(super) fn parts(span: Span) -> impl Iterator<Item = Part> {
    const HOUR_S: i64 = 3_600;
    let [start_s, end_s] = [span.start.unix_s(), span.end.unix_s()];
    let last_s = end_s.saturating_sub(end_s.rem_euclid(HOUR_S));
    let first_s = start_s.saturating_add(start_s.saturating_neg().rem_euclid(HOUR_S)).min(last_s.max(start_s));
    let last_s = last_s.max(first_s);
    let at = |second: i64| Timestamp::from_unix_ms(second.saturating_mul(1_000));
    let part = move |grain: Grain, start: Option<Timestamp>, end: Option<Timestamp>| {
        let (start, end) = (start?, end?);
        (start < end).then_some(Part { span: Span { number: span.number, start, end }, grain })
    };
    [
        part(Grain::Quarter, Some(span.start), at(first_s)),
        part(Grain::Hour, at(first_s), at(last_s)),
        part(Grain::Quarter, at(last_s), Some(span.end)),
    ]
    .into_iter()
    .flatten()
}

pub(super) fn totals_of(dialect: Dialect) -> Step<Part> {
    const COLUMNS: &[Column<Part>] = &[
        Column::number("span", |part| part.span.number),
        Column::time("start_at", |part| Some(part.span.start)),
        Column::time("end_at", |part| Some(part.span.end)),
        Column::number("by_hour", |part| i64::from(part.grain == Grain::Hour)),
    ];
    const KEY: &str = "found.span, found.event, found.status, found.currency, found.is_duplicate";
    let amounts = ["sale_amount", "payout", "reporting_sale_amount", "reporting_payout"];
    let sums: Vec<_> = amounts
        .iter()
        .map(|name| format!("{} as {name}", dialect.sum_text(&format!("found.{}", dialect.amount(name)))))
        .chain(["conversions", "first_deposits"].map(|name| format!("sum(found.{name}) as {name}")))
        .collect();
    let of = |grain: Grain| {
        let by_hour = i64::from(grain == Grain::Hour);
        format!(
            "select input.span, totals.* from input join {} as totals
               on totals.period_start >= input.start_at and totals.period_start < input.end_at where input.by_hour = {by_hour}",
            grain.table()
        )
    };
    let column = |name: &'static str| (name, format!("counted.{name}"));
    let mut members: Vec<_> =
        ["span", "event", "status", "currency", "is_duplicate", "conversions", "first_deposits"].map(column).into();
    members.extend(amounts.map(column));
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "select cast(counted.span as text) as id, {} as answer
             from (select {KEY}, {} from ({} union all {}) as found group by {KEY}) as counted
             where counted.conversions <> 0
             order by counted.span, counted.event, counted.status, counted.currency, counted.is_duplicate",
            dialect.json_object(&members),
            sums.join(", "),
            of(Grain::Quarter),
            of(Grain::Hour),
        ),
    )
    .answering()
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<Counted>, StoreError> {
    let counted = |(_, answer): (String, String)| read_json("a total", &answer);
    done.into_iter().flat_map(|done| done.answers).map(counted).collect()
}
