//! What conversions of each kind come to, and what waits for rates, as it is read.

use super::sums::decimal;
use postback::status::Status;
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What conversions of one kind come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// What makes them one kind.
    pub of: KindKey,
    /// How many.
    pub conversions: i64,
    /// How many of them are accounts' first deposits.
    pub first_deposits: i64,
    /// How many of them have an amount that waits for a rate.
    pub waiting_for_rates: i64,
    /// Their amounts.
    pub money: KindMoney,
}

/// What makes conversions one kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct KindKey {
    /// The event's canonical name.
    pub event: String,
    /// The status' canonical name; empty where there is none.
    pub status: String,
    /// ISO 4217, of the sale; empty where there is none.
    pub currency: String,
    /// ISO 4217, of the payout; empty where there is none.
    pub payout_currency: String,
    /// Whether they are marked as duplicates.
    #[serde(deserialize_with = "super::flag")]
    pub is_duplicate: bool,
}

/// Amounts of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct KindMoney {
    /// What customers paid, in the currency of the sale.
    #[serde(deserialize_with = "decimal")]
    pub sale_amount: Decimal,
    /// What we are paid, in the currency of the payout.
    #[serde(deserialize_with = "decimal")]
    pub payout: Decimal,
    /// What customers paid, in the reporting currency.
    #[serde(deserialize_with = "decimal")]
    pub reporting_sale_amount: Decimal,
    /// What we are paid, in the reporting currency.
    #[serde(deserialize_with = "decimal")]
    pub reporting_payout: Decimal,
}

/// Conversions that count, with an amount in one currency that waits for a rate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// ISO 4217.
    pub currency: String,
    /// How many there are. One whose sale and payout wait in two currencies is in both.
    pub conversions: i64,
    /// Sale amounts that wait.
    pub sale_amount: Decimal,
    /// Payouts that wait.
    pub payout: Decimal,
}

/// A kind as it is stored: which of its amounts wait parts it further.
#[derive(Deserialize)]
pub(super) struct Row {
    #[serde(flatten)]
    of: KindKey,
    waiting: Waits,
    conversions: i64,
    first_deposits: i64,
    money: KindMoney,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Waits {
    #[serde(rename = "")]
    None,
    Sale,
    Payout,
    Both,
}

/// Kinds, in their order, whatever waits. None where they come to more than can be.
pub(super) fn kinds(rows: Vec<Row>) -> Option<Vec<Kind>> {
    let mut kinds = BTreeMap::<KindKey, Kind>::new();
    for Row { of, waiting, conversions, first_deposits, money } in rows {
        let waiting_for_rates = match waiting {
            Waits::None => 0,
            Waits::Sale | Waits::Payout | Waits::Both => conversions,
        };
        let kind = Kind { of: of.clone(), conversions, first_deposits, waiting_for_rates, money };
        let both = match kinds.remove(&of) {
            None => kind,
            Some(other) => other.plus(&kind)?,
        };
        kinds.insert(of, both);
    }
    Some(kinds.into_values().collect())
}

/// What waits, by currency, in the order of their codes. None where it comes to more than can be.
pub(super) fn waiting(rows: &[Row]) -> Option<Vec<Waiting>> {
    let mut waiting = BTreeMap::<&str, Waiting>::new();
    let mut add = |currency, conversions: i64, sale_amount: Decimal, payout: Decimal| {
        let known =
            waiting.entry(currency).or_insert_with(|| Waiting { currency: currency.to_owned(), ..Waiting::default() });
        known.conversions = known.conversions.checked_add(conversions)?;
        known.sale_amount = known.sale_amount.checked_add(sale_amount)?;
        known.payout = known.payout.checked_add(payout)?;
        Some(())
    };
    for Row { of, waiting, conversions, money, .. } in rows.iter().filter(|row| row.of.is_counted()) {
        let KindMoney { sale_amount, payout, .. } = *money;
        match waiting {
            Waits::None => {}
            Waits::Sale => add(of.currency.as_str(), *conversions, sale_amount, Decimal::ZERO)?,
            Waits::Payout => add(of.payout_currency.as_str(), *conversions, Decimal::ZERO, payout)?,
            Waits::Both if of.currency == of.payout_currency => add(&of.currency, *conversions, sale_amount, payout)?,
            Waits::Both => {
                add(&of.currency, *conversions, sale_amount, Decimal::ZERO)?;
                add(&of.payout_currency, *conversions, Decimal::ZERO, payout)?;
            }
        }
    }
    Some(waiting.into_values().collect())
}

impl KindKey {
    fn is_counted(&self) -> bool {
        !self.is_duplicate && self.status != Status::Rejected.name()
    }
}

impl Kind {
    fn plus(self, other: &Kind) -> Option<Kind> {
        Some(Kind {
            of: self.of,
            conversions: self.conversions.checked_add(other.conversions)?,
            first_deposits: self.first_deposits.checked_add(other.first_deposits)?,
            waiting_for_rates: self.waiting_for_rates.checked_add(other.waiting_for_rates)?,
            money: KindMoney {
                sale_amount: self.money.sale_amount.checked_add(other.money.sale_amount)?,
                payout: self.money.payout.checked_add(other.money.payout)?,
                reporting_sale_amount: self
                    .money
                    .reporting_sale_amount
                    .checked_add(other.money.reporting_sale_amount)?,
                reporting_payout: self.money.reporting_payout.checked_add(other.money.reporting_payout)?,
            },
        })
    }
}
