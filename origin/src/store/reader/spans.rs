//! Totals by spans of time.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
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

pub(super) fn totals_of(dialect: Dialect) -> Step<Span> {
    const COLUMNS: &[Column<Span>] = &[
        Column::number("span", |span| span.number),
        Column::time("start_at", |span| Some(span.start)),
        Column::time("end_at", |span| Some(span.end)),
    ];
    const KEY: &str = "input.span, totals.event, totals.status, totals.currency, totals.is_duplicate";
    let amounts = ["sale_amount", "payout", "reporting_sale_amount", "reporting_payout"];
    let sums: Vec<_> = amounts
        .iter()
        .map(|name| format!("{} as {name}", dialect.sum_text(&format!("totals.{}", dialect.amount(name)))))
        .chain(["conversions", "first_deposits"].map(|name| format!("sum(totals.{name}) as {name}")))
        .collect();
    let column = |name: &'static str| (name, format!("counted.{name}"));
    let mut members: Vec<_> =
        ["span", "event", "status", "currency", "is_duplicate", "conversions", "first_deposits"].map(column).into();
    members.extend(amounts.map(column));
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "select cast(counted.span as text) as id, {} as answer
             from (select {KEY}, {} from input join totals
                    on totals.period_start >= input.start_at and totals.period_start < input.end_at
                   group by {KEY}) as counted
             where counted.conversions <> 0
             order by counted.span, counted.event, counted.status, counted.currency, counted.is_duplicate",
            dialect.json_object(&members),
            sums.join(", "),
        ),
    )
    .answering()
}

pub(super) fn read(done: Vec<Done>) -> Result<Vec<Counted>, StoreError> {
    let counted = |(_, answer): (String, String)| read_json("a total", &answer);
    done.into_iter().flat_map(|done| done.answers).map(counted).collect()
}
