//! What a sale comes to: refunds and chargebacks against it, whatever order they come in (docs/processing.md).

use crate::processing::Processing;
use crate::{Fresh, record};
use bytec_origin::store::{Receipt, Record};
use itertools::Itertools;
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::partner::{OnExceeding, OtherAmount, Partner, RefundRules};

/// Conversion id, event, what it counts for in dollars (sale and payout), in its currency, and the findings.
const COUNTED: &str = "select conversion_id || ' ' || event || ' ' ||
    coalesce(cast(counted_usd_sale_amount as text), cast(usd_sale_amount as text), cast(fx_sale_amount as text), '-') || ' ' ||
    coalesce(cast(counted_usd_payout as text), cast(usd_payout as text), cast(fx_payout as text), '-') || ' ' ||
    coalesce(cast(counted_sale_amount as text), cast(sale_amount as text), '-') || ' ' ||
    replace(replace(cast(findings as text), ' ', ''), '\"consent_missing\"', 'c')
    from conversions order by conversion_id, event, received_at, first_request_id";

impl Fresh {
    /// Stores requests, each received a second after the one before, in an order of storing; evaluates after each where that is wanted.
    async fn balanced(
        &self,
        processing: &Processing,
        queries: &[&str],
        order: &[usize],
        evaluate: bool,
    ) -> Vec<String> {
        self.clear().await;
        let base = crate::at("2025-11-21T07:00:00Z").unix_ms();
        let records: Vec<_> = (0..)
            .zip(queries)
            .map(|(second, query)| {
                let record = record(query);
                let received_at = postback::time::Timestamp::from_unix_ms(base + second * 1000).unwrap();
                Record { receipt: Receipt { received_at, ..record.receipt.clone() }, ..record }
            })
            .collect();
        for at in order {
            self.store.record(records[*at].clone()).await.unwrap();
            if evaluate {
                processing.all(&self.store).await;
            }
        }
        processing.all(&self.store).await;
        self.column(COUNTED).await
    }

    /// The same in every order of storing (of five and more requests, in 24 of them); and evaluated at the end, or meanwhile as well.
    async fn in_every_order(&self, processing: &Processing, queries: &[&str], expected: &[&str]) {
        let orders: Vec<_> = (0..queries.len()).permutations(queries.len()).collect();
        let every = orders.len().div_ceil(24);
        for (number, order) in orders.iter().enumerate().filter(|(number, _)| number % every == 0) {
            let found = self.balanced(processing, queries, order, number % 2 == 0).await;
            assert_eq!(found, expected, "{queries:#?} in order {order:?}");
        }
    }
}

fn processing(refunds: RefundRules) -> Processing {
    let processing = Processing::new();
    let partner = Partner { refunds, consent_required: false, ..processing.partner.clone() };
    Processing { partner, ..processing }
}

contract! {
    a_refund_without_amount_takes_what_is_left(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=50&event_id=p1",
            "conversion_id=c1&event=refund&usd_sale_amount=15&event_id=r1",
            "conversion_id=c1&event=refund&event_id=r2",
        ], &[
            "c1 purchase 50.00 - - []",
            "c1 refund -15.00 - - []",
            "c1 refund -35.00 - - [\"amount_of_original\"]",
        ]).await;
    }

    a_rejected_sale_and_its_returns_come_to_nothing(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&rewars=10.50&status=Approved",
            "conversion_id=c1&event=refund&rewars=10.50",
            "conversion_id=c1&event=purchase&status=Rejected",
        ], &[
            "c1 purchase - 10.50 - []",
            "c1 refund 0.00 0.00 0.00 [\"original_rejected\"]",
        ]).await;
        // Approved again: they count again.
        db.record("conversion_id=c1&event=purchase&status=Approved&sub_id=again").await;
        processing.all(&db.store).await;
        assert_eq!(db.column(COUNTED).await[1], "c1 refund - -10.50 - []");
    }

    what_is_gone_is_not_taken_twice(db) {
        let processing = processing(RefundRules::default());
        let queries = [
            "conversion_id=c1&event=purchase&usd_sale_amount=100&status=Approved",
            "conversion_id=c1&event=refund",
            "conversion_id=c1&event=chargeback",
        ];
        db.in_every_order(&processing, &queries, &[
            "c1 chargeback 0.00 - - [\"nothing_left\"]",
            "c1 purchase 100.00 - - []",
            "c1 refund -100.00 - - [\"amount_of_original\"]",
        ]).await;
        db.record("conversion_id=c1&event=purchase&status=Rejected").await;
        processing.all(&db.store).await;
        let found = db.column(COUNTED).await;
        assert!(found.iter().all(|row| row.contains("purchase") || row.contains(" 0.00 ") && row.contains("original_rejected")), "{found:?}");
    }

    more_than_came_is_found_or_trimmed_as_the_partners_file_says(db) {
        let queries = [
            "conversion_id=c1&event=purchase&usd_sale_amount=100",
            "conversion_id=c1&event=refund&usd_sale_amount=250",
        ];
        for (exceeding, counted) in [(OnExceeding::Flag, "-250.00"), (OnExceeding::Cap, "-100.00")] {
            let processing = processing(RefundRules { exceeding, ..RefundRules::default() });
            let refund = format!("c1 refund {counted} - - [\"refund_exceeds_sale\"]");
            db.in_every_order(&processing, &queries, &["c1 purchase 100.00 - - [\"refund_exceeds_sale\"]", &refund]).await;
        }
    }

    what_went_back_went_by_the_rate_of_its_sale(db) {
        let processing = processing(RefundRules::default());
        processing.import("Date,USD,MYR\n2025-11-18,1.1520,4.7790\n2025-11-20,1.1333,4.9\n").await;
        let sale = "conversion_id=c1&event=purchase&sale_amount_local=470&conversion_currency=MYR&event_time=2025-11-18+12:00:00";
        let refund = "conversion_id=c1&event=refund&sale_amount_local=470&conversion_currency=MYR&event_time=2025-11-20+12:00:00";
        db.in_every_order(&processing, &[sale, refund], &[
            "c1 purchase 113.295669 - 470.00 []",
            "c1 refund -113.295669 - -470.00 []",
        ]).await;
    }

    the_other_amount_goes_back_in_proportion_or_not_at_all(db) {
        let queries = [
            "conversion_id=c1&event=purchase&usd_sale_amount=50&rewars=5",
            "conversion_id=c1&event=refund&usd_sale_amount=15",
        ];
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &queries, &[
            "c1 purchase 50.00 5.00 - []", "c1 refund -15.00 -1.50 - [\"in_proportion\"]",
        ]).await;
        let processing = crate::balance::processing(RefundRules { other_amount: OtherAmount::Stated, ..RefundRules::default() });
        let found = db.balanced(&processing, &queries, &[0, 1], true).await;
        assert!(found[1].starts_with("c1 refund -15.00 ") && found[1].ends_with(" - []"), "{found:?}");
        assert!(!found[1].contains("1.50"), "{found:?}");
    }

    a_sale_that_was_reduced_by_what_is_refunded_is_found(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=50",
            "conversion_id=c1&event=purchase&usd_sale_amount=35",
            "conversion_id=c1&event=refund&usd_sale_amount=15",
        ], &[
            "c1 purchase 35.00 - - [\"reduced_and_refunded\"]",
            "c1 refund -15.00 - - [\"reduced_and_refunded\"]",
        ]).await;
    }

    a_refund_names_its_sale_by_the_sales_event_id(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=50&event_id=p1",
            "conversion_id=c1&event=purchase&usd_sale_amount=60&event_id=p2",
            "conversion_id=back&event=refund&original_event_id=p1&event_id=r1",
        ], &[
            "back refund -60.00 - - [\"amount_of_original\"]",
            "c1 purchase 60.00 - - []",
        ]).await;
        assert_eq!(db.one("select refund_of from conversions where event = 'refund'").await, "c1");
    }

    a_return_finds_its_sale_by_any_of_the_sales_events(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=50&event_id=p1",
            "conversion_id=c1&event=purchase&status=Approved&event_id=p2",
            "conversion_id=back&event=refund&original_event_id=p1&event_id=r1",
        ], &[
            "back refund -50.00 - - [\"amount_of_original\"]",
            "c1 purchase 50.00 - - []",
        ]).await;
    }

    a_return_that_names_an_unknown_sale_takes_from_no_other(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=100&event_id=p1",
            "conversion_id=c1&event=refund&event_id=r1&original_event_id=unknown",
        ], &[
            "c1 purchase 100.00 - - []",
            "c1 refund - - - [\"original_missing\"]",
        ]).await;
    }

    a_return_that_names_a_return_names_no_sale(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c0&event=purchase&usd_sale_amount=100&event_id=p0",
            "conversion_id=c0&event=refund&usd_sale_amount=30&event_id=r0",
            "conversion_id=c0&event=chargeback&event_id=r1&original_event_id=r0",
            "conversion_id=c1&event=refund&usd_sale_amount=20&event_id=r2&original_event_id=r0",
        ], &[
            "c0 chargeback - - - [\"original_missing\"]",
            "c0 purchase 100.00 - - []",
            "c0 refund -30.00 - - []",
            "c1 refund -20.00 - - [\"original_missing\"]",
        ]).await;
    }

    a_sale_of_no_dollars_goes_by_the_rate_of_its_day_whatever_else_is_evaluated(db) {
        let processing = processing(RefundRules::default());
        processing.import("Date,USD,MYR\n2025-11-18,1.1520,4.7790\n2025-11-20,1.1333,4.9\n").await;
        // Evaluated alone, so that nothing else has the rate read.
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=0&sale_amount_local=42&conversion_currency=MYR&event_time=2025-11-20+12:00:00",
            "conversion_id=c1&event=refund&usd_sale_amount=5&event_time=2025-11-20+12:00:00",
        ], &[
            "c1 purchase 0.00 - 42.00 [\"refund_exceeds_sale\"]",
            "c1 refund -5.00 - -21.618283 [\"refund_exceeds_sale\"]",
        ]).await;
    }

    a_sale_that_names_another_has_its_own_returns(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=c0&event=purchase&usd_sale_amount=100&event_id=p0",
            "conversion_id=c1&event=purchase&usd_sale_amount=50&event_id=p1&original_event_id=p0",
            "conversion_id=c1&event=refund&event_id=r1",
        ], &[
            "c0 purchase 100.00 - - []",
            "c1 purchase 50.00 - - []",
            "c1 refund -50.00 - - [\"amount_of_original\"]",
        ]).await;
    }

    a_group_that_a_return_leaves_is_balanced_again(db) {
        let processing = processing(RefundRules::default());
        // By a restatement.
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=100&event_id=p1",
            "conversion_id=c2&event=purchase&usd_sale_amount=100&event_id=p2",
            "conversion_id=c1&event=refund",
            "conversion_id=c1&event=chargeback",
            "conversion_id=c1&event=refund&original_event_id=p2",
        ], &[
            "c1 chargeback -100.00 - - [\"amount_of_original\"]",
            "c1 purchase 100.00 - - []",
            "c1 refund -100.00 - - [\"amount_of_original\"]",
            "c2 purchase 100.00 - - []",
        ]).await;
        // Because the sale that it names comes late.
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=100&event_id=p1",
            "conversion_id=c1&event=refund&event_id=r1&usd_sale_amount=100&original_event_id=p2",
            "conversion_id=c1&event=refund&event_id=r2",
            "conversion_id=c2&event=purchase&usd_sale_amount=100&event_id=p2",
        ], &[
            "c1 purchase 100.00 - - []",
            "c1 refund -100.00 - - []",
            "c1 refund -100.00 - - [\"amount_of_original\"]",
            "c2 purchase 100.00 - - []",
        ]).await;
        // Because it is rejected.
        db.in_every_order(&processing, &[
            "conversion_id=c1&event=purchase&usd_sale_amount=100&event_id=p1",
            "conversion_id=c1&event=refund&usd_sale_amount=100",
            "conversion_id=c1&event=chargeback&event_id=r2",
            "conversion_id=c1&event=refund&status=Rejected",
        ], &[
            "c1 chargeback -100.00 - - [\"amount_of_original\"]",
            "c1 purchase 100.00 - - []",
            "c1 refund 0.00 0.00 0.00 []",
        ]).await;
    }

    a_first_deposit_that_is_charged_back_no_longer_is_found_so(db) {
        let processing = processing(RefundRules::default());
        db.in_every_order(&processing, &[
            "conversion_id=k1&event=deposit&usd_sale_amount=100&account_id=u&event_id=d1",
            "conversion_id=k1&event=chargeback&original_event_id=d2&event_id=x1",
            "conversion_id=k2&event=deposit&usd_sale_amount=100&account_id=u&event_id=d2",
        ], &[
            "k1 chargeback -100.00 - - [\"amount_of_original\"]",
            "k1 deposit 100.00 - - []",
            "k2 deposit 100.00 - - []",
        ]).await;
        assert_eq!(db.one("select cast(sum(case when is_charged_back then 1 else 0 end) as text) from conversions where conversion_id = 'k1'").await, "0");
    }

    a_return_goes_by_the_sale_as_it_is_now_also_where_amounts_stay(db) {
        let processing = processing(RefundRules::default());
        const RATE: &str = "select coalesce(cast(fx_rate_date as text), '-') from conversions where event = 'refund'";
        for order in (0..3).permutations(3) {
            db.balanced(&processing, &[
                "conversion_id=c1&event=purchase&sale_amount_local=100&conversion_currency=MYR&usd_sale_amount=25&event_time=2025-11-18+12:00:00",
                "conversion_id=c1&event=refund",
                "conversion_id=c1&event=purchase&event_time=2025-11-20+12:00:00",
            ], &order, true).await;
            assert_eq!(db.one(RATE).await, "2025-11-20", "{order:?}");
        }
    }

    a_reduction_is_held_to_a_return_in_its_currency(db) {
        let processing = processing(RefundRules::default());
        for (first, then, refund, is_found) in [
            ("sale_amount_local=100&conversion_currency=USD", "usd_sale_amount=70", "sale_amount_local=30&conversion_currency=USD", true),
            ("sale_amount_local=100&conversion_currency=MYR", "sale_amount_local=70", "sale_amount_local=30", true),
            ("sale_amount_local=100&conversion_currency=MYR", "sale_amount_local=70&conversion_currency=EUR", "sale_amount_local=30&conversion_currency=EUR", false),
        ] {
            let queries = [("purchase", first), ("purchase", then), ("refund", refund)]
                .map(|(event, money)| format!("conversion_id=c1&event={event}&{money}"));
            let queries = queries.each_ref().map(String::as_str);
            let found = db.balanced(&processing, &queries, &[0, 1, 2], true).await;
            let found = found.iter().filter(|row| row.contains("reduced_and_refunded")).count();
            assert_eq!(found, if is_found { 2 } else { 0 }, "{queries:?}");
        }
    }
}

mod window {
    use super::{DuplicateKey, DuplicatePolicy, OnRepeat, RefundRules, processing};
    use bytec_origin::store::reader::{Filter, Page};
    use itertools::Itertools;

    policies! {
        a_conversion_that_a_late_receipt_gives_another_id_is_nobodys_sale(
            DuplicatePolicy { key: DuplicateKey::ClickIdAndEvent, window_s: Some(60), ..DuplicatePolicy::default() }, db
        ) {
            let processing = processing(RefundRules::default());
            db.in_every_order(&processing, &[
                "conversion_id=c1&click_id=k&event=purchase&rewars=30",
                "conversion_id=c2&click_id=k&event=purchase&rewars=10",
                "conversion_id=c2&click_id=k&event=refund",
            ], &[
                "c1 purchase - 10.00 - [\"unknown_click\"]",
                "c2 refund - - - [\"original_missing\",\"unknown_click\"]",
            ]).await;
        }

        a_return_has_what_its_own_sale_states_of_several_under_a_key(
            DuplicatePolicy { key: DuplicateKey::ClickIdAndEvent, window_s: Some(1), ..DuplicatePolicy::default() }, db
        ) {
            let processing = processing(RefundRules::default());
            db.in_every_order(&processing, &[
                "conversion_id=c1&click_id=k&event=purchase&rewars=30&account_id=a1&offer_id=o1",
                "conversion_id=c1&click_id=l&event=lead",
                "conversion_id=c2&click_id=k&event=purchase&rewars=40&account_id=a2&offer_id=o2",
                "conversion_id=c2&event=refund&rewars=15",
            ], &[
                "c1 lead - - - [\"unknown_click\"]",
                "c1 purchase - 30.00 - [\"unknown_click\"]",
                "c2 purchase - 40.00 - [\"unknown_click\"]",
                "c2 refund - -15.00 - []",
            ]).await;
            let asked = async |account: &str| {
                let filter = Filter { account_id: Some(account.to_owned()), ..Filter::default() };
                let found = db.store.conversions(&Page { filter, after: None, limit: 9 }).await.unwrap();
                let shown = found.iter().map(|one| {
                    let sale = one.judged.refund_of_occurrence.map(|occurrence| occurrence.to_string());
                    [one.event.clone(), one.origin.offer_id.clone().unwrap(), sale.unwrap_or_default()].join(" ")
                });
                shown.sorted().collect_vec()
            };
            assert_eq!(asked("a1").await, ["purchase o1 "]);
            assert_eq!(asked("a2").await, ["purchase o2 ", "refund o2 2"]);
        }

        a_return_finds_its_sale_by_an_event_under_another_conversion_id(
            DuplicatePolicy { key: DuplicateKey::ClickIdAndEvent, repeat: OnRepeat::Revise, ..DuplicatePolicy::default() }, db
        ) {
            let processing = processing(RefundRules::default());
            db.in_every_order(&processing, &[
                "conversion_id=c1&click_id=k&event=purchase&rewars=30&event_id=p1",
                "conversion_id=c2&click_id=k&event=purchase&rewars=40&event_id=p2",
                "conversion_id=c3&click_id=l&event=refund&rewars=15&event_id=r1&original_event_id=p2",
            ], &[
                "c1 purchase - 40.00 - [\"unknown_click\"]",
                "c3 refund - -15.00 - [\"unknown_click\"]",
            ]).await;
        }

        an_ignored_event_names_the_conversion_that_was_known_when_it_came(
            DuplicatePolicy { window_s: Some(1), repeat: OnRepeat::Ignore, ..DuplicatePolicy::default() }, db
        ) {
            let processing = processing(RefundRules::default());
            // The second is ignored, and the fourth begins a conversion of its own.
            db.in_every_order(&processing, &[
                "conversion_id=c1&event=purchase&usd_sale_amount=100&event_id=p1",
                "conversion_id=c1&event=purchase&usd_sale_amount=70&event_id=p2",
                "conversion_id=c2&event=refund&event_id=r1&original_event_id=p2",
                "conversion_id=c1&event=purchase&usd_sale_amount=50&event_id=p3",
            ], &[
                "c1 purchase 100.00 - - []",
                "c1 purchase 50.00 - - []",
                "c2 refund -100.00 - - [\"amount_of_original\"]",
            ]).await;
        }

        a_conversion_that_a_late_receipt_removes_is_nobodys_sale(
            DuplicatePolicy {
                key: DuplicateKey::ClickIdAndEvent, window_s: Some(1), repeat: OnRepeat::Revise, ..DuplicatePolicy::default()
            }, db
        ) {
            let processing = processing(RefundRules::default());
            // Without the one between them they are two occurrences.
            db.in_every_order(&processing, &[
                "conversion_id=c1&click_id=k&event=purchase&rewars=30",
                "conversion_id=c1&click_id=k&event=purchase&rewars=20",
                "conversion_id=c2&click_id=k&event=purchase&rewars=10",
                "conversion_id=c2&click_id=k&event=refund",
            ], &[
                "c1 purchase - 10.00 - [\"unknown_click\"]",
                "c2 refund - - - [\"original_missing\",\"unknown_click\"]",
            ]).await;
        }
    }
}
