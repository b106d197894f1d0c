//! Conversions: what further events make of them (R47 to R49).

use crate::FIRST;
use bytec_origin::store::Recorded;
use postback::verdict::Verdict::{Created, Duplicate, Revised};

contract! {
    changed_content_revises_the_conversion_and_keeps_its_history(db) {
        db.record(FIRST).await;
        assert_eq!(db.record("conversion_id=c1&rewars=12&status=Approved").await, Recorded::As(Revised));
        let state = "select status || ' ' || cast(usd_payout as text) || ' ' || cast(usd_sale_amount as text) || ' ' ||
            click_id || ' ' || event || ' ' || cast(revision as text) from conversions";
        assert_eq!(db.one(state).await, "approved 12.00 100.00 k1 purchase 2", "what an update leaves out stays");
        assert_eq!(db.column("select cast(revision as text) from revisions order by revisions.revision").await, ["1", "2"]);
        assert_eq!(db.one("select cast(count(*) as text) from events").await, "2");
        // The first event again, late: known, so it changes nothing; that it was superseded is noted.
        assert_eq!(db.record(FIRST).await, Recorded::As(Duplicate));
        let warned = "select cast(count(*) as text) from postbacks where cast(warnings as text) like '%superseded_event%'";
        assert_eq!(db.one(warned).await, "1");
        assert_eq!(db.one(state).await, "approved 12.00 100.00 k1 purchase 2");
    }

    a_notice_that_was_overtaken_is_history_and_changes_nothing(db) {
        db.record("conversion_id=c1&rewars=10&status=Paid").await;
        let state = "select status || ' ' || cast(usd_payout as text) || ' ' || cast(revision as text) from conversions";
        for (late, revision) in [("Pending", 2), ("Approved", 3)] {
            let notice = format!("conversion_id=c1&rewars=12&offer_name=other&status={late}");
            assert_eq!(db.record(&notice).await, Recorded::As(Revised));
            assert_eq!(db.one(state).await, format!("paid 10.00 {revision}"));
        }
        let warned = "select cast(count(*) as text) from postbacks where cast(warnings as text) like '%late_status:status%'";
        assert_eq!(db.one(warned).await, "2");
        assert_eq!(db.one("select cast(count(*) as text) from revisions").await, "3", "the history is whole");
        // A clawback is no late notice.
        assert_eq!(db.record("conversion_id=c1&rewars=0&status=Rejected").await, Recorded::As(Revised));
        assert_eq!(db.one(state).await, "rejected 0.00 4");
        assert_eq!(db.one(warned).await, "2");
    }

    a_late_notice_still_adds_what_was_not_known(db) {
        db.record("conversion_id=c1&rewars=10&status=Approved").await;
        db.record("conversion_id=c1&rewars=12&status=Pending&click_id=k77&event=lead").await;
        let state = "select status || ' ' || cast(usd_payout as text) || ' ' || click_id || ' ' || event from conversions";
        assert_eq!(db.one(state).await, "approved 10.00 k77 conversion");
    }

    sale_and_payout_are_two_statements_each_with_its_currency(db) {
        let state = "select coalesce(cast(payout as text), '-') || ' ' || coalesce(payout_currency, '-') || ' ' ||
            coalesce(cast(sale_amount as text), '-') || ' ' || coalesce(currency, '-') from conversions";
        db.record("conversion_id=c1&payout_local=10&sale_amount_local=100&conversion_currency=EUR").await;
        db.record("conversion_id=c1&conversion_currency=USD").await;
        assert_eq!(db.one(state).await, "10.00 EUR 100.00 EUR", "a currency alone says nothing about an amount of before");
        db.record("conversion_id=c1&payout_local=11").await;
        assert_eq!(db.one(state).await, "11.00 EUR 100.00 EUR", "a missing currency is the one of before");
        db.record("conversion_id=c1&payout_local=12&conversion_currency=MYR").await;
        assert_eq!(db.one(state).await, "12.00 MYR 100.00 EUR", "what is said of the payout says nothing of the sale");
        db.record("conversion_id=c2&payout_local=12&conversion_currency=MYR").await;
        db.record("conversion_id=c2&sale_amount_local=70").await;
        let state = format!("{state} where conversion_id = 'c2'");
        assert_eq!(db.one(state.leak()).await, "12.00 MYR 70.00 MYR", "where it had none, it is the other's");
    }

    a_statement_of_money_is_replaced_as_a_pair(db) {
        let state = "select coalesce(cast(payout as text), '-') || ' ' || coalesce(payout_currency, '-') || ' ' ||
            coalesce(cast(usd_payout as text), '-') || case when is_payout_dropped then ' dropped' else '' end || ' | ' ||
            coalesce(cast(usd_sale_amount as text), '-') from conversions";
        for (query, after) in [
            ("rewars=10&payout_local=42&conversion_currency=MYR&usd_sale_amount=90", "42.00 MYR 10.00 | 90.00"),
            // Word for word, it leaves the other form as it is.
            ("payout_local=42", "42.00 MYR 10.00 | 90.00"),
            ("rewars=10", "42.00 MYR 10.00 | 90.00"),
            // 10 dollars are not 84 ringgit.
            ("payout_local=84", "84.00 MYR - dropped | 90.00"),
            ("rewars=20", "- MYR 20.00 dropped | 90.00"),
            // The currency is that of the amount before, and not that of the sale.
            ("sale_amount_local=100&conversion_currency=EUR", "- MYR 20.00 dropped | -"),
            ("payout_local=88", "88.00 MYR - dropped | -"),
            ("rewars=21&payout_local=88&conversion_currency=MYR", "88.00 MYR 21.00 | -"),
        ] {
            db.record(&format!("conversion_id=c1&{query}")).await;
            assert_eq!(db.one(state).await, after, "{query}");
        }
    }

    a_notice_without_an_event_leaves_the_event_as_it_is(db) {
        let state = "select event from conversions";
        db.record("conversion_id=c1&rewars=10&event=purchase").await;
        db.record("conversion_id=c1&rewars=11").await;
        assert_eq!(db.one(state).await, "purchase");
        db.record("conversion_id=c1&rewars=12&event=fb/campaign:1").await;
        assert_eq!(db.one(state).await, "purchase", "a word that is no event is none");
        db.record("conversion_id=c1&rewars=13&event=conversion").await;
        assert_eq!(db.one(state).await, "conversion", "a plain conversion can be meant");
    }

    money_that_goes_back_is_a_conversion_beside_its_own(db) {
        let state = "select event || ' ' || status || ' ' || cast(revision as text) || ' ' || cast(usd_payout as text)
            from conversions order by event";
        assert_eq!(db.record("conversion_id=c1&event=purchase&rewars=11&status=Pending").await, Recorded::As(Created));
        assert_eq!(db.record("conversion_id=c1&event=refund&rewars=11&status=Pending").await, Recorded::As(Created));
        assert_eq!(db.record("conversion_id=c1&event=refund&rewars=4&status=Approved").await, Recorded::As(Revised));
        assert_eq!(db.record("conversion_id=c1&rewars=12&status=Approved").await, Recorded::As(Revised));
        assert_eq!(db.column(state).await, ["purchase approved 2 12.00", "refund approved 2 -4.00"]);
        for id in ["r1", "r2"] {
            let query = format!("conversion_id=c1&event=refund&event_id={id}&rewars=1&status=Approved");
            assert_eq!(db.record(&query).await, Recorded::As(Created), "a sender that names its refunds means each");
        }
        assert_eq!(db.column(state).await[1..], ["refund approved 2 -4.00", "refund approved 1 -1.00", "refund approved 1 -1.00"]);
    }

    a_late_notice_brings_amount_and_currency_where_none_was_known(db) {
        db.record("conversion_id=c1&status=Approved").await;
        db.record("conversion_id=c1&status=Pending&payout_local=10&conversion_currency=EUR&rewars=11").await;
        let state = "select cast(payout as text) || ' ' || payout_currency || ' ' || cast(usd_payout as text) from conversions";
        assert_eq!(db.one(state).await, "10.00 EUR 11.00");
        db.record("conversion_id=c1&status=Pending&payout_local=12&conversion_currency=USD&rewars=13").await;
        assert_eq!(db.one(state).await, "10.00 EUR 11.00");
    }

    revisions_at_the_same_moment_are_counted_each(db) {
        db.created_once_at_once((0..16).map(|i| format!("conversion_id=c1&rewars={i}")), Revised).await;
        // Those that were stored behind a later one take their place when they are folded.
        db.rebuilt().await;
        let revisions: Vec<_> = (1..=16).map(|revision| revision.to_string()).collect();
        assert_eq!(db.column("select cast(revision as text) from revisions order by revisions.revision").await, revisions);
        assert_eq!(db.one("select cast(revision as text) from conversions").await, "16");
    }
}
