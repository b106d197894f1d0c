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
use bytec_origin::store::{Receipt, Record, Recorded, Store, StoreError};
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

/// A record of a request, its nonce fresh.
fn record(query: &str) -> Record {
    static NONCES: AtomicU32 = AtomicU32::new(0);
    let now = at("2025-11-21T08:00:00.123Z");
    let mut nonce = [0_u8; 16];
    nonce[..4].copy_from_slice(&NONCES.fetch_add(1, Ordering::Relaxed).to_be_bytes());
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
            nonce: Some(Nonce::from_bytes(nonce)),
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
