//! Exact proportions of micro-units, rounded half to even.

use super::super::finding::Finding;
use super::super::rates::Rate;
use postback::money::Amount;

/// `whole * part / of`, of numbers that are zero or above. None where `of` is zero, or the product passes 128 bits.
pub(super) fn ratio(whole: i128, part: i128, of: i128) -> Option<i128> {
    let product = whole.checked_mul(part)?;
    let (quotient, rest) = (product.checked_div(of)?, product.checked_rem(of)?);
    let is_odd = quotient.checked_rem(2)? == 1;
    let rounds_up = match rest.cmp(&of.checked_sub(rest)?) {
        std::cmp::Ordering::Greater => true,
        std::cmp::Ordering::Equal => is_odd,
        std::cmp::Ordering::Less => false,
    };
    quotient.checked_add(i128::from(rounds_up))
}

/// An amount's magnitude in micro-units.
pub(super) fn magnitude(amount: Amount) -> i128 {
    i128::from(amount.micros()).saturating_abs()
}

/// Micro-units by a rate.
///
/// # Errors
/// `amount_out_of_range`: the amount or what it comes to cannot be stored.
pub(super) fn by_rate(rate: &Rate, micros: i128) -> Result<i128, Finding> {
    let amount = i64::try_from(micros).ok().and_then(Amount::from_micros);
    let converted = amount.and_then(|amount| rate.convert(amount)).ok_or(Finding::AmountOutOfRange)?;
    Ok(i128::from(converted.micros()))
}

/// The amount that goes back, from its magnitude in micro-units.
///
/// # Errors
/// `amount_out_of_range`: it cannot be stored.
pub(super) fn going_back(micros: i128) -> Result<Amount, Finding> {
    let negative = micros.checked_neg().and_then(|micros| i64::try_from(micros).ok());
    negative.and_then(Amount::from_micros).ok_or(Finding::AmountOutOfRange)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_digit() {
        let thirds = |part| ratio(100, part, 3).unwrap();
        assert_eq!([1, 2, 3].map(thirds), [33, 67, 100]);
        assert_eq!([1, 3, 5, 7].map(|part| ratio(1, part, 2).unwrap()), [0, 2, 2, 4]);
        assert_eq!(ratio(1, 1, 0), None);
        assert_eq!(ratio(i128::MAX, 2, 1), None);
    }

    #[test]
    fn what_cannot_be_stored_is_out_of_range() {
        assert_eq!(going_back(999_999_999_999_999_999).map(Amount::micros), Ok(-999_999_999_999_999_999));
        assert_eq!(going_back(1_000_000_000_000_000_000), Err(Finding::AmountOutOfRange));
    }
}
