//! Postbacks that share a transaction: each has an answer of its own, and what is wrong with one costs no other.

use crate::{Fresh, record};
use bytec_origin::store::{Recorded, StoreError};
use postback::verdict::Verdict::{Created, Duplicate};

impl Fresh {
    /// Records all at the same moment; the answers are in their order.
    async fn record_at_once(&self, queries: &[String]) -> Vec<Result<Recorded, StoreError>> {
        let records = queries.iter().map(|query| self.store.record(record(query)));
        futures_util::future::join_all(records).await
    }
}

contract! {
    many_at_once_are_recorded_each_with_its_own_answer(db) {
        // 200 events, every one of them three times, in an order that mixes them.
        let queries: Vec<_> = (0..600).map(|number| format!("conversion_id=c{}&rewars={}", number * 7 % 200, number * 7 % 200)).collect();
        let mut created = std::collections::BTreeMap::new();
        for (query, answer) in queries.iter().zip(db.record_at_once(&queries).await) {
            match answer.unwrap() {
                Recorded::As(Created) => *created.entry(query).or_insert(0) += 1,
                other @ (Recorded::As(_) | Recorded::Replayed) => assert_eq!(other, Recorded::As(Duplicate)),
            }
        }
        assert!(created.len() == 200 && created.values().all(|times| *times == 1), "{created:?}");
        assert_eq!(db.rows().await, ["200", "200", "200", "600", "600", "0", "200", "0", "200"]);
    }

    one_that_the_database_refuses_costs_no_other(db) {
        db.execute("create unique index one_offer_each on conversions (offer_name)").await;
        let mut queries: Vec<_> = (0..50).map(|number| format!("conversion_id=c{number}&offer_name=o{number}")).collect();
        // These two want what another has already.
        assert_eq!(db.record("conversion_id=first&offer_name=taken").await, Recorded::As(Created));
        queries.insert(17, "conversion_id=bad1&offer_name=taken".to_owned());
        queries.insert(34, "conversion_id=bad2&offer_name=taken".to_owned());
        for (query, answer) in queries.iter().zip(db.record_at_once(&queries).await) {
            if query.contains("taken") {
                assert!(matches!(answer, Err(StoreError::Bug(_))), "{answer:?}");
            } else {
                assert_eq!(answer.unwrap(), Recorded::As(Created));
            }
        }
        assert_eq!(db.one("select cast(count(*) as text) from conversions").await, "51");
        assert_eq!(db.one("select cast(count(*) as text) from postbacks where target like '%taken%'").await, "1");
    }

    a_replay_in_a_group_writes_nothing_of_its_own(db) {
        let first = record("conversion_id=c1");
        let same_nonce = bytec_origin::store::Record { receipt: first.receipt.clone(), ..record("conversion_id=c2") };
        let others = (0..20).map(|number| record(&format!("conversion_id=o{number}")));
        let records: Vec<_> = [first, same_nonce].into_iter().chain(others).collect();
        let answers = futures_util::future::join_all(records.into_iter().map(|record| db.store.record(record))).await;
        let replayed = answers.iter().filter(|answer| matches!(answer, Ok(Recorded::Replayed))).count();
        let created = answers.iter().filter(|answer| matches!(answer, Ok(Recorded::As(Created)))).count();
        assert_eq!((replayed, created), (1, 21), "{answers:?}");
        assert_eq!(db.rows().await, ["21", "21", "21", "21", "21", "0", "21", "0", "21"]);
    }

    a_sender_that_stops_waiting_leaves_the_others_their_answers(db) {
        for round in 0..20 {
            let queries: Vec<_> = (0..16).map(|number| format!("conversion_id=r{round}n{number}")).collect();
            let gone = tokio::spawn({
                let store = db.store.clone();
                async move { store.record(record(&format!("conversion_id=r{round}gone"))).await }
            });
            let answers = db.record_at_once(&queries);
            let (answers, ()) = tokio::join!(answers, async { gone.abort() });
            assert!(answers.iter().all(|answer| matches!(answer, Ok(Recorded::As(Created)))), "{answers:?}");
        }
        assert_eq!(db.one("select cast(count(*) as text) from conversions where conversion_id not like '%gone'").await, "320");
    }
}
