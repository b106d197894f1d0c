//! What a sale comes to: refunds and chargebacks against it, whatever order they come in (docs/processing.md).

use crate::processing::Processing;
use crate::{Fresh, record};
use bytec_origin::store::{Receipt, Record};
use itertools::Itertools;
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

    /// The same in every order of storing, for few requests; and evaluated at the end, or meanwhile as well.
    async fn in_every_order(&self, processing: &Processing, queries: &[&str], expected: &[&str]) {
        let orders: Vec<_> = (0..queries.len()).permutations(queries.len()).collect();
        let every = orders.len().div_ceil(8);
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
}
