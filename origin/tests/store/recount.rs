//! Recounting: what is stored is what it is made of, and where it is not, that is found and mended.

use crate::order::{history, received};
use crate::processing::{Processing, deposit, now};
use crate::{Fresh, at, fresh_with, nonce, record};
use bytec_origin::app::Platform;
use bytec_origin::recount::mend::{Keys, mend};
use bytec_origin::recount::night::{self, Budget};
use bytec_origin::recount::{Count, Difference, Scope, whole};
use bytec_origin::store::Record;
use bytec_origin::store::recount::{ConversionDifference, Found};
use postback::duplicate::{DuplicateKey, DuplicatePolicy, OnRepeat};
use postback::time::Timestamp;
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::time::Duration;

fn told(difference: &Difference) -> String {
    match difference {
        Difference::Conversion(ConversionDifference { conversion_key, occurrence, revision, found }) => {
            let number = |number: &Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
            let what = match found {
                Found::Missing => "missing".to_owned(),
                Found::Surplus => "surplus".to_owned(),
                Found::Differs { columns } => columns.join(","),
                Found::Evaluated { columns, .. } => {
                    let columns =
                        columns.iter().map(|(name, both)| format!("{name} {} {}", both.stored, both.recounted));
                    columns.collect::<Vec<_>>().join(",")
                }
                Found::Unreadable { .. } => "unreadable".to_owned(),
            };
            format!("{conversion_key} {} {} {what}", number(occurrence), number(revision))
        }
        Difference::Total(day, total) => {
            let columns = total.columns.iter().map(|(name, both)| format!("{name} {} {}", both.stored, both.recounted));
            format!("{} {day} {}", total.table, columns.collect::<Vec<_>>().join(","))
        }
    }
}

impl Fresh {
    fn scope<'a>(&'a self, processing: &'a Processing) -> Scope<'a> {
        let Processing { shared, partner, .. } = processing;
        Scope { shared, partner, store: &self.store, now }
    }

    pub async fn differences(&self, processing: &Processing) -> Vec<String> {
        let mut found = Vec::new();
        whole(self.scope(processing), |_| (), |difference| found.push(told(&difference))).await.unwrap();
        found
    }

    /// Mends, and answers what is left.
    async fn mended(&self, processing: &Processing) -> Vec<String> {
        let mut keys = Keys::default();
        whole(self.scope(processing), |_| (), |difference| keys.add(&difference)).await.unwrap();
        let mut left = Vec::new();
        let count = mend(self.scope(processing), &keys, |_| (), |difference| left.push(told(&difference)));
        let Count { conversions_differ, totals_differ, .. } = count.await.unwrap();
        assert_eq!(usize::try_from(conversions_differ + totals_differ).unwrap(), left.len());
        left
    }

    /// Three conversions, one of them revised, one of them of the day before.
    async fn three(&self, processing: &Processing) {
        self.record("conversion_id=c1&event=purchase&status=Pending&payout_local=10&conversion_currency=EUR&rewars=11")
            .await;
        self.record("conversion_id=c1&status=Approved&payout_local=12").await;
        self.record("conversion_id=c2&event=purchase&rewars=2.5").await;
        self.record("conversion_id=c3&event=purchase&rewars=4&event_time=2025-11-20+12:30:00").await;
        processing.all(&self.store).await;
        assert_eq!(self.differences(processing).await, [""; 0]);
    }
}

/// Random histories, some of them with late receipts and repeats, until there are several of each.
async fn right_histories_differ_in_nothing(kind: &str, count: usize) {
    let of = |key, window_s, repeat| DuplicatePolicy {
        key,
        window_s,
        repeat,
        retry_window_s: 0,
        ..DuplicatePolicy::default()
    };
    for (number, policy) in (0_u8..).zip([
        of(DuplicateKey::ConversionId, None, OnRepeat::Revise),
        of(DuplicateKey::ConversionIdAndEvent, Some(60), OnRepeat::Revise),
        of(DuplicateKey::ClickIdAndEvent, Some(60), OnRepeat::Flag),
        of(DuplicateKey::ConversionId, Some(60), OnRepeat::Ignore),
    ]) {
        let db = fresh_with(kind, policy).await;
        let processing = Processing::new();
        let mut runner =
            TestRunner::new_with_rng(Config::default(), TestRng::from_seed(RngAlgorithm::ChaCha, &[number; 32]));
        for turn in 0..count {
            let history = history().new_tree(&mut runner).unwrap().current();
            db.clear().await;
            let mut dice = StdRng::seed_from_u64(u64::try_from(turn).unwrap());
            // As they come, so that the newest receipt is applied by itself; and in any order, so that some are folded.
            if turn % 2 == 0 {
                let mut in_order: Vec<_> = history.iter().collect();
                in_order.sort_by_key(|sent| (sent.at_ms, sent.request.clone()));
                for sent in in_order {
                    db.store.record(Record { receipt_id: nonce(), ..received(sent) }).await.unwrap();
                }
                assert_eq!(db.differences(&processing).await, [""; 0], "{policy:?}, not rebuilt: {history:#?}");
            }
            db.store_anyhow(&history, &processing, &mut dice).await;
            assert_eq!(db.differences(&processing).await, [""; 0], "{policy:?}: {history:#?}");
            processing.all(&db.store).await;
            assert_eq!(db.differences(&processing).await, [""; 0], "{policy:?}, evaluated: {history:#?}");
        }
        db.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_that_is_right_differs_in_nothing() {
    right_histories_differ_in_nothing("sqlite", 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_that_is_right_differs_in_nothing() {
    right_histories_differ_in_nothing("postgres", 6).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn d1_that_is_right_differs_in_nothing() {
    right_histories_differ_in_nothing("d1", 2).await;
}

fn night_time() -> Timestamp {
    at("2025-11-22T04:30:00Z")
}

fn night() -> Platform {
    Platform { now: night_time, random: Platform::SYSTEM.random }
}

fn next_night() -> Platform {
    Platform { now: || at("2025-11-23T04:30:00Z"), ..night() }
}

fn third_night() -> Platform {
    Platform { now: || at("2025-11-24T04:30:00Z"), ..night() }
}

/// A euro was worth 1.15 dollars.
const RATES: &str = "Date,USD\n2025-11-21,1.15\n2025-11-20,1.15\n";

const ALL: Budget = Budget { steps_max: usize::MAX, pause: Duration::ZERO };
const ONE: Budget = Budget { steps_max: 1, pause: Duration::ZERO };

contract! {
    a_wrong_total_is_found_and_mended(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("update totals set conversions = conversions + 2 where period_start < '2025-11-21T00:00:00.000000Z'
            and slot = (select min(slot) from totals where period_start < '2025-11-21T00:00:00.000000Z')").await;
        db.execute("delete from totals_by_day where period_start >= '2025-11-21T00:00:00.000000Z'").await;
        let found = db.differences(&processing).await;
        assert_eq!(found[0], "totals 2025-11-20 conversions 3 1");
        assert!(found[1..].iter().all(|found| found.starts_with("totals_by_day 2025-11-21 conversions 0 1")), "{found:?}");
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(db.mended(&processing).await, [""; 0]);
        assert_eq!(db.totals().await, db.recount().await);
    }

    a_wrong_conversion_is_found_and_mended_with_its_totals(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        let before = db.totals().await;
        db.execute("update conversions set status = 'rejected', sub_id = 's1', revision = 7 where conversion_key = 'c1'").await;
        let found = db.differences(&processing).await;
        assert_eq!(found[0], "c1 1 - revision,sub_id,status");
        assert!(found[1..].iter().all(|found| found.starts_with("totals")) && found.len() > 1, "{found:?}");
        assert_eq!(db.mended(&processing).await, [""; 0]);
        assert_eq!(db.totals().await, before);
    }

    a_wrong_amount_of_an_evaluation_is_found_and_mended_before_totals(db) {
        let processing = Processing::new();
        processing.import(RATES).await;
        db.three(&processing).await;
        // It waits for rates.
        db.record("conversion_id=c4&event=purchase&payout_local=10&conversion_currency=MYR").await;
        db.record("conversion_id=c5&event=purchase&usd_sale_amount=50&rewars=5").await;
        db.record("conversion_id=c5&event=refund&usd_sale_amount=20").await;
        for query in [deposit("d1", "a1", "20", "2025-11-20+10:00:00"), deposit("d2", "a1", "20", "2025-11-20+11:00:00")] {
            db.record(&query).await;
        }
        processing.all(&db.store).await;
        assert_eq!(db.differences(&processing).await, [""; 0]);
        let before = db.totals().await;
        let by_micros = match db.store.database() {
            bytec_origin::store::Database::Postgres(_) => ["fx_payout = fx_payout + 5", "counted_usd_sale_amount = counted_usd_sale_amount - 5"],
            bytec_origin::store::Database::Sqlite(_) | bytec_origin::store::Database::D1(_) =>
                ["fx_payout_micros = fx_payout_micros + 5000000", "counted_usd_sale_amount_micros = counted_usd_sale_amount_micros - 5000000"],
        };
        for set in by_micros {
            db.execute(&format!("update conversions set {set} where conversion_key = 'c1' or event = 'refund'")).await;
        }
        db.execute("update conversions set deposit = 'repeat' where conversion_key = 'd1'").await;
        db.execute("update conversions set is_processed = false where conversion_key = 'c2'").await;
        let found = db.differences(&processing).await;
        for difference in [
            "c1 1 - fx_payout 18.80 13.80", "c2 1 - is_processed false true", "d1 1 - deposit repeat first",
        ] {
            assert!(found.contains(&difference.to_owned()), "{difference}: {found:?}");
        }
        assert!(found.iter().any(|found| found.contains("counted_usd_sale_amount -25.00 -20.00")), "{found:?}");
        assert_eq!(db.mended(&processing).await, [""; 0]);
        assert_eq!(db.totals().await, before);
    }

    what_waits_to_be_evaluated_is_no_difference(db) {
        let processing = Processing::new();
        // Of the day before: a better one is still to come.
        processing.import("Date,USD\n2025-11-20,1.15\n").await;
        db.three(&processing).await;
        let put_back = |updated_at: &str| format!("update work_items set updated_at = '{updated_at}' where state = 'delayed'");
        let by = match db.store.database() {
            bytec_origin::store::Database::Postgres(_) => "fx_payout = fx_payout + 5",
            bytec_origin::store::Database::Sqlite(_) | bytec_origin::store::Database::D1(_) => "fx_payout_micros = fx_payout_micros + 5000000",
        };
        db.execute(&format!("update conversions set {by} where conversion_key = 'c1'")).await;
        // No rates came since it began to wait for them, so it should be as it was evaluated.
        db.execute(&put_back("2025-11-21T09:00:00.000000Z")).await;
        assert_eq!(db.differences(&processing).await[0], "c1 1 - fx_payout 18.80 13.80");
        assert_eq!(db.mended(&processing).await, [""; 0]);
        // Rates came, and it is about to be put back on their account.
        processing.import("Date,USD\n2025-11-21,1.25\n2025-11-20,1.15\n").await;
        db.execute(&put_back("2025-11-21T08:00:00.000000Z")).await;
        assert_eq!(db.differences(&processing).await, [""; 0]);
        // Another than the one that differs, and has yet to change on account of it.
        db.record("conversion_id=c5&event=purchase&usd_sale_amount=50").await;
        db.record("conversion_id=c5&event=refund").await;
        for query in [deposit("d1", "a1", "20", "2025-11-20+10:00:00"), deposit("d3", "a3", "20", "2025-11-20+10:00:00")] {
            db.record(&query).await;
        }
        processing.all(&db.store).await;
        db.record("conversion_id=c5&event=purchase&usd_sale_amount=40").await;
        db.record(&deposit("d2", "a1", "20", "2025-11-20+09:00:00")).await;
        assert_eq!(db.differences(&processing).await, [""; 0]);
        processing.all(&db.store).await;
        assert_eq!(db.differences(&processing).await, [""; 0]);
        db.assert_totals_are_a_recount().await;
    }

    a_missing_a_surplus_and_a_wrong_revision_are_found_and_mended(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("delete from revisions where conversion_key = 'c1' and revision = 2").await;
        db.execute("update revisions set payout_currency = 'MYR' where conversion_key = 'c1' and revision = 1").await;
        db.execute("insert into revisions (conversion_key, occurrence, revision, event_id, received_at)
            select conversion_key, occurrence, 9, event_id, received_at from revisions where conversion_key = 'c2'").await;
        assert_eq!(db.differences(&processing).await, ["c1 1 1 payout_currency", "c1 1 2 missing", "c2 1 9 surplus"]);
        assert_eq!(db.mended(&processing).await, [""; 0]);
    }

    a_missing_and_a_surplus_conversion_are_found_and_mended(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        let before = db.totals().await;
        db.execute("delete from revisions where conversion_key = 'c2'").await;
        db.execute("delete from conversions where conversion_key = 'c2'").await;
        db.execute("update events set conversion_key = 'c1' where conversion_key = 'c3'").await;
        let found = db.differences(&processing).await;
        for difference in ["c2 1 - missing", "c2 1 1 missing", "c3 1 - surplus", "c3 1 1 surplus", "c1 1 3 missing"] {
            assert!(found.contains(&difference.to_owned()), "{difference}: {found:?}");
        }
        db.execute("update events set conversion_key = 'c3' where conversion_id = 'c3'").await;
        assert_eq!(db.mended(&processing).await, [""; 0]);
        assert_eq!(db.totals().await, before);
        // What no event says at all goes.
        db.execute("update events set conversion_key = 'c1' where conversion_id = 'c3'").await;
        assert_eq!(db.mended(&processing).await, [""; 0]);
        assert_eq!(db.column("select conversion_key from conversions order by 1").await, ["c1", "c2"]);
    }

    what_is_to_be_rebuilt_is_no_difference(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("update conversions set sub_id = 's1' where conversion_key in ('c1', 'c2')").await;
        db.store.request_rebuilds(&["c1".to_owned()], at("2025-11-21T08:00:00Z")).await.unwrap();
        assert_eq!(db.differences(&processing).await, ["c2 1 - sub_id"]);
    }

    a_receipt_that_cannot_be_read_is_a_difference_of_its_key_alone_and_left(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("update events set content = '{\"payout\": \"much\"}' where conversion_key = 'c2'").await;
        db.execute("update conversions set sub_id = 's1' where conversion_key = 'c1'").await;
        assert_eq!(db.differences(&processing).await, ["c1 1 - sub_id", "c2 - - unreadable"]);
        assert_eq!(db.mended(&processing).await, ["c2 - - unreadable"]);
        assert_eq!(db.one("select cast(count(*) as text) from rebuilds").await, "0");
    }

    all_keys_are_gone_through_whatever_page_they_are_on(db) {
        let requests = (0..40).map(|number| record(&format!("conversion_id=c{number}&rewars=1")));
        for recorded in futures_util::future::join_all(requests.map(|record| db.store.record(record))).await {
            recorded.unwrap();
        }
        let page = db.store.conversion_keys("", at("2025-11-21T00:00:00Z")).await.unwrap();
        assert!(page.is_last && page.keys.len() == 40 && page.keys.iter().all(|key| key.is_changed && key.rows == 2));
        let page = db.store.conversion_keys("c38", at("2025-11-22T00:00:00Z")).await.unwrap();
        let keys: Vec<_> = page.keys.iter().map(|key| (key.conversion_key.as_str(), key.is_changed)).collect();
        assert_eq!(keys, [("c39", false), ("c4", false), ("c5", false), ("c6", false), ("c7", false), ("c8", false), ("c9", false)]);
    }

    a_night_finds_what_changed_and_one_origin_does_it(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("update conversions set sub_id = 's1' where conversion_key = 'c1'").await;
        db.execute("update totals_by_day set first_deposits = first_deposits + 1 where period_start < '2025-11-21T00:00:00.000000Z'").await;
        assert_eq!(db.store.last_recount(night_time()).await.unwrap(), None);
        // A step at a time, as a Worker does it: each goes on where the one before stopped.
        let mut calls = 0;
        let found = loop {
            calls += 1;
            assert!(calls < 10, "it is never finished");
            if let Some(found) = night::recount(&night(), db.scope(&processing), ONE).await.unwrap() {
                break found;
            }
        };
        assert!(calls > 1);
        // The days of the conversions, and this night's own.
        assert_eq!((found.keys, found.days_done, found.conversions_differ, found.totals_differ), (3, 3, 1, 1));
        let last = db.store.last_recount(night_time()).await.unwrap().unwrap();
        assert_eq!((last.finished_s, last.progress), (night_time().unix_s(), found));
        assert_eq!(night::recount(&night(), db.scope(&processing), ALL).await.unwrap(), None, "once a night");
    }

    a_night_leaves_alone_what_did_not_change_but_for_its_turn(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        let found = night::recount(&night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert_eq!(found.keys, 3);
        let found = night::recount(&next_night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert!(found.keys <= 1 && found.days_done <= 1, "{found:?}");
    }

    a_night_recounts_the_days_of_what_was_evaluated_since_the_last(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        night::recount(&night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        // A sale of the day before was evaluated again by other rates, and the day's totals do not say so.
        db.execute("update conversions set processed_at = '2025-11-22T20:00:00.000000Z' where conversion_key = 'c3'").await;
        db.execute("update totals_by_hour set sales = sales + 1 where period_start < '2025-11-21T00:00:00.000000Z'").await;
        let found = night::recount(&next_night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert_eq!((found.conversions_differ, found.totals_differ), (0, 1));
    }

    a_night_finds_an_event_without_a_conversion_and_one_that_came_since(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        night::recount(&night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        let page = db.store.conversion_keys("", at("2025-11-22T00:00:00Z")).await.unwrap();
        assert!(page.keys.iter().all(|key| !key.is_changed), "{page:?}");
        db.execute("delete from revisions where conversion_key = 'c2'").await;
        db.execute("delete from conversions where conversion_key = 'c2'").await;
        db.execute("update events set received_at = '2025-11-22T20:00:00.000000Z' where conversion_key = 'c3'").await;
        let page = db.store.conversion_keys("", at("2025-11-22T00:00:00Z")).await.unwrap();
        let keys: Vec<_> = page.keys.iter().map(|key| (key.conversion_key.as_str(), key.is_changed)).collect();
        assert_eq!(keys, [("c1", false), ("c2", true), ("c3", true)]);
        let found = night::recount(&next_night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert!(found.conversions_differ >= 2, "{found:?}");
    }

    what_a_night_found_the_next_ones_find_until_it_is_mended(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("update conversions set sub_id = 's1' where conversion_key = 'c1'").await;
        db.execute("update totals_by_day set first_deposits = first_deposits + 1 where period_start < '2025-11-21T00:00:00.000000Z'").await;
        let differ = |found: bytec_origin::store::recount::Progress| (found.conversions_differ, found.totals_differ);
        let found = night::recount(&night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert_eq!(differ(found), (1, 1));
        // This one stops after a page, and leaves the rest to the next.
        assert_eq!(night::recount(&next_night(), db.scope(&processing), ONE).await.unwrap(), None);
        let found = night::recount(&third_night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert_eq!(differ(found), (1, 1));
        assert_eq!(db.mended(&processing).await, [""; 0]);
        let fourth = Platform { now: || at("2025-11-25T04:30:00Z"), ..night() };
        let found = night::recount(&fourth, db.scope(&processing), ALL).await.unwrap().unwrap();
        assert!(found.keys >= 1 && found.again.is_empty(), "{found:?}");
        assert_eq!(differ(found), (0, 0));
    }

    a_night_finds_what_is_evaluated_wrongly(db) {
        let processing = Processing::new();
        db.three(&processing).await;
        db.execute("update conversions set attribution = 'clicked' where conversion_key = 'c1'").await;
        let found = night::recount(&night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert_eq!((found.conversions_differ, found.totals_differ), (1, 0));
    }

    whose_lease_has_ended_saves_nothing(db) {
        use bytec_origin::store::recount::{Night, Progress, RecountLease};
        let lease = |id: &str, now: &str, until: &str| RecountLease {
            day: night_time().to_chrono().date_naive(), id: id.to_owned(), now: at(now), until: at(until),
        };
        let first = lease("first", "2025-11-22T03:00:00Z", "2025-11-22T03:05:00Z");
        let taken = db.store.lease_recount(&first, Progress { keys: 1, ..Progress::default() }).await.unwrap();
        assert_eq!(taken.map(|progress| progress.keys), Some(1));
        let second = lease("second", "2025-11-22T03:04:59Z", "2025-11-22T03:10:00Z");
        assert_eq!(db.store.lease_recount(&second, Progress::default()).await.unwrap(), None, "the first one has it");
        let progress = Progress { keys: 5, ..Progress::default() };
        assert!(db.store.save_recount(&Night { lease: first.clone(), progress: progress.clone(), finished_at: None }).await.unwrap());
        let second = RecountLease { now: at("2025-11-22T03:05:00Z"), ..second };
        let taken = db.store.lease_recount(&second, Progress::default()).await.unwrap();
        assert_eq!(taken.map(|progress| progress.keys), Some(5), "it goes on from there");
        assert!(!db.store.save_recount(&Night { lease: first, progress, finished_at: Some(night_time()) }).await.unwrap());
    }
}

/// A key refers to its conversion, but a database may be told to look away: the shell of SQLite does unless it is told not to. D1 always looks.
#[tokio::test(flavor = "multi_thread")]
async fn revisions_that_are_left_of_a_key_are_found_and_removed() {
    for kind in ["sqlite", "postgres"] {
        let db = crate::fresh(kind).await;
        let processing = Processing::new();
        db.three(&processing).await;
        let orphan = |key: &str| {
            format!(
                "insert into revisions (conversion_key, occurrence, revision, event_id, received_at)
                 select '{key}', occurrence, revision, event_id, received_at from revisions where conversion_key = 'c2'"
            )
        };
        match kind {
            "sqlite" => {
                let orphans = ["a", "c1x", "z"].map(orphan).join("; ");
                db.execute(&format!("pragma foreign_keys = off; {orphans}; pragma foreign_keys = on")).await;
            }
            _ => {
                db.execute("alter table revisions drop constraint revisions_conversion").await;
                for key in ["a", "c1x", "z"] {
                    db.execute(&orphan(key)).await;
                }
            }
        }
        assert_eq!(db.differences(&processing).await, ["a 1 1 surplus", "c1x 1 1 surplus", "z 1 1 surplus"], "{kind}");
        let found = night::recount(&night(), db.scope(&processing), ALL).await.unwrap().unwrap();
        assert_eq!(found.conversions_differ, 3, "{kind}");
        assert_eq!(db.mended(&processing).await, [""; 0], "{kind}");
        let keys = db.column("select distinct conversion_key from revisions order by 1").await;
        assert_eq!(keys, ["c1", "c2", "c3"], "{kind}");
        db.store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postbacks_arrive_while_it_is_recounted() {
    for kind in ["sqlite", "postgres"] {
        let db = crate::fresh(kind).await;
        let processing = Processing::new();
        let store = db.store.clone();
        let arriving = tokio::spawn(async move {
            for round in 0..30 {
                let requests = (0..20).map(|number| record(&format!("conversion_id=c{number}&rewars={}", round + 1)));
                for recorded in futures_util::future::join_all(requests.map(|record| store.record(record))).await {
                    recorded.unwrap();
                }
            }
        });
        let mut rounds = 0;
        while !arriving.is_finished() {
            let mut found = Vec::new();
            whole(db.scope(&processing), |_| (), |difference| found.push(told(&difference))).await.unwrap();
            assert_eq!(found, [""; 0], "{kind}");
            rounds += 1;
        }
        arriving.await.unwrap();
        assert!(rounds > 2, "{kind}: {rounds}");
    }
}
