//! Duplicate policies (R48): which postbacks are about one conversion, and what another one does.

use crate::{now, partner};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, RefundRepeat};
use postback::params::Params;
use postback::postback::Postback;
use proptest::prelude::*;

fn postback(query: &str) -> Postback {
    let params = Params::from_query(query).expect("a query");
    partner("involve_asia").read(&params, now()).expect("a postback").postback
}

fn by(key: DuplicateKey) -> DuplicatePolicy {
    DuplicatePolicy { key, ..DuplicatePolicy::default() }
}

#[test]
fn a_key_says_what_is_one_conversion() {
    use DuplicateKey::{ClickIdAndEvent, ConversionId, ConversionIdAndEvent, EventId};
    let first = "conversion_id=c1&click_id=k1&event=deposit&usd_payout=1&event_id=e1";
    // Another query, and by which keys it is about the same conversion.
    for (other, same) in [
        (first, vec![ConversionId, ConversionIdAndEvent, EventId, ClickIdAndEvent]),
        (
            "conversion_id=c1&click_id=k1&event=deposit&usd_payout=2&event_id=e2",
            vec![ConversionId, ConversionIdAndEvent, ClickIdAndEvent],
        ),
        ("conversion_id=c1&click_id=k1&event=refund&usd_payout=1&event_id=e2", vec![]),
        ("conversion_id=c1&click_id=k1&event=refund&usd_payout=1", vec![]),
        ("conversion_id=c2&click_id=k1&event=Deposit&usd_payout=1&event_id=e2", vec![ClickIdAndEvent]),
        ("conversion_id=c2&click_id=k2&event=deposit&usd_payout=1&event_id=e1", vec![EventId]),
        ("conversion_id=c2&event=deposit&event_id=e2", vec![]),
    ] {
        for key in [ConversionId, ConversionIdAndEvent, EventId, ClickIdAndEvent] {
            let is_same = by(key).conversion_key(&postback(first)) == by(key).conversion_key(&postback(other));
            assert_eq!(is_same, same.contains(&key), "{key:?}: {other}");
        }
    }
}

#[test]
fn money_that_goes_back_stands_beside_its_conversion() {
    use DuplicateKey::{ClickIdAndEvent, ConversionId, ConversionIdAndEvent, EventId};
    let refund = "conversion_id=c1&click_id=k1&event=refund&usd_payout=1";
    let again = "conversion_id=c1&click_id=k1&event=refund&usd_payout=2";
    for key in [ConversionId, ConversionIdAndEvent, ClickIdAndEvent] {
        let key_of = |query: &str| by(key).conversion_key(&postback(query));
        assert_eq!(key_of(refund), key_of(again), "{key:?}: news of one refund");
        assert_ne!(key_of(refund), key_of("conversion_id=c1&click_id=k1&event=chargeback&usd_payout=1"), "{key:?}");
        assert_ne!(key_of(refund), key_of("conversion_id=c2&click_id=k2&event=refund&usd_payout=1"), "{key:?}");
        let [named, other] = ["r1", "r2"].map(|id| key_of(&format!("{refund}&event_id={id}")));
        assert_ne!(named, other, "{key:?}: a sender that names its refunds means each");
        assert_eq!(named, "event:r1", "{key:?}: no conversion can be called so");
    }
    assert_eq!(by(EventId).conversion_key(&postback(&format!("{refund}&event_id=r1"))), "r1");
}

#[test]
fn a_further_refund_notice_restates_the_first_or_adds_to_it() {
    use DuplicateKey::{ClickIdAndEvent, ConversionId, ConversionIdAndEvent};
    let [first, other] =
        ["1", "2"].map(|payout| format!("conversion_id=c1&click_id=k1&event=refund&usd_payout={payout}"));
    for key in [ConversionId, ConversionIdAndEvent, ClickIdAndEvent] {
        let restating = DuplicatePolicy { refund_repeat: RefundRepeat::Restate, ..by(key) };
        let adding = DuplicatePolicy { refund_repeat: RefundRepeat::Add, ..by(key) };
        let [of_first, of_other] = [&first, &other].map(|query| adding.conversion_key(&postback(query)));
        assert_ne!(of_first, of_other, "{key:?}: two refunds");
        assert_eq!(of_first, format!("event:{}", postback(&first).event_id()), "{key:?}: each stands for itself");
        assert_eq!(restating.conversion_key(&postback(&first)), restating.conversion_key(&postback(&other)), "{key:?}");
        let sale = postback("conversion_id=c1&click_id=k1&event=purchase&usd_payout=1");
        assert_eq!(adding.conversion_key(&sale), restating.conversion_key(&sale), "{key:?}: sales are as before");
    }
}

#[test]
fn what_lacks_a_part_of_the_key_stands_for_itself() {
    let policy = by(DuplicateKey::ClickIdAndEvent);
    let without_click = postback("conversion_id=c1&event=deposit&event_id=e1");
    assert_eq!(policy.conversion_key(&without_click), "event:e1");
}

proptest! {
    /// Ids of different keys never meet: a conversion id that looks like a click does not take its conversion.
    /// Of these letters no placeholder is made (`nan`, `null`), which would be refused.
    #[test]
    fn keys_do_not_imitate_each_other(a in "[a-e]{1,3}", b in "[a-e]{1,3}", c in "[a-e]{1,3}", d in "[a-e]{1,3}") {
        let key = |conversion: &str, event: &str| {
            by(DuplicateKey::ConversionIdAndEvent).conversion_key(&postback(&format!("conversion_id={conversion}&event={event}")))
        };
        prop_assert_eq!(key(&a, &b) == key(&c, &d), a == c && b == d);
    }
}
