//! A conversion as the fold of its receipts, whatever order they are given in (docs/processing.md).

use crate::{now, partner, utc};
use postback::conversion::{Conversion, Folded, Notice, Receipt, Statement, fold};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::params::Params;
use postback::status::Status;
use proptest::prelude::*;
use std::collections::HashMap;

/// Receipts at seconds past noon: `(second, query)`. Requests are named by their place in the list.
fn receipts(sent: &[(i64, &str)]) -> (Vec<Receipt>, HashMap<String, Notice>) {
    let noon_ms = utc("2025-11-20T12:00:00Z").unix_ms();
    let (mut receipts, mut notices) = (Vec::new(), HashMap::new());
    for (place, (second, query)) in sent.iter().enumerate() {
        let params = Params::from_query(query).expect("a query");
        let reading = partner("involve_asia").read(&params, now()).expect("a postback");
        let postback = &reading.postback;
        let content = postback.fields().map(|(field, text)| (field.name().to_owned(), text)).collect();
        let (id, event) = (postback.conversion_id().into_owned(), postback.event().name().to_owned());
        let notice = Notice::from_stored(id, event, reading.names_event, &content).expect("a notice");
        let event_id = postback.event_id().to_string();
        notices.insert(event_id.clone(), notice);
        let received_at = postback::time::Timestamp::from_unix_ms(noon_ms.saturating_add(second.saturating_mul(1000)))
            .expect("a time");
        receipts.push(Receipt { received_at, request_id: format!("r{place:03}"), event_id });
    }
    (receipts, notices)
}

fn folded(policy: &DuplicatePolicy, sent: &[(i64, &str)]) -> Folded {
    let (receipts, notices) = receipts(sent);
    fold(policy, receipts, &notices)
}

fn only(policy: &DuplicatePolicy, sent: &[(i64, &str)]) -> Conversion {
    let Folded { mut conversions, .. } = folded(policy, sent);
    assert_eq!(conversions.len(), 1, "{sent:?}");
    conversions.remove(0)
}

/// `amount currency dollars`, and whether a form was dropped.
fn told(statement: &Statement) -> String {
    let text = |amount: Option<postback::money::Amount>| amount.map_or("-".to_owned(), |amount| amount.to_string());
    let dropped = if statement.is_dropped { " dropped" } else { "" };
    let currency = statement.currency.as_deref().unwrap_or("-");
    format!("{} {currency} {}{dropped}", text(statement.amount), text(statement.dollars))
}

fn never_retries() -> DuplicatePolicy {
    DuplicatePolicy { retry_window_s: 0, ..DuplicatePolicy::default() }
}

#[test]
fn the_order_of_receipt_decides_and_not_that_of_storing() {
    let policy = DuplicatePolicy::default();
    let [approved, rejected] =
        ["conversion_id=y1&rewars=10&status=Approved", "conversion_id=y1&rewars=10&status=Rejected"];
    for sent in [[(0, approved), (45, rejected)], [(45, rejected), (0, approved)]] {
        assert_eq!(only(&policy, &sent).state.status, Some(Status::Rejected), "{sent:?}");
    }
    // Within one millisecond the request's name decides.
    assert_eq!(only(&policy, &[(7, approved), (7, rejected)]).state.status, Some(Status::Rejected));
    assert_eq!(only(&policy, &[(7, rejected), (7, approved)]).state.status, Some(Status::Approved));
}

#[test]
fn a_statement_is_replaced_as_a_pair_and_one_does_not_erase_the_other() {
    let both = "conversion_id=c1&rewars=10&payout_local=42&conversion_currency=MYR&usd_sale_amount=90";
    for (next, payout, sale) in [
        ("payout_local=84", "84.00 MYR - dropped", "- - 90.00"),
        ("payout_local=84&rewars=20", "84.00 MYR 20.00", "- - 90.00"),
        // The currency stays, for the next amount.
        ("rewars=12", "- MYR 12.00 dropped", "- - 90.00"),
        ("payout_local=5&conversion_currency=EUR", "5.00 EUR - dropped", "- - 90.00"),
        ("sale_amount_local=400", "42.00 MYR 10.00", "400.00 MYR - dropped"),
        ("conversion_currency=EUR", "42.00 MYR 10.00", "- - 90.00"),
        // What is said again word for word leaves the other form as it is.
        ("payout_local=42", "42.00 MYR 10.00", "- - 90.00"),
        ("payout_local=42&conversion_currency=EUR", "42.00 EUR - dropped", "- - 90.00"),
        ("rewars=10.00", "42.00 MYR 10.00", "- - 90.00"),
    ] {
        let next = format!("conversion_id=c1&{next}");
        let conversion = only(&DuplicatePolicy::default(), &[(0, both), (9, &next)]);
        let found = [told(&conversion.state.payout), told(&conversion.state.sale)];
        assert_eq!(found, [payout, sale], "{next}");
        assert_eq!(told(&conversion.revisions[0].payout), "42.00 MYR 10.00", "the history keeps what stood before");
    }
}

#[test]
fn dollars_alone_leave_the_currency_to_the_next_amount() {
    let both = "conversion_id=c1&payout_local=4&conversion_currency=EUR";
    let conversion = only(
        &DuplicatePolicy::default(),
        &[
            (0, "conversion_id=c1&sale_amount_local=470&conversion_currency=MYR"),
            (1, both),
            (2, "conversion_id=c1&usd_sale_amount=98.35"),
            (3, "conversion_id=c1&sale_amount_local=235"),
        ],
    );
    let found = [told(&conversion.state.sale), told(&conversion.state.payout)];
    assert_eq!(found, ["235.00 MYR - dropped", "4.00 EUR -"], "not in the currency of the payout");
}

#[test]
fn a_notice_that_a_later_decision_overtook_changes_no_money() {
    let approved = "conversion_id=c1&payout_local=84&conversion_currency=MYR&status=Approved";
    let pending = "conversion_id=c1&payout_local=42&conversion_currency=MYR&rewars=10&usd_sale_amount=3&status=Pending";
    let conversion = only(&DuplicatePolicy::default(), &[(0, approved), (9, pending)]);
    assert_eq!(told(&conversion.state.payout), "84.00 MYR -");
    assert_eq!(told(&conversion.state.sale), "- - 3.00", "what was not known is added");
    assert_eq!((conversion.state.status, conversion.revisions.len()), (Some(Status::Approved), 2));
}

#[test]
fn a_known_event_after_its_senders_retries_is_a_return() {
    let [ten, twelve] = ["conversion_id=c1&rewars=10", "conversion_id=c1&rewars=12"];
    let returned = only(&never_retries(), &[(0, ten), (10, twelve), (20, ten)]);
    assert_eq!((told(&returned.state.payout), returned.is_returned), ("- - 10.00".to_owned(), true));
    assert_eq!(returned.revisions.iter().map(|revision| revision.is_return).collect::<Vec<_>>(), [false, false, true]);
    // Nothing in between, or the sender may be retrying: a repeat.
    for (policy, sent) in [
        (never_retries(), vec![(0, ten), (10, ten)]),
        (DuplicatePolicy::default(), vec![(0, ten), (10, twelve), (20, ten)]),
        (DuplicatePolicy { retry_window_s: 20, ..DuplicatePolicy::default() }, vec![(0, ten), (10, twelve), (20, ten)]),
    ] {
        assert!(!only(&policy, &sent).is_returned, "{policy:?} {sent:?}");
    }
    // A repeat of the return is none; another event in between makes it one again.
    let more = only(&never_retries(), &[(0, ten), (10, twelve), (20, ten), (30, ten), (40, twelve), (50, ten)]);
    assert_eq!((more.revisions.len(), told(&more.state.payout)), (5, "- - 10.00".to_owned()));
    // One request delivered twice is one receipt.
    let (mut receipts, notices) = receipts(&[(0, ten), (10, twelve)]);
    receipts.push(receipts[0].clone());
    assert!(!fold(&never_retries(), receipts, &notices).conversions[0].is_returned);
}

#[test]
fn a_window_reaches_from_each_receipt_to_the_next() {
    let policy = |repeat| DuplicatePolicy {
        key: DuplicateKey::ClickIdAndEvent,
        window_s: Some(60),
        repeat,
        ..DuplicatePolicy::default()
    };
    let [a, b] = ["conversion_id=c1&click_id=k1&rewars=10", "conversion_id=c2&click_id=k1&rewars=20"];
    let dollars = |folded: Folded| -> Vec<String> {
        folded.conversions.iter().map(|conversion| told(&conversion.state.payout)).collect()
    };
    // The repeat of A keeps the window open, whenever it is stored.
    for sent in [[(0, a), (50, a), (100, b)], [(0, a), (100, b), (50, a)], [(100, b), (50, a), (0, a)]] {
        assert_eq!(dollars(folded(&policy(OnRepeat::Revise), &sent)), ["- - 20.00"], "{sent:?}");
    }
    assert_eq!(dollars(folded(&policy(OnRepeat::Revise), &[(0, a), (60, b)])), ["- - 20.00"]);
    assert_eq!(dollars(folded(&policy(OnRepeat::Revise), &[(0, a), (61, b)])), ["- - 10.00", "- - 20.00"]);
    let marked = folded(&policy(OnRepeat::Flag), &[(0, a), (60, b)]).conversions;
    assert_eq!(marked.iter().map(|conversion| conversion.is_duplicate).collect::<Vec<_>>(), [false, true]);
    assert_eq!(dollars(folded(&policy(OnRepeat::Ignore), &[(60, b), (0, a)])), ["- - 10.00"], "the first stands");
}

proptest! {
    /// Receipts in another order fold to the same.
    #[test]
    fn a_fold_goes_by_the_set_of_receipts(
        sent in prop::collection::vec((0..300_i64, 0..8_usize), 1..12),
        retry_window_s in prop::sample::select(vec![0, 60, 604_800]),
        window_s in prop::sample::select(vec![None, Some(60)]),
        seed in any::<u64>(),
    ) {
        const QUERIES: [&str; 8] = [
            "conversion_id=c1&rewars=10", "conversion_id=c1&rewars=12&status=Approved", "conversion_id=c1&status=Pending&sub_id=a",
            "conversion_id=c1&payout_local=84", "conversion_id=c1&event=purchase&payout_local=42&conversion_currency=MYR&rewars=1",
            "conversion_id=c1&status=Rejected&sub_id=b", "conversion_id=c1&status=Paid", "conversion_id=c1&usd_sale_amount=3",
        ];
        let sent: Vec<_> = sent.into_iter().map(|(second, query)| (second, QUERIES[query])).collect();
        let policy = DuplicatePolicy { retry_window_s, window_s, key: DuplicateKey::ClickIdAndEvent, ..DuplicatePolicy::default() };
        let (all, notices) = receipts(&sent);
        let mut other = all.clone();
        let count = u64::try_from(other.len()).expect("few");
        for place in (1..other.len()).rev() {
            let with = usize::try_from(seed.rotate_left(u32::try_from(place).expect("few")).checked_rem(count).expect("some")).expect("few");
            other.swap(place, with);
        }
        prop_assert_eq!(fold(&policy, all, &notices), fold(&policy, other, &notices));
    }
}
