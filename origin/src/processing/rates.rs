//! Exchange rates, and what an amount comes to by them (R51). Exact decimals; what has to be rounded is rounded to the even digit.

use chrono::{Days, NaiveDate};
use postback::money::Amount;
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeMap;

/// The currency of which rates say how many units of others it is worth.
const BASE: &str = "EUR";
/// How many days old a rate may be: over weekends and holidays there is none. Who waits for one waits as long: then none is published.
const AGE_DAYS_MAX: u64 = 7;
/// Significant digits of a rate between two currencies.
const RATE_DIGITS: u32 = 15;
/// Digits behind the point of an amount.
const AMOUNT_SCALE: u32 = 6;

/// Rates of some days: by day, how many units of each currency one euro was worth.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    days: BTreeMap<NaiveDate, BTreeMap<String, Decimal>>,
    /// The last day of which there is one of each currency, of the days that are looked at.
    last: BTreeMap<String, NaiveDate>,
    /// The last day of which there are any.
    through: Option<NaiveDate>,
}

/// A rate between two currencies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many units of the other currency one unit of the first is worth.
    pub factor: Decimal,
    /// The day it is of.
    pub date: NaiveDate,
    /// Whether no import of later days can bring a better one.
    pub is_final: bool,
}

impl Rates {
    /// The days whose rates can be needed for things that happened on these.
    pub fn days_needed(first: NaiveDate, last: NaiveDate) -> (NaiveDate, NaiveDate) {
        (first.checked_sub_days(Days::new(AGE_DAYS_MAX)).unwrap_or(first), last)
    }

    /// The last day whose rates can make those of a day final: behind that, rates of any currency do.
    pub fn last_day_awaited(day: NaiveDate) -> NaiveDate {
        day.checked_add_days(Days::new(AGE_DAYS_MAX)).unwrap_or(day)
    }

    /// One more rate. What is not above zero is none.
    pub fn add(&mut self, day: NaiveDate, currency: &str, rate: Decimal) {
        if rate > Decimal::ZERO {
            self.days.entry(day).or_default().insert(currency.to_owned(), rate);
            self.has_currency_on(day, currency);
            self.has_through(day);
        }
    }

    /// There is a rate of a currency on a day, whether or not it is among these.
    pub fn has_currency_on(&mut self, day: NaiveDate, currency: &str) {
        let last = self.last.entry(currency.to_owned()).or_insert(day);
        *last = day.max(*last);
    }

    /// There are rates of a day, whether or not they are among these.
    pub fn has_through(&mut self, day: NaiveDate) {
        self.through = self.through.max(Some(day));
    }

    /// The last day that has any, and its rates.
    pub fn last_day(&self) -> Option<(NaiveDate, &BTreeMap<String, Decimal>)> {
        self.days.last_key_value().map(|(day, rates)| (*day, rates))
    }

    /// The rate between two currencies on a day: that of the day, or else of the last day before it that has both, a week before at
    /// most. It is final as soon as there are rates of both of the day or a later one, or any a week later.
    pub fn between(&self, from: &str, to: &str, day: NaiveDate) -> Option<Rate> {
        if from == to {
            return Some(Rate { factor: Decimal::ONE, date: day, is_final: true });
        }
        let oldest = day.checked_sub_days(Days::new(AGE_DAYS_MAX))?;
        let of = |rates: &BTreeMap<String, Decimal>, currency: &str| match currency {
            BASE => Some(Decimal::ONE),
            _ => rates.get(currency).copied(),
        };
        self.days.range(oldest..=day).rev().find_map(|(date, rates)| {
            let factor = of(rates, to)?.checked_div(of(rates, from)?)?;
            let factor = factor.round_sf_with_strategy(RATE_DIGITS, RoundingStrategy::MidpointNearestEven)?;
            Some(Rate { factor, date: *date, is_final: self.is_final(from, to, day) })
        })
    }

    /// A file may have some currencies only: they say nothing of when the others are published.
    fn is_final(&self, from: &str, to: &str, day: NaiveDate) -> bool {
        let is_known = |currency: &str| currency == BASE || self.last.get(currency) >= Some(&day);
        (is_known(from) && is_known(to)) || self.through >= Some(Rates::last_day_awaited(day))
    }
}

impl Rate {
    /// The factor and the day, as they are stored with what was converted.
    pub fn as_stored(&self) -> (String, String) {
        (self.factor.normalize().to_string(), self.date.to_string())
    }

    /// What an amount comes to. None where that is no amount that can be kept.
    pub fn convert(&self, amount: Amount) -> Option<Amount> {
        let exact = Decimal::new(amount.micros(), AMOUNT_SCALE).checked_mul(self.factor)?;
        let rounded = exact.round_dp_with_strategy(AMOUNT_SCALE, RoundingStrategy::MidpointNearestEven);
        let micros = rounded.checked_mul(Decimal::from(1_000_000))?;
        Amount::from_micros(i64::try_from(micros.trunc().mantissa()).ok().filter(|_| micros.trunc().scale() == 0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    fn rates(rows: &[(&str, &str, &str)]) -> Rates {
        let mut rates = Rates::default();
        for (date, currency, rate) in rows {
            rates.add(day(date), currency, rate.parse().unwrap());
        }
        rates
    }

    fn converted(rates: &Rates, amount: &str, from: &str, date: &str) -> Option<(String, String, bool)> {
        let rate = rates.between(from, "USD", day(date))?;
        let amount = rate.convert(Amount::parse(amount).unwrap())?;
        Some((amount.to_string(), rate.date.to_string(), rate.is_final))
    }

    #[test]
    fn an_amount_is_converted_by_the_rate_of_its_day_or_of_the_last_before() {
        let rates = rates(&[
            ("2026-11-20", "USD", "1.1520"),
            ("2026-11-20", "MYR", "4.7790"),
            ("2026-11-23", "USD", "1.1540"),
            ("2026-11-23", "MYR", "4.7810"),
        ]);
        let is = |amount: &str, date: &str, is_final| Some((amount.to_owned(), date.to_owned(), is_final));
        assert_eq!(converted(&rates, "100.00", "EUR", "2026-11-20"), is("115.20", "2026-11-20", true));
        assert_eq!(converted(&rates, "100.00", "MYR", "2026-11-20"), is("24.105461", "2026-11-20", true));
        assert_eq!(converted(&rates, "-100.00", "MYR", "2026-11-20"), is("-24.105461", "2026-11-20", true));
        assert_eq!(converted(&rates, "100", "EUR", "2026-11-22"), is("115.20", "2026-11-20", true), "a Sunday");
        assert_eq!(converted(&rates, "100", "EUR", "2026-11-24"), is("115.40", "2026-11-23", false), "not out yet");
        assert_eq!(converted(&rates, "100", "EUR", "2026-12-01"), None, "too old");
        assert_eq!(converted(&rates, "100", "EUR", "2026-11-19"), None, "too early");
        assert_eq!(converted(&rates, "100", "XAU", "2026-11-20"), None);
        assert_eq!(converted(&rates, "100", "USD", "2020-01-01"), is("100.00", "2020-01-01", true), "needs no rate");
        assert_eq!(converted(&rates, "999999999999", "EUR", "2026-11-20"), None, "no amount that can be kept");
    }

    #[test]
    fn some_currencies_alone_make_no_rate_of_others_final() {
        let mut rates = rates(&[
            ("2026-11-20", "USD", "1.1520"),
            ("2026-11-20", "MYR", "4.7790"),
            ("2026-11-20", "IDR", "18000"),
            // An operator's own file, or one rate that was set.
            ("2026-11-23", "USD", "1.1540"),
            ("2026-11-23", "MYR", "4.7810"),
        ]);
        let is_final = |rates: &Rates, from: &str| rates.between(from, "USD", day("2026-11-23")).unwrap().is_final;
        assert!(is_final(&rates, "EUR") && is_final(&rates, "MYR"));
        assert!(!is_final(&rates, "IDR"), "what is published of it comes later");
        rates.has_currency_on(day("2026-11-24"), "IDR");
        assert!(is_final(&rates, "IDR"), "there was none of the day");
        // A currency that is published no longer keeps nobody waiting for ever.
        let mut ended = Rates { last: BTreeMap::new(), ..rates };
        ended.has_through(day("2026-11-29"));
        assert!(!is_final(&ended, "IDR"));
        ended.has_through(day("2026-11-30"));
        assert!(is_final(&ended, "IDR"));
    }

    proptest! {
        #[test]
        fn what_is_converted_is_within_half_a_micro_unit(
            micros in -999_999_999_999_999_i64..=999_999_999_999_999,
            usd in 1_u32..=10_000_000,
            other in 1_u32..=2_000_000_000,
        ) {
            let [usd, other] = [usd, other].map(|rate| Decimal::new(rate.into(), 4));
            let mut rates = Rates::default();
            rates.add(day("2026-11-20"), "USD", usd);
            rates.add(day("2026-11-20"), "XXX", other);
            let amount = Amount::from_micros(micros).unwrap();
            let rate = rates.between("XXX", "USD", day("2026-11-20")).unwrap();
            if let Some(converted) = rate.convert(amount) {
                let exact = Decimal::new(micros, 6).checked_mul(rate.factor).unwrap();
                let off = Decimal::new(converted.micros(), 6).checked_sub(exact).unwrap().abs();
                prop_assert!(off <= Decimal::new(5, 7), "{amount} by {} is {converted}", rate.factor);
            }
        }
    }
}
