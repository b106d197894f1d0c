//! Databases of an earlier version: opened, they are brought up to date with all that is in them.

use crate::{FIRST, Fresh, Place, fresh_place, record};
use bytec_origin::store::location::Location;
use bytec_origin::store::{Recorded, Store};
use postback::duplicate::DuplicatePolicy;
use postback::verdict::Verdict::{Conflict, Created, Duplicate, Revised};
use sqlx::migrate::Migrator;
use sqlx::{ConnectOptions, Connection, Executor};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The first so many numbered migrations of a kind of database.
async fn migrations(kind: &str, count: usize) -> (Migrator, TempDir) {
    let folder = TempDir::new().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(kind);
    let mut files: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    for file in &files[..count] {
        fs::copy(file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    (Migrator::new(folder.path()).await.unwrap(), folder)
}

/// What version 3 wrote of two postbacks about one conversion.
fn written_before(event_id: &str, fingerprint: &str, amount: &str) -> String {
    let (column, value) = amount.split_once('=').unwrap();
    let event = |id: &str, mark: &str| {
        format!(
            "insert into events (event_id, event, conversion_id, fingerprint, content, received_at, words)
                 values ('{id}', 'purchase', 'c1', '{mark}', '{{}}', '2025-06-01T08:00:00.000000Z', '{{}}');"
        )
    };
    let postback = |id: &str, verdict: &str| {
        format!("insert into postbacks (event_id, verdict, request_id, received_at, auth_mode, method, target, headers, content, ignored, warnings)
                 values ('{id}', '{verdict}', 'r', '2025-06-01T08:00:00.000000Z', 'open', 'GET', '/{id}', '{{}}', '{{}}', '[]', '[]');")
    };
    let revision = |id: &str, number: u32| {
        format!("insert into revisions values ('c1', {number}, '{id}', '2025-06-01T08:00:0{number}.000000Z');")
    };
    [
        event("older", "x"),
        event(event_id, fingerprint),
        format!(
            "insert into conversions (conversion_id, revision, event_id, event, {column}, received_at, created_at, updated_at)
             values ('c1', 2, '{event_id}', 'purchase', {value}, '2025-06-01T08:00:01.000000Z', '2025-06-01T08:00:00.000000Z', '2025-06-01T08:00:00.000000Z');"
        ),
        revision("older", 1),
        revision(event_id, 2),
        postback("older", "created"),
        postback(event_id, "revised"),
    ]
    .concat()
}

async fn what_was_there_stays_and_is_known(kind: &str) {
    let place = fresh_place(kind);
    let Place::Native(location, _) = &place else { unreachable!("a native database") };
    let known = record(FIRST).reading.postback;
    let (migrator, _files) = migrations(kind, 3).await;
    match location {
        Location::Postgres(options) => {
            let mut server = options.clone().database("postgres").connect().await.unwrap();
            let name = location.name();
            server.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
            let mut connection = options.connect().await.unwrap();
            migrator.run_direct(None, &mut connection, false).await.unwrap();
            let sql = written_before(known.event_id().as_str(), &known.fingerprint(), "usd_payout=10.50");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        Location::D1 { .. } => unreachable!("a native database"),
        Location::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let mut connection = options.foreign_keys(true).connect().await.unwrap();
            migrator.run_direct(None, &mut connection, false).await.unwrap();
            let sql = written_before(known.event_id().as_str(), &known.fingerprint(), "usd_payout_micros=10500000");
            sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    let db = Fresh { store: place.open(DuplicatePolicy::default()).await.unwrap(), place };
    assert_eq!(db.rows().await, ["2", "1", "2", "2", "0", "0", "1", "0", "1"], "and what was never judged is to be");
    let state = "select conversion_key || ' ' || cast(occurrence as text) || ' ' || cast(revision as text) || ' ' ||
        cast(usd_payout as text) || ' ' || cast(last_received_ms as text) from conversions";
    assert_eq!(db.one(state).await, "c1 1 2 10.50 1748764802000");
    let totals = db.totals().await;
    assert_eq!(totals, ["2025-06-01 08:00 purchase   1 0 0 0 10500000"], "what there was counts");
    assert_eq!(totals, db.recount().await);
    assert_eq!(db.record(FIRST).await, Recorded::As(Duplicate), "an event of before is known");
    assert_eq!(db.record("event_id=older&conversion_id=c1").await, Recorded::As(Conflict));
    assert_eq!(db.record("conversion_id=c1&rewars=12").await, Recorded::As(Revised), "and so is its conversion");
    assert_eq!(db.record("conversion_id=c2").await, Recorded::As(Created));
    assert_eq!(db.totals().await, db.recount().await);
    assert_eq!(
        db.column("select cast(postback_id as text) from postbacks order by postback_id").await,
        ["1", "2", "3", "4", "5", "6"]
    );
}

#[tokio::test]
async fn sqlite_keeps_what_was_there() {
    what_was_there_stays_and_is_known("sqlite").await;
}

#[tokio::test]
async fn postgres_keeps_what_was_there() {
    what_was_there_stays_and_is_known("postgres").await;
}

/// A backup reads all tables until it has ended. A migration that changes one waits for it; postbacks do not wait for both.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_has_to_wait_keeps_no_postback_waiting() {
    let place = fresh_place("postgres");
    let Place::Native(Location::Postgres(options), _) = &place else { unreachable!("asked for PostgreSQL") };
    let (migrator, _files) = migrations("postgres", 12).await;
    let name = options.get_database().unwrap();
    let mut server = options.clone().database("postgres").connect().await.unwrap();
    server.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
    let mut reader = options.connect().await.unwrap();
    migrator.run_direct(None, &mut reader, false).await.unwrap();
    let mut reading = reader.begin().await.unwrap();
    reading.execute("select count(*) from postbacks").await.unwrap();

    let opening = {
        let location = Location::Postgres(options.clone());
        tokio::spawn(async move { Store::open(&location, DuplicatePolicy::default()).await })
    };
    let mut writer = options.connect().await.unwrap();
    writer.execute("set lock_timeout = '500ms'").await.unwrap();
    let began = Instant::now();
    let mut longest = Duration::ZERO;
    while began.elapsed() < Duration::from_secs(4) {
        let wrote = Instant::now();
        writer.execute("begin; lock table postbacks in row exclusive mode; rollback").await.unwrap();
        longest = longest.max(wrote.elapsed());
    }
    assert!(!opening.is_finished(), "it has to wait for who reads");
    assert!(
        longest > Duration::from_millis(50),
        "it was not waited for at all, so that this shows nothing: {longest:?}"
    );
    reading.rollback().await.unwrap();
    let store = opening.await.unwrap().unwrap();
    assert_eq!(store.record(record(FIRST)).await.unwrap(), Recorded::As(Created));
}
