//! What conversions come to within a span of time, as it is read.

use super::super::StoreError;
use super::super::statement::{Done, read_json, read_sum};
use super::kinds::{Kind, Row, Waiting, kinds, waiting};
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer};

/// What conversions come to that happened within a span of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// All of them, in each part of the span in which there were any.
    pub parts: Vec<Total>,
    /// Those of each kind, in the whole span.
    pub kinds: Vec<Kind>,
    /// Those that count and wait for a rate, in the whole span, by the currency of the amount that waits.
    pub waiting: Vec<Waiting>,
}

/// What all conversions within a span come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Total {
    /// The span's number.
    pub span: i64,
    /// How many there are.
    #[serde(flatten)]
    pub counts: Counts,
    /// Their amounts.
    pub money: Money,
}

/// How many conversions there are. Rejected ones and possible duplicates are in none of the other counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Counts {
    /// Those that count, without refunds and chargebacks.
    pub conversions: i64,
    /// Of these, conversions and purchases, and events that have a name of their sender's own.
    pub sales: i64,
    /// Of these, registrations.
    pub registrations: i64,
    /// Of these, deposits.
    pub deposits: i64,
    /// Refunds that count.
    pub refunds: i64,
    /// Chargebacks that count.
    pub chargebacks: i64,
    /// How many were rejected, and are not marked as duplicates.
    pub rejected: i64,
    /// How many are marked as duplicates.
    pub duplicates: i64,
    /// How many of those that count are accounts' first deposits.
    pub first_deposits: i64,
    /// How many of those that count, returns included, have an amount that waits for a rate, so that it is in no sum yet.
    pub waiting_for_rates: i64,
}

/// Amounts of conversions that count, in the reporting currency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Money {
    /// What customers paid, less what was returned to them.
    #[serde(deserialize_with = "decimal")]
    pub reporting_sale_amount: Decimal,
    /// What we are paid, less what was returned.
    #[serde(deserialize_with = "decimal")]
    pub reporting_payout: Decimal,
    /// Sale amounts of refunds and chargebacks: zero or below.
    #[serde(deserialize_with = "decimal")]
    pub returned_sale_amount: Decimal,
    /// Payouts of refunds and chargebacks: zero or below.
    #[serde(deserialize_with = "decimal")]
    pub returned_payout: Decimal,
    /// What is in `reporting_sale_amount` of conversions that are pending.
    #[serde(deserialize_with = "decimal")]
    pub pending_sale_amount: Decimal,
    /// What is in `reporting_payout` of conversions that are pending.
    #[serde(deserialize_with = "decimal")]
    pub pending_payout: Decimal,
}

/// A sum travels as a text ([`super::super::statement::Dialect::sum_text`]): it may be more than an integer holds.
pub(super) fn decimal<'de, D: Deserializer<'de>>(from: D) -> Result<Decimal, D::Error> {
    let sum = read_sum(&String::deserialize(from)?);
    let sum = sum.and_then(|sum| Decimal::try_from_i128_with_scale(sum, 6).ok());
    sum.ok_or_else(|| serde::de::Error::custom("not a sum"))
}

/// Reads the answers of [`super::spans::totals_of`].
pub(super) fn read(done: Vec<Done>) -> Result<Totals, StoreError> {
    let (mut parts, mut rows) = (Vec::<Total>::new(), Vec::<Row>::new());
    for (name, answer) in done.into_iter().flat_map(|done| done.answers) {
        match name.as_str() {
            "total" => parts.push(read_json("a total", &answer)?),
            _ => rows.push(read_json("a kind", &answer)?),
        }
    }
    parts.sort_by_key(|total| total.span);
    let too_much = || StoreError::Bug("sums that are too large to be added".to_owned());
    let waiting = waiting(&rows).ok_or_else(too_much)?;
    let kinds = kinds(rows).ok_or_else(too_much)?;
    Ok(Totals { parts, kinds, waiting })
}

impl Total {
    /// Both together, under the number of the first. None where that is more than can be.
    #[must_use]
    pub fn plus(self, other: &Total) -> Option<Total> {
        Some(Total { span: self.span, counts: self.counts.plus(&other.counts)?, money: self.money.plus(&other.money)? })
    }
}

impl Counts {
    fn plus(self, other: &Counts) -> Option<Counts> {
        Some(Counts {
            conversions: self.conversions.checked_add(other.conversions)?,
            sales: self.sales.checked_add(other.sales)?,
            registrations: self.registrations.checked_add(other.registrations)?,
            deposits: self.deposits.checked_add(other.deposits)?,
            refunds: self.refunds.checked_add(other.refunds)?,
            chargebacks: self.chargebacks.checked_add(other.chargebacks)?,
            rejected: self.rejected.checked_add(other.rejected)?,
            duplicates: self.duplicates.checked_add(other.duplicates)?,
            first_deposits: self.first_deposits.checked_add(other.first_deposits)?,
            waiting_for_rates: self.waiting_for_rates.checked_add(other.waiting_for_rates)?,
        })
    }
}

impl Money {
    /// What customers paid before anything was returned to them. None where that is more than can be.
    #[must_use]
    pub fn gross_sale_amount(&self) -> Option<Decimal> {
        self.reporting_sale_amount.checked_sub(self.returned_sale_amount)
    }

    /// What we are paid before anything was returned. None where that is more than can be.
    #[must_use]
    pub fn gross_payout(&self) -> Option<Decimal> {
        self.reporting_payout.checked_sub(self.returned_payout)
    }

    fn plus(self, other: &Money) -> Option<Money> {
        Some(Money {
            reporting_sale_amount: self.reporting_sale_amount.checked_add(other.reporting_sale_amount)?,
            reporting_payout: self.reporting_payout.checked_add(other.reporting_payout)?,
            returned_sale_amount: self.returned_sale_amount.checked_add(other.returned_sale_amount)?,
            returned_payout: self.returned_payout.checked_add(other.returned_payout)?,
            pending_sale_amount: self.pending_sale_amount.checked_add(other.pending_sale_amount)?,
            pending_payout: self.pending_payout.checked_add(other.pending_payout)?,
        })
    }
}
