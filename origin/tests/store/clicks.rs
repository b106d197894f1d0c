//! Clicks: batches wholly or not at all, each click once (R30).

use crate::{FIRST, batch, click, fresh, nonce, record};
use bytec_origin::store::{Receipt, Record, Recorded, RecordedClicks, StoreError};

contract! {
    a_click_is_stored_once_with_all_that_is_kept_of_it(db) {
        assert_eq!(db.record_clicks([1, 2]).await, RecordedClicks::As { stored: 2, known: 0 });
        assert_eq!(db.record_clicks([1, 2]).await, RecordedClicks::As { stored: 0, known: 2 });
        assert_eq!(db.record_clicks([3, 2, 3]).await, RecordedClicks::As { stored: 1, known: 2 });
        assert_eq!(db.record_clicks([]).await, RecordedClicks::As { stored: 0, known: 0 });
        let kept = db.column(
            "select offer || ' ' || sub_id || ' ' || media_id || ' ' || geo || ' ' || device || ' ' || referrer || ' ' ||
             consent_version || ' ' || replace(substr(cast(clicked_at as text), 1, 23), 'T', ' ') || ' ' ||
             substr(cast(received_at as text), 18, 2) from clicks order by click_id",
        );
        assert_eq!(kept.await, ["summer it's m MY bot https://a.example/p 2 2025-11-21 08:00:00.123 01"; 3]);
        let utm: serde_json::Value = serde_json::from_str(&db.column("select cast(utm as text) from clicks").await[0]).unwrap();
        assert_eq!(utm, serde_json::json!({"utm_source": "a\"b", "utm_term": "😀"}));
        let ids: serde_json::Value = serde_json::from_str(&db.column("select cast(ad_click_ids as text) from clicks").await[0]).unwrap();
        assert_eq!(ids, serde_json::json!({"gclid": "Cj0'", "fbclid": "fb.1"}));
        assert_eq!(db.one("select cast(count(*) as text) from clicks where is_prefetch").await, "3");
    }

    the_largest_batch_is_stored(db) {
        let count = u64::try_from(postback::limits::CLICKS_MAX).unwrap();
        assert_eq!(db.record_clicks(0..u16::try_from(count).unwrap()).await, RecordedClicks::As { stored: count, known: 0 });
    }

    batches_of_the_same_clicks_at_the_same_moment_store_each_click_once(db) {
        let mut new = 0;
        for round in 0..5_u16 {
            let tasks: Vec<_> = (0..8)
                .map(|number| {
                    let store = db.store.clone();
                    // Overlapping, and each second one the other way round: neither may wait for the other.
                    let first = 200 * round + number;
                    let mut clicks: Vec<_> = (first..first + 100).map(click).collect();
                    if number % 2 == 0 {
                        clicks.reverse();
                    }
                    tokio::spawn(async move { store.record_clicks(&batch(clicks, nonce())).await.unwrap() })
                })
                .collect();
            for task in tasks {
                let RecordedClicks::As { stored, known } = task.await.unwrap() else { unreachable!("each nonce is fresh") };
                assert_eq!(stored + known, 100);
                new += stored;
            }
        }
        assert_eq!(new, 5 * 107);
        assert_eq!(db.one("select cast(count(*) as text) from clicks").await, "535");
    }

    a_batch_of_clicks_is_stored_wholly_or_not_at_all(db) {
        // The second click is refused by something else than its key.
        db.execute("create unique index one_of_a_publisher on clicks (sub_id)").await;
        let (clicks, nonce) = (vec![click(1), click(2)], nonce());
        let refused = db.store.record_clicks(&batch(clicks.clone(), nonce.clone())).await;
        assert!(matches!(refused, Err(StoreError::Bug(_))));
        assert_eq!(db.rows().await, ["0"; 9]);
        db.execute("drop index one_of_a_publisher").await;
        let stored = db.store.record_clicks(&batch(clicks, nonce)).await.unwrap();
        assert_eq!(stored, RecordedClicks::As { stored: 2, known: 0 }, "the same batch may come again");
    }

    a_recorded_batch_of_clicks_is_a_replay_and_writes_nothing(db) {
        let nonce = nonce();
        db.store.record_clicks(&batch(vec![click(1)], nonce.clone())).await.unwrap();
        for clicks in [vec![click(1)], vec![click(2)]] {
            let again = db.store.record_clicks(&batch(clicks, nonce.clone())).await.unwrap();
            assert_eq!(again, RecordedClicks::Replayed);
        }
        let postback = record(FIRST);
        let postback = Record { receipt: Receipt { nonce: Some(nonce), ..postback.receipt.clone() }, ..postback };
        assert_eq!(db.store.record(postback).await.unwrap(), Recorded::Replayed, "a nonce is spent once for all");
        assert_eq!(db.rows().await, ["0", "0", "0", "0", "1", "1", "0", "0", "0"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_the_same_clicks_the_other_way_round_do_not_wait_for_each_other() {
    let db = fresh("postgres").await;
    // Each click takes its time, so that both batches hold one when they come to the other.
    db.execute(
        "create function slowly() returns trigger language plpgsql as
         $$ begin perform pg_sleep(0.1); return new; end $$",
    )
    .await;
    db.execute("create trigger slowly before insert on clicks for each row execute function slowly()").await;
    let forward = batch(vec![click(1), click(2)], nonce());
    let backward = batch(vec![click(2), click(1)], nonce());
    let (one, other) = tokio::join!(db.store.record_clicks(&forward), db.store.record_clicks(&backward));
    let mut recorded = [one.unwrap(), other.unwrap()];
    recorded.sort_by_key(|recorded| *recorded == RecordedClicks::As { stored: 0, known: 2 });
    assert_eq!(recorded, [RecordedClicks::As { stored: 2, known: 0 }, RecordedClicks::As { stored: 0, known: 2 }]);
}
