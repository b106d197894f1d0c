//! The store's contract (`bytec_origin::store`), held to by every kind of database.
//!
//! PostgreSQL comes from `TEST_POSTGRES_URL`, which `npm test` sets to a throw-away cluster. Without it the tests fail:
//! a missing database must not look like a passed test.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects,
    reason = "a test stops at once when something is not as it says"
)]

use bytec_origin::store::location::Location;
use bytec_origin::store::{Receipt, Record, Recorded, RecordedClicks, Store, StoreError};
use postback::click::{Click, ClickId, ClickQuery};
use postback::id::Nonce;
use postback::params::Params;
use postback::partner::Partner;
use postback::reading::Dialect;
use postback::time::Timestamp;
use postback::verdict::Verdict::{self, Conflict, Created, Duplicate, Revised};
use postback::zone::Zone;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A fresh database of one kind, removed at the end.
struct Fresh {
    store: Store,
    location: Location,
    _folder: TempDir,
}

async fn fresh(kind: &str) -> Fresh {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let folder = TempDir::new().unwrap();
    let location = match kind {
        "sqlite" => Location::within(&format!("sqlite:{}", folder.path().display()), "conformance").unwrap(),
        _ => {
            let url = std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL is not set: run npm test");
            let name = format!("conformance_{}_{}", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed));
            Location::within(&url, &name).unwrap()
        }
    };
    Fresh { store: Store::open(&location).await.unwrap(), location, _folder: folder }
}

impl Fresh {
    /// The texts of one column.
    async fn column(&self, sql: &'static str) -> Vec<String> {
        match &self.store {
            Store::Postgres(store) => sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap(),
            Store::Sqlite(store) => sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap(),
        }
    }

    async fn one(&self, sql: &'static str) -> String {
        let mut texts = self.column(sql).await;
        assert_eq!(texts.len(), 1, "{sql}: {texts:?}");
        texts.remove(0)
    }

    async fn execute(&self, sql: &'static str) {
        match &self.store {
            Store::Postgres(store) => drop(sqlx::query(sql).execute(store.pool()).await.unwrap()),
            Store::Sqlite(store) => drop(sqlx::query(sql).execute(store.pool()).await.unwrap()),
        }
    }

    /// Records requests at the same moment: one of them creates, and every other has the other verdict.
    async fn created_once_at_once(&self, queries: impl Iterator<Item = String>, other: Verdict) {
        let tasks: Vec<_> = queries
            .map(|query| {
                let store = self.store.clone();
                tokio::spawn(async move { store.record(&record(&query)).await.unwrap() })
            })
            .collect();
        let mut created = 0;
        for task in tasks {
            let recorded = task.await.unwrap();
            if recorded == Recorded::As(Created) {
                created += 1;
            } else {
                assert_eq!(recorded, Recorded::As(other));
            }
        }
        assert_eq!(created, 1);
    }

    /// Rows of every table.
    async fn rows(&self) -> Vec<String> {
        self.column(
            "select cast(count(*) as text) from events union all select cast(count(*) as text) from conversions union all
             select cast(count(*) as text) from revisions union all select cast(count(*) as text) from postbacks union all
             select cast(count(*) as text) from nonces union all select cast(count(*) as text) from clicks",
        )
        .await
    }

    async fn record_clicks(&self, numbers: impl IntoIterator<Item = u16>) -> RecordedClicks {
        let clicks: Vec<_> = numbers.into_iter().map(click).collect();
        self.store.record_clicks(&clicks, &nonce(), at("2025-11-21T08:00:01Z")).await.unwrap()
    }

    async fn record(&self, query: &str) -> Recorded {
        self.store.record(&record(query)).await.unwrap()
    }
}

fn partner() -> Partner {
    let registry = bytec_origin::config::registry().unwrap();
    registry.all().iter().find(|partner| partner.code == "involve_asia").unwrap().clone()
}

fn at(text: &str) -> Timestamp {
    Timestamp::parse(text, &Zone::utc()).unwrap()
}

/// A fresh nonce.
fn nonce() -> Nonce {
    static NONCES: AtomicU32 = AtomicU32::new(0);
    let mut bytes = [0_u8; 16];
    bytes[..4].copy_from_slice(&NONCES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
    Nonce::from_bytes(bytes)
}

/// The click of a number.
fn click(number: u16) -> Click {
    let mut random = [0; 16];
    random[..2].copy_from_slice(&number.to_be_bytes());
    let query = ClickQuery::read("sub_id=it%27s&media_id=m&consent_version=2&utm_source=a%22b&utm_term=%F0%9F%98%80");
    let now = at("2025-11-21T08:00:00.123Z");
    let referrer = Some("https://a.example/p?q");
    Click::read(ClickId::new(now, random), now, "summer", &query, referrer, Some("curl/8"), Some("MY"))
}

/// A record of a request, its nonce fresh.
fn record(query: &str) -> Record {
    let now = at("2025-11-21T08:00:00.123Z");
    Record {
        reading: partner().read(&Params::from_query(query).unwrap(), Dialect::Partner, now).unwrap(),
        receipt: Receipt {
            request_id: "request".to_owned(),
            received_at: now,
            auth_mode: "open".to_owned(),
            key_id: Some("k1".to_owned()),
            client_ip: Some("192.0.2.1".to_owned()),
            method: "GET".to_owned(),
            target: format!("/involve/event?{query}"),
            headers: serde_json::json!({"user-agent": "test"}),
            content_type: None,
            body: None,
            nonce: Some(nonce()),
        },
        now,
    }
}

/// One test function per kind of database for each sentence of the contract.
macro_rules! contract {
    ($($name:ident($fresh:ident) $body:block)*) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("sqlite").await })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("postgres").await })* }
        $(async fn $name(kind: &str) { let $fresh = fresh(kind).await; $body })*
    };
}

const FIRST: &str =
    "event=purchase&conversion_id=c1&rewars=10.50&usd_sale_amount=100.00&click_id=k1&event_time=2025-01-01+12:00:00";

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

    an_amount_and_its_currency_go_together(db) {
        let state = "select coalesce(cast(payout as text), '-') || ' ' || coalesce(cast(sale_amount as text), '-') || ' ' ||
            coalesce(currency, '-') from conversions";
        db.record("conversion_id=c1&payout_local=10&sale_amount_local=100&conversion_currency=EUR").await;
        db.record("conversion_id=c1&conversion_currency=USD").await;
        assert_eq!(db.one(state).await, "10.00 100.00 EUR", "a currency alone says nothing about an amount of before");
        db.record("conversion_id=c1&payout_local=11").await;
        assert_eq!(db.one(state).await, "11.00 100.00 EUR");
        db.record("conversion_id=c1&payout_local=12&conversion_currency=MYR").await;
        assert_eq!(db.one(state).await, "12.00 - MYR", "100 euros are not 100 ringgit");
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

    a_refund_stays_money_that_goes_back(db) {
        let state = "select event || ' ' || status || ' ' || cast(payout as text) || ' ' || cast(usd_payout as text) from conversions";
        db.record("conversion_id=c1&event=refund&payout_local=10&conversion_currency=EUR&rewars=11&status=Pending").await;
        assert_eq!(db.one(state).await, "refund pending -10.00 -11.00");
        db.record("conversion_id=c1&payout_local=10&conversion_currency=EUR&rewars=12&status=Approved").await;
        assert_eq!(db.one(state).await, "refund approved -10.00 -12.00", "a notice that names no event changes no sign");
    }

    a_late_notice_brings_amount_and_currency_where_none_was_known(db) {
        db.record("conversion_id=c1&status=Approved").await;
        db.record("conversion_id=c1&status=Pending&payout_local=10&conversion_currency=EUR&rewars=11").await;
        let state = "select cast(payout as text) || ' ' || currency || ' ' || cast(usd_payout as text) from conversions";
        assert_eq!(db.one(state).await, "10.00 EUR 11.00");
        db.record("conversion_id=c1&status=Pending&payout_local=12&conversion_currency=USD&rewars=13").await;
        assert_eq!(db.one(state).await, "10.00 EUR 11.00");
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
        assert_eq!(db.store.record(&first).await.unwrap(), Recorded::As(Created));
        let other_event = Record { receipt: first.receipt.clone(), ..record("conversion_id=c2") };
        for replay in [&first, &other_event] {
            assert_eq!(db.store.record(replay).await.unwrap(), Recorded::Replayed);
        }
        assert_eq!(db.one("select cast(count(*) as text) from postbacks").await, "1");
        assert_eq!(db.store.forget_nonces(at("2025-11-21T08:00:00.123Z")).await.unwrap(), 0);
        assert_eq!(db.store.forget_nonces(at("2025-11-21T08:00:00.124Z")).await.unwrap(), 1);
    }

    a_request_without_a_nonce_is_recorded_too(db) {
        let direct = record(FIRST);
        let direct = Record { receipt: Receipt { nonce: None, ..direct.receipt.clone() }, ..direct };
        assert_eq!(db.store.record(&direct).await.unwrap(), Recorded::As(Created));
        assert_eq!(db.store.record(&direct).await.unwrap(), Recorded::As(Duplicate));
    }

    repeats_at_the_same_moment_create_one_event(db) {
        db.created_once_at_once((0..16).map(|_| FIRST.to_owned()), Duplicate).await;
        assert_eq!(db.one("select cast(count(*) as text) from events").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from conversions").await, "1");
        assert_eq!(db.one("select cast(count(*) as text) from postbacks").await, "16");
    }

    revisions_at_the_same_moment_are_counted_each(db) {
        db.created_once_at_once((0..16).map(|i| format!("conversion_id=c1&rewars={i}")), Revised).await;
        let revisions: Vec<_> = (1..=16).map(|revision| revision.to_string()).collect();
        assert_eq!(db.column("select cast(revision as text) from revisions order by revisions.revision").await, revisions);
        assert_eq!(db.one("select cast(revision as text) from conversions").await, "16");
    }

    a_failure_half_way_leaves_no_trace(db) {
        db.execute("alter table postbacks rename to elsewhere").await;
        let record = record(FIRST);
        db.store.record(&record).await.unwrap_err();
        for sql in [
            "select cast(count(*) as text) from events",
            "select cast(count(*) as text) from conversions",
            "select cast(count(*) as text) from revisions",
            "select cast(count(*) as text) from nonces",
        ] {
            assert_eq!(db.one(sql).await, "0", "{sql}");
        }
        db.execute("alter table elsewhere rename to postbacks").await;
        assert_eq!(db.store.record(&record).await.unwrap(), Recorded::As(Created), "the same request may come again");
    }

    what_is_stored_is_there_after_the_store_is_opened_again(db) {
        db.record(FIRST).await;
        db.store.close().await;
        let again = Store::open(&db.location).await.unwrap();
        assert_eq!(again.record(&record(FIRST)).await.unwrap(), Recorded::As(Duplicate));
        again.close().await;
    }

    text_in_any_script_and_shape_is_data(db) {
        let query = "conversion_id=c%27%3B+drop+table+events%3B--&offer_name=%E0%B8%AA%E0%B8%A7%E0%B8%B1%E0%B8%AA%F0%9F%98%80+%22%5C%24%251";
        assert_eq!(db.record(query).await, Recorded::As(Created));
        assert_eq!(db.one("select conversion_id from conversions").await, "c'; drop table events;--");
        assert_eq!(db.one("select offer_name from conversions").await, "สวัส😀 \"\\$%1");
    }

    a_rehearsal_comes_to_what_recording_would_and_leaves_no_trace(db) {
        let rehearsed = record(FIRST);
        for _ in 0..3 {
            assert_eq!(db.store.rehearse(&rehearsed).await.unwrap(), Recorded::As(Created));
            assert_eq!(db.rows().await, ["0"; 6]);
        }
        assert_eq!(db.store.record(&rehearsed).await.unwrap(), Recorded::As(Created), "the nonce was not spent");
        let rows = db.rows().await;
        for (query, verdict) in [
            (FIRST, Duplicate),
            ("conversion_id=c1&rewars=12&status=Approved", Revised),
            ("conversion_id=c2", Created),
        ] {
            assert_eq!(db.store.rehearse(&record(query)).await.unwrap(), Recorded::As(verdict), "{query}");
        }
        assert_eq!(db.store.rehearse(&rehearsed).await.unwrap(), Recorded::Replayed);
        assert_eq!(db.rows().await, rows);
        assert_eq!(db.one("select cast(usd_payout as text) from conversions").await, "10.50");
    }

    a_rehearsal_fails_where_recording_would(db) {
        db.execute("alter table postbacks rename to elsewhere").await;
        assert!(matches!(db.store.rehearse(&record(FIRST)).await, Err(StoreError::Bug(_))));
        db.execute("alter table elsewhere rename to postbacks").await;
        assert_eq!(db.rows().await, ["0"; 6]);
    }

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
                    tokio::spawn(async move { store.record_clicks(&clicks, &nonce(), at("2025-11-21T08:00:01Z")).await.unwrap() })
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
        let clicks = [click(1), click(2)];
        let nonce = nonce();
        let now = at("2025-11-21T08:00:01Z");
        assert!(matches!(db.store.record_clicks(&clicks, &nonce, now).await, Err(StoreError::Bug(_))));
        assert_eq!(db.rows().await, ["0"; 6]);
        db.execute("drop index one_of_a_publisher").await;
        let stored = db.store.record_clicks(&clicks, &nonce, now).await.unwrap();
        assert_eq!(stored, RecordedClicks::As { stored: 2, known: 0 }, "the same batch may come again");
    }

    a_recorded_batch_of_clicks_is_a_replay_and_writes_nothing(db) {
        let (nonce, now) = (nonce(), at("2025-11-21T08:00:01Z"));
        db.store.record_clicks(&[click(1)], &nonce, now).await.unwrap();
        for clicks in [vec![click(1)], vec![click(2)]] {
            let again = db.store.record_clicks(&clicks, &nonce, now).await.unwrap();
            assert_eq!(again, RecordedClicks::Replayed);
        }
        let postback = record(FIRST);
        let postback = Record { receipt: Receipt { nonce: Some(nonce), ..postback.receipt.clone() }, ..postback };
        assert_eq!(db.store.record(&postback).await.unwrap(), Recorded::Replayed, "a nonce is spent once for all");
        assert_eq!(db.rows().await, ["0", "0", "0", "0", "1", "1"]);
    }

    a_database_answers_a_ping(db) {
        db.store.ping().await.unwrap();
    }
}

/// A PostgreSQL database of its own, opened once, closed, and changed by `alter database ... set` before it is opened
/// again.
async fn reopened_with(setting: &str) -> Result<Store, String> {
    let db = fresh("postgres").await;
    let Store::Postgres(store) = &db.store else { unreachable!("asked for PostgreSQL") };
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(store.pool()).await.unwrap();
    let sql = format!("alter database {name} set {setting}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(store.pool()).await.unwrap();
    db.store.close().await;
    Store::open(&db.location).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn postgres_that_could_lose_a_commit_is_not_opened() {
    let problem = reopened_with("synchronous_commit = off").await.unwrap_err();
    assert!(problem.contains("synchronous_commit is off"), "{problem}");
}

#[tokio::test]
async fn postgres_that_cannot_be_written_is_not_available() {
    // A migrated database opens read-only all the same: a standby may be promoted while the origin runs.
    match reopened_with("default_transaction_read_only = on").await {
        Ok(store) => {
            assert!(matches!(store.ping().await, Err(StoreError::Unavailable(_))));
            assert!(matches!(store.record(&record(FIRST)).await, Err(StoreError::Unavailable(_))));
        }
        Err(problem) => assert!(problem.starts_with("the database is not available"), "{problem}"),
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
    let now = at("2025-11-21T08:00:01Z");
    let (forward, backward) = ([click(1), click(2)], [click(2), click(1)]);
    let (nonces, store) = ([nonce(), nonce()], &db.store);
    let (one, other) =
        tokio::join!(store.record_clicks(&forward, &nonces[0], now), store.record_clicks(&backward, &nonces[1], now));
    let mut recorded = [one.unwrap(), other.unwrap()];
    recorded.sort_by_key(|recorded| *recorded == RecordedClicks::As { stored: 0, known: 2 });
    assert_eq!(recorded, [RecordedClicks::As { stored: 2, known: 0 }, RecordedClicks::As { stored: 0, known: 2 }]);
}
