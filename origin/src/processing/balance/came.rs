//! What a sale came to on one side, and its own exchange rate.

use super::super::finding::Finding;
use super::super::judgement::REPORTING_CURRENCY;
use super::super::rates::{Rate, Rates};
use super::Statement;
use super::ratio::{by_rate, ratio};
use chrono::NaiveDate;
use postback::money::Amount;
use rust_decimal::{Decimal, RoundingStrategy};

/// Significant digits of a rate.
const RATE_DIGITS: u32 = 15;
/// Digits behind the point of an amount.
const AMOUNT_SCALE: u32 = 6;

/// In what a side is balanced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Base {
    /// In the sale's currency, where it states one.
    Local(Option<String>),
    /// In US dollars.
    Dollars,
}

/// What came on one side of a sale that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Came {
    /// In what it is balanced.
    pub base: Base,
    /// Micro-units of it; zero or above.
    pub micros: i128,
    /// The same in dollars, or why that cannot be said.
    pub dollars: Result<Dollars, Finding>,
    /// The rate of the sale's day from dollars to its currency, for a sale that came to no dollars.
    inverse: Result<Rate, Finding>,
}

/// What came, in dollars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dollars {
    /// Micro-units; zero or above.
    pub micros: i128,
    /// The sale's own rate; None where its currency is the dollar.
    pub rate: Option<Rate>,
}

impl Came {
    /// What a statement came to. None where it has no amount.
    pub fn of(statement: &Statement, day: NaiveDate, rates: &Rates) -> Option<Came> {
        // A sale brings nothing below zero.
        let came = |amount: Amount| i128::from(amount.micros()).max(0);
        let dollars = statement.dollars.map(came);
        match (statement.amount.map(came), dollars) {
            // Without a local amount there is no rate of its own, so a local zero beside dollars is balanced in these.
            (None | Some(0), Some(micros)) if micros > 0 || statement.amount.is_none() => {
                let dollars = Ok(Dollars { micros, rate: None });
                Some(Came { base: Base::Dollars, micros, dollars, inverse: Err(Finding::RateMissing) })
            }
            (None, _) => None,
            (Some(micros), dollars) => {
                let rate = |from: Option<&str>, to: Option<&str>| {
                    let (from, to) = from.zip(to).ok_or(Finding::CurrencyMissing)?;
                    rates.between(from, to, day).ok_or(Finding::RateMissing)
                };
                let currency = statement.currency.as_deref();
                let shown = |rate: Option<Rate>| rate.filter(|_| currency != Some(REPORTING_CURRENCY));
                let dollars = match dollars.filter(|_| micros > 0) {
                    Some(dollars) => Ok(Dollars { micros: dollars, rate: shown(implied(micros, dollars, day)) }),
                    None => rate(currency, Some(REPORTING_CURRENCY))
                        .and_then(|rate| Ok(Dollars { micros: by_rate(&rate, micros)?, rate: shown(Some(rate)) })),
                };
                let inverse = rate(Some(REPORTING_CURRENCY), currency);
                Some(Came { base: Base::Local(statement.currency.clone()), micros, dollars, inverse })
            }
        }
    }

    /// The dollars of the first so many micro-units of the base, rounded once: differences of two of these add up exactly.
    ///
    /// # Errors
    /// The sale's rate is missing, or the dollars cannot be stored.
    pub fn dollars_of(&self, micros: i128) -> Result<i128, Finding> {
        let dollars = self.dollars.as_ref().map_err(|finding| *finding)?;
        match (&dollars.rate, self.micros) {
            (None, 0) => Ok(micros),
            (Some(rate), 0) => by_rate(rate, micros),
            (_, came) => ratio(dollars.micros, micros, came).ok_or(Finding::AmountOutOfRange),
        }
    }

    /// The base's micro-units of so many dollars, and whether the rate for that is final.
    ///
    /// # Errors
    /// The sale's rate is missing, or the amount cannot be stored.
    pub fn base_of(&self, micros: i128) -> Result<(i128, bool), Finding> {
        match (&self.base, self.dollars.as_ref().map_err(|finding| *finding)?) {
            (Base::Dollars, _) => Ok((micros, true)),
            (Base::Local(_), dollars) if dollars.micros > 0 => {
                let base = ratio(self.micros, micros, dollars.micros).ok_or(Finding::AmountOutOfRange)?;
                Ok((base, self.has_final_rate()))
            }
            (Base::Local(_), _) => {
                let rate = self.inverse.as_ref().map_err(|finding| *finding)?;
                Ok((by_rate(rate, micros)?, rate.is_final))
            }
        }
    }

    /// Whether no import can change the sale's own rate.
    pub fn has_final_rate(&self) -> bool {
        let rate = self.dollars.as_ref().ok().and_then(|dollars| dollars.rate.as_ref());
        rate.is_none_or(|rate| rate.is_final)
    }
}

/// The rate that stated dollars imply. No import changes it. Zero dollars imply none.
fn implied(micros: i128, dollars: i128, day: NaiveDate) -> Option<Rate> {
    if dollars == 0 {
        return None;
    }
    let decimal = |micros: i128| Some(Decimal::new(i64::try_from(micros).ok()?, AMOUNT_SCALE));
    let factor = decimal(dollars)?.checked_div(decimal(micros)?)?;
    let factor = factor.round_sf_with_strategy(RATE_DIGITS, RoundingStrategy::MidpointNearestEven)?;
    Some(Rate { factor, date: day, is_final: true })
}
