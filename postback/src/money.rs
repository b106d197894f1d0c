//! Amounts and currencies, exact from the sender's text to the database (R9). No float anywhere.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Digits behind the point that are kept.
const SCALE: usize = 6;
/// Digits before the point at most, so that an amount in micro-units fits 64 bits.
const WHOLE_DIGITS_MAX: usize = 12;

/// An exact decimal amount of at most 12 digits before and 6 behind the point, held in micro-units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Amount {
    micros: i64,
}

impl Amount {
    /// The largest amount that [`Amount::parse`] reads.
    pub const MAX: Amount = Amount { micros: 999_999_999_999_999_999 };

    /// The largest magnitude of a sent amount where the partner's file does not say: ten thousand million in the currency
    /// as sent, because a sale of that many rupiah is a real one.
    pub const SENT_MAX: Amount = Amount { micros: 10_000_000_000_000_000 };

    /// Reads `-?\d{1,12}(\.\d{1,6})?` in ASCII digits. Decimal commas, currency signs, exponents and thousands
    /// separators are not read: an amount that could mean two things means nothing.
    pub fn parse(text: &str) -> Option<Amount> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((_, "")) => return None,
            Some(parts) => parts,
            None => (digits, ""),
        };
        if whole.is_empty() || whole.len() > WHOLE_DIGITS_MAX || fraction.len() > SCALE {
            return None;
        }
        let mut micros: i64 = 0;
        let padding = std::iter::repeat_n(b'0', SCALE.checked_sub(fraction.len())?);
        for byte in whole.bytes().chain(fraction.bytes()).chain(padding) {
            let digit = byte.is_ascii_digit().then(|| byte.wrapping_sub(b'0'))?;
            micros = micros.checked_mul(10)?.checked_add(i64::from(digit))?;
        }
        Some(Amount { micros: if negative { micros.checked_neg()? } else { micros } })
    }

    /// An amount from micro-units, as the stores keep it. None outside the range that [`Amount::parse`] reads.
    pub fn from_micros(micros: i64) -> Option<Amount> {
        const MICROS_END: i64 = 1_000_000_000_000_000_000;
        (micros > -MICROS_END && micros < MICROS_END).then_some(Amount { micros })
    }

    /// The amount in millionths of the currency's unit.
    pub fn micros(self) -> i64 {
        self.micros
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.micros < 0
    }

    /// The same amount without its sign.
    #[must_use]
    pub fn magnitude(self) -> Amount {
        Amount { micros: self.micros.saturating_abs() }
    }

    /// The same amount, going back: zero or below.
    #[must_use]
    pub fn taken_back(self) -> Amount {
        Amount { micros: self.micros.saturating_abs().saturating_neg() }
    }
}

/// The one canonical text: at least two digits behind the point and no zeros beyond them, so that equal amounts have
/// equal texts (`100`, `100.0` and `100.00` are `100.00`).
impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let magnitude = self.micros.unsigned_abs();
        let sign = if self.micros < 0 { "-" } else { "" };
        // One unit is a million micros; dividing by a constant other than zero cannot fail.
        let (whole, mut fraction) = (magnitude / 1_000_000, magnitude % 1_000_000);
        let mut digits = SCALE;
        while digits > 2 && fraction.is_multiple_of(10) {
            fraction /= 10;
            digits = digits.saturating_sub(1);
        }
        write!(f, "{sign}{whole}.{fraction:0digits$}")
    }
}

/// In partner files and their built form an amount is its text.
impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Amount::parse(&text).ok_or_else(|| serde::de::Error::custom("not an amount"))
    }
}

/// An ISO 4217 currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency(iso_currency::Currency);

impl Currency {
    /// Reads a three-letter code in either case.
    pub fn parse(text: &str) -> Option<Currency> {
        iso_currency::Currency::from_code(&text.to_ascii_uppercase()).map(Currency)
    }

    /// The three capital letters.
    pub fn code(self) -> &'static str {
        self.0.code()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn equal_amounts_have_one_text() {
        for (text, canonical) in [
            ("10.50", "10.50"),
            ("100", "100.00"),
            ("100.0", "100.00"),
            ("0.000001", "0.000001"),
            ("007.1234", "7.1234"),
            ("-3.10", "-3.10"),
            ("999999999999.999999", "999999999999.999999"),
        ] {
            assert_eq!(Amount::parse(text).map(|a| a.to_string()).as_deref(), Some(canonical), "{text}");
        }
    }

    #[test]
    fn what_is_not_plain_decimal_is_refused() {
        for text in [
            "",
            ".",
            "-",
            "1.",
            ".5",
            "10,50",
            "1,000.00",
            "$10.50",
            "1e3",
            "NaN",
            "inf",
            "+1",
            " 1",
            "1 ",
            "1.2.3",
            "--1",
            "0x10",
            "١٠",
            "1.1234567",
            "1234567890123",
        ] {
            assert_eq!(Amount::parse(text), None, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_amount_survives_its_text(micros in -999_999_999_999_999_999i64..=999_999_999_999_999_999) {
            let amount = Amount::from_micros(micros).unwrap();
            prop_assert_eq!(Amount::parse(&amount.to_string()), Some(amount));
        }
    }

    #[test]
    fn only_real_currencies_are_read() {
        assert_eq!(Currency::parse("usd").map(Currency::code), Some("USD"));
        for text in ["", "US", "USDT", "¤", "ABC", "50"] {
            assert_eq!(Currency::parse(text), None, "{text:?}");
        }
    }
}
