//! What each revision changed of a conversion's money, exactly.

use super::too_large;
use crate::reports::money as shown;
use crate::store::StoreError;
use crate::store::reader::trace::Change;
use crate::store::worklist::Money;
use postback::money::Amount;
use rust_decimal::Decimal;
use serde_json::{Value, json};

/// Decimal places of an amount in micro-units.
const SCALE: u32 = 6;
/// What senders state in dollars is in this currency.
const DOLLARS: &str = "USD";

/// One amount of a conversion: its name, how much, in which currency.
type Named<'s> = (&'static str, Option<Amount>, Option<&'s str>);

/// What a revision changed of each amount, in the currency of the amount; one that moved into another currency leaves the first. Null
/// where it is not known: revisions keep what they state since version 0015 of the tables.
///
/// # Errors
/// A difference is more than any database holds.
pub(super) fn deltas(before: Option<&Change>, change: &Change) -> Result<Value, StoreError> {
    let is_known = change.effective_at.is_some()
        && match before {
            Some(before) => before.effective_at.is_some(),
            // The first revision follows none; of another one, the one before it is not there.
            None => change.revision == 1,
        };
    if !is_known {
        return Ok(Value::Null);
    }
    let none = [("", None, None); 4];
    let before = before.map_or(none, |before| amounts(&before.stated));
    let mut deltas = Vec::new();
    for ((_, old, old_currency), (name, new, new_currency)) in before.into_iter().zip(amounts(&change.stated)) {
        let [old, new] = [old, new].map(|amount| amount.map_or(0, |amount| i128::from(amount.micros())));
        let parts = match old_currency == new_currency || old_currency.is_none() || new_currency.is_none() {
            true => vec![(new.checked_sub(old).ok_or_else(too_large)?, new_currency.or(old_currency))],
            false => vec![(old.checked_neg().ok_or_else(too_large)?, old_currency), (new, new_currency)],
        };
        for (micros, currency) in parts.into_iter().filter(|(micros, _)| *micros != 0) {
            let amount = Decimal::try_from_i128_with_scale(micros, SCALE).map_err(|_| too_large())?;
            deltas.push(json!({"of": name, "amount": shown(amount), "currency": currency}));
        }
    }
    Ok(Value::Array(deltas))
}

/// Each amount with its currency, where there is an amount.
fn amounts(stated: &Money) -> [Named<'_>; 4] {
    fn named<'s>(name: &'static str, amount: Option<Amount>, currency: Option<&'s str>) -> Named<'s> {
        (name, amount, currency.filter(|_| amount.is_some()))
    }
    [
        named("sale_amount", stated.sale_amount, stated.currency.as_deref()),
        named("payout", stated.payout, stated.payout_currency.as_deref()),
        named("usd_sale_amount", stated.usd_sale_amount, Some(DOLLARS)),
        named("usd_payout", stated.usd_payout, Some(DOLLARS)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::reader::trace::Key;
    use postback::time::Timestamp;

    fn change(revision: i64, payout: Option<&str>, currency: Option<&str>) -> Change {
        Change {
            key: Key { conversion_key: "c".to_owned(), occurrence: 1 },
            revision,
            event_id: "e".to_owned(),
            received_at: Timestamp::EPOCH,
            effective_at: Some(Timestamp::EPOCH),
            status: None,
            is_return: false,
            stated: Money {
                sale_amount: None,
                currency: None,
                payout: payout.map(|text| Amount::parse(text).unwrap()),
                payout_currency: currency.map(str::to_owned),
                usd_sale_amount: None,
                usd_payout: None,
            },
        }
    }

    fn payout(amount: &str, currency: Option<&str>) -> Value {
        json!({"of": "payout", "amount": amount, "currency": currency})
    }

    #[test]
    fn a_delta_is_the_exact_difference_to_the_revision_before() {
        let myr = Some("MYR");
        let largest = "999999999999.999999";
        for (before, now, expected) in [
            (None, change(1, Some("10.50"), myr), json!([payout("10.50", myr)])),
            (Some(change(1, Some("0.1"), myr)), change(2, Some("0.3"), myr), json!([payout("0.20", myr)])),
            (Some(change(1, Some("10"), myr)), change(2, Some("10.000001"), myr), json!([payout("0.000001", myr)])),
            (Some(change(1, Some("10"), myr)), change(2, Some("10.00"), myr), json!([])),
            (Some(change(1, Some("10"), myr)), change(2, None, None), json!([payout("-10.00", myr)])),
            (Some(change(1, None, None)), change(2, Some("1"), None), json!([payout("1.00", None)])),
            (
                Some(change(1, Some("10"), myr)),
                change(2, Some("3"), Some("EUR")),
                json!([payout("-10.00", myr), payout("3.00", Some("EUR"))]),
            ),
            (
                Some(change(1, Some(&format!("-{largest}")), myr)),
                change(2, Some(largest), myr),
                json!([payout("1999999999999.999998", myr)]),
            ),
        ] {
            assert_eq!(deltas(before.as_ref(), &now).unwrap(), expected, "{before:?} {now:?}");
        }
    }

    #[test]
    fn a_delta_that_is_not_known_is_null_and_not_zero() {
        let unknown = Change { effective_at: None, ..change(1, None, None) };
        assert_eq!(deltas(None, &unknown).unwrap(), Value::Null);
        assert_eq!(deltas(Some(&unknown), &change(2, Some("1"), None)).unwrap(), Value::Null);
        assert_eq!(deltas(None, &change(2, Some("1"), None)).unwrap(), Value::Null);
    }
}
