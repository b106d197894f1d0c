//! Events: once, wholly, exactly, whatever comes at the same moment.

use crate::{FIRST, again, at, record};
use bytec_origin::store::{Receipt, Record, Recorded};
use postback::duplicate::DuplicatePolicy;
use postback::verdict::Verdict::{Conflict, Created, Duplicate};

contract! {
    an_event_is_created_once_and_repeats_are_duplicates(db) {
        assert_eq!(db.record(FIRST).await, Recorded::As(Created));
        assert_eq!(db.record(FIRST).await, Recorded::As(Duplicate));
        assert_eq!(db.record(FIRST).await, Recorded::As(Duplicate));
        assert_eq!(db.one("select cast(count(*) as text) from events").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from conversions").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from revisions").await, "1");
        assert_eq!(db.column("select verdict from postbacks order by postback_id").await, ["created", "duplicate", "duplicate"]);
    }

    money_and_times_are_stored_exactly(db) {
        db.record(FIRST).await;
        assert_eq!(db.one("select cast(usd_payout as text) from conversions").await, "10.50");
        assert_eq!(db.one("select cast(usd_sale_amount as text) from conversions").await, "100.00");
        // 12:00 on the partner's clocks, eight hours east.
        let ts_event = "select replace(substr(cast(ts_event as text), 1, 19), 'T', ' ') from conversions";
        assert_eq!(db.one(ts_event).await, "2025-01-01 04:00:00");
        for (id, text, canonical) in [
            ("m1", "999999999999.999999", "999999999999.999999"),
            ("m2", "0.000001", "0.000001"),
            ("m3", "0", "0.00"),
            ("m4", "1.10", "1.10"),
            ("m5", "12.345", "12.345"),
        ] {
            db.record(&format!("conversion_id={id}&rewars={text}")).await;
            db.record(&format!("conversion_id=-{id}&event=refund&rewars=-{text}")).await;
            let texts = db.column("select cast(usd_payout as text) from conversions order by created_at").await;
            assert!(texts.contains(&canonical.to_owned()), "{text}: {texts:?}");
            assert!(text == "0" || texts.contains(&format!("-{canonical}")), "-{text}: {texts:?}");
        }
    }

    the_senders_own_words_are_kept_with_the_event(db) {
        db.record("conversion_id=c1&status=Yet+to+consumed&event=purchase").await;
        db.record("conversion_id=c2&status=Held+back").await;
        db.record("conversion_id=c3&status=approved&event=purchase").await;
        let words = db.column("select cast(words as text) from events order by conversion_id").await;
        let words: Vec<serde_json::Value> = words.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
        let status = |word: &str| serde_json::json!({"status": word});
        assert_eq!(words, [status("Yet to consumed"), status("Held back"), serde_json::json!({})]);
    }

    one_event_id_with_other_money_is_a_conflict_and_both_are_kept(db) {
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=10").await, Recorded::As(Created));
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=11").await, Recorded::As(Conflict));
        assert_eq!(db.record("event_id=e1&conversion_id=c1&rewars=10.0&geo=MY").await, Recorded::As(Duplicate));
        assert_eq!(db.one("select cast(usd_payout as text) from conversions").await, "10.00");
        let kept = db.column("select cast(content as text) from postbacks order by postback_id").await;
        assert!(kept.len() == 3 && kept[0].contains("10.00") && kept[1].contains("11.00"), "{kept:?}");
    }

    a_spent_nonce_is_a_replay_and_writes_nothing(db) {
        let first = record(FIRST);
        assert_eq!(db.store.record(first.clone()).await.unwrap(), Recorded::As(Created));
        let other_event = Record { receipt: first.receipt.clone(), ..record("conversion_id=c2") };
        for replay in [&first, &other_event] {
            assert_eq!(db.store.record(again(replay)).await.unwrap(), Recorded::Replayed);
        }
        assert_eq!(db.one("select cast(count(*) as text) from postbacks").await, "1");
        assert_eq!(db.store.forget_nonces(at("2025-11-21T08:00:00.123Z")).await.unwrap(), 0);
        assert_eq!(db.store.forget_nonces(at("2025-11-21T08:00:00.124Z")).await.unwrap(), 1);
    }

    a_request_without_a_nonce_is_recorded_too(db) {
        let direct = record(FIRST);
        let direct = Record { receipt: Receipt { nonce: None, ..direct.receipt.clone() }, ..direct };
        assert_eq!(db.store.record(again(&direct)).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.store.record(again(&direct)).await.unwrap(), Recorded::As(Duplicate));
    }

    repeats_at_the_same_moment_create_one_event(db) {
        db.created_once_at_once((0..16).map(|_| FIRST.to_owned()), Duplicate).await;
        assert_eq!(db.one("select cast(count(*) as text) from events").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from conversions").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from postbacks").await, "16");
    }

    a_failure_half_way_leaves_no_trace(db) {
        db.execute("alter table postbacks rename to elsewhere").await;
        let record = record(FIRST);
        db.store.record(again(&record)).await.unwrap_err();
        for sql in [
            "select cast(count(*) as text) from events",
            "select cast(count(*) as text) from conversions",
            "select cast(count(*) as text) from revisions",
            "select cast(count(*) as text) from nonces",
        ] {
            assert_eq!(db.one(sql).await, "0", "{sql}");
        }
        db.execute("alter table elsewhere rename to postbacks").await;
        assert_eq!(db.store.record(again(&record)).await.unwrap(), Recorded::As(Created), "the same request may come again");
    }

    what_is_stored_is_there_after_the_store_is_opened_again(db) {
        db.record(FIRST).await;
        db.store.close().await;
        let again = db.place.open(DuplicatePolicy::default()).await.unwrap();
        assert_eq!(again.record(record(FIRST)).await.unwrap(), Recorded::As(Duplicate));
        again.close().await;
    }

    text_in_any_script_and_shape_is_data(db) {
        let query = "conversion_id=c%27%3B+drop+table+events%3B--&offer_name=%E0%B8%AA%E0%B8%A7%E0%B8%B1%E0%B8%AA%F0%9F%98%80+%22%5C%24%251";
        assert_eq!(db.record(query).await, Recorded::As(Created));
        assert_eq!(db.one("select conversion_id from conversions").await, "c'; drop table events;--");
        assert_eq!(db.one("select offer_name from conversions").await, "สวัส😀 \"\\$%1");
    }

    what_was_written_down_since_an_instant_is_counted(db) {
        for _ in 0..2 {
            db.record(FIRST).await;
        }
        for (since, count) in [("2025-11-21T08:00:00.123Z", 2), ("2025-11-21T08:00:00.124Z", 0), ("2025-11-21T00:00:00Z", 2)] {
            assert_eq!(db.store.count_postbacks(at(since)).await.unwrap(), count, "{since}");
        }
    }

    a_database_answers_a_ping(db) {
        db.store.ping().await.unwrap();
    }
}
