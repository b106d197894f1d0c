//! What PostgreSQL alone can get wrong.

use crate::processing::{Processing, lease, now};
use crate::{FIRST, Place, at, fresh, record};
use bytec_origin::store::location::Location;
use bytec_origin::store::rebuild::Growth;
use bytec_origin::store::{Database, Receipt, Record, Recorded, Store, StoreError};
use postback::duplicate::DuplicatePolicy;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A PostgreSQL database of its own, opened once, closed, and changed by `alter database ... set` before it is opened
/// again.
async fn reopened_with(setting: &str) -> Result<Store, String> {
    let db = fresh("postgres").await;
    let Database::Postgres(store) = db.store.database() else { unreachable!("asked for PostgreSQL") };
    let name: String = sqlx::query_scalar("select current_database()").fetch_one(store.pool()).await.unwrap();
    let sql = format!("alter database {name} set {setting}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(store.pool()).await.unwrap();
    db.store.close().await;
    db.place.open(DuplicatePolicy::default()).await.map_err(|error| error.to_string())
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
            assert!(matches!(store.record(record(FIRST)).await, Err(StoreError::Unavailable(_))));
        }
        Err(problem) => assert!(problem.starts_with("the database is not available"), "{problem}"),
    }
}

/// The table of items is empty whenever all are done. The server has often analyzed it then, and keeps a plan that it made then.
#[tokio::test]
async fn taking_items_costs_no_more_where_the_server_thinks_that_there_are_none() {
    let db = fresh("postgres").await;
    let Database::Postgres(store) = db.store.database() else { unreachable!("asked for PostgreSQL") };
    // Of events that do not matter here.
    let ready = "alter table work_items drop constraint work_items_event; analyze work_items;";
    sqlx::raw_sql(ready).execute(store.pool()).await.unwrap();
    // The sixth time a connection asks, its plan becomes the one that it keeps.
    for _ in 0..20 {
        assert_eq!(db.store.take_items(&lease(30)).await.unwrap(), []);
    }
    let filled = "set statement_timeout = 0;
        insert into work_items (event_id, conversion_key, due_at, created_at, updated_at)
            select 'e' || n, 'c' || n, timestamptz '2025-01-01', now(), now() from generate_series(1, 200000) as n;
        reset statement_timeout;";
    sqlx::raw_sql(filled).execute(store.pool()).await.unwrap();
    let began = Instant::now();
    assert_eq!(db.store.take_items(&lease(30)).await.unwrap().len(), 100);
    // All pairs of items and those that are taken take seconds.
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

/// PostgreSQL keeps the plans that it made when the tables were small. One that reads a table from end to end would cost nothing
/// in a test, and everything a day later.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_postback_costs_does_not_grow_with_what_is_stored() {
    let db = fresh("postgres").await;
    for part in 0..20 {
        let records = (0..50).map(|number| {
            // An update of one that was stored before among those that are new.
            let updated = format!("conversion_id=p{}n{number}&rewars=2", part / 2);
            let new = format!("conversion_id=p{part}n{number}&rewars=1");
            db.store.record(record(if number % 5 == 0 && part % 2 == 1 { &updated } else { &new }))
        });
        for recorded in futures_util::future::join_all(records).await {
            recorded.unwrap();
        }
    }
    db.store.close().await;
    // What a connection has counted is known when it has ended.
    let again = db.place.open(DuplicatePolicy::default()).await.unwrap();
    let Database::Postgres(store) = again.database() else { unreachable!("asked for PostgreSQL") };
    let (by_index, whole): (i64, i64) = sqlx::query_as(
        "select (select sum(idx_tup_read)::bigint from pg_stat_user_indexes), sum(seq_tup_read)::bigint
         from pg_stat_user_tables where relname <> '_sqlx_migrations' and relname not like 'postbacks%'",
    )
    .fetch_one(store.pool())
    .await
    .unwrap();
    assert!(by_index > 1_000, "counted: {by_index}");
    assert!(by_index < 1_000 * 40 && whole < 1_000, "1000 postbacks read {by_index} rows by index and {whole} without");
}

/// Two origins' groups may meet the same events in the other order. Nobody waits in a circle, and nobody's neighbours suffer.
#[tokio::test(flavor = "multi_thread")]
async fn events_that_cross_between_groups_make_nobody_wait_in_a_circle() {
    let db = fresh("postgres").await;
    let other = db.place.open(DuplicatePolicy::default()).await.unwrap();
    for round in 0..30 {
        // The first two go alone, so that the others make a group of several waves.
        let stream = |store: &Store, conversion: &str, events: [u8; 6]| {
            let fillers = (0..2).map(|number| format!("conversion_id=r{round}{conversion}{number}&rewars=1"));
            let crossing = events.map(|event| format!("conversion_id=r{round}{conversion}&event_id=r{round}e{event}"));
            let records = fillers.chain(crossing).map(|query| record(&query)).collect::<Vec<_>>();
            let store = store.clone();
            async move { futures_util::future::join_all(records.into_iter().map(|record| store.record(record))).await }
        };
        let (one, two) = futures_util::future::join(
            tokio::spawn(stream(&db.store, "a", [1, 2, 3, 4, 5, 6])),
            tokio::spawn(stream(&other, "b", [6, 5, 4, 3, 2, 1])),
        )
        .await;
        for recorded in one.unwrap().into_iter().chain(two.unwrap()) {
            recorded.unwrap();
        }
    }
}

/// One conversion that cannot be rebuilt holds up neither the others nor their evaluation.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_fails_holds_nobody_up() {
    let db = fresh("postgres").await;
    let sent = |id: &str, time: &str, payout: u8| {
        let record = record(&format!("conversion_id={id}&rewars={payout}"));
        let received_at = at(&format!("2025-11-21T07:{time}Z"));
        Record {
            receipt: Receipt { received_at, request_id: format!("{id}-{payout}"), ..record.receipt.clone() },
            ..record
        }
    };
    for id in ["c1", "c2"] {
        db.store.record(sent(id, "01:00", 2)).await.unwrap();
        db.store.record(sent(id, "00:00", 1)).await.unwrap();
    }
    let Database::Postgres(store) = db.store.database() else { unreachable!("asked for PostgreSQL") };
    let mut held = store.pool().begin().await.unwrap();
    sqlx::query("select * from revisions where conversion_key = 'c1' for update").execute(&mut *held).await.unwrap();
    let processing = Processing::new();
    processing.all(&db.store).await;
    const CONVERSIONS: &str =
        "select conversion_key || ' ' || cast(revision as text) || case when is_processed then ' processed' else '' end
        from conversions order by conversion_key";
    const REBUILDS: &str = "select conversion_key || ' ' || cast(attempts as text) || ' ' || last_error from rebuilds";
    assert_eq!(db.column(CONVERSIONS).await, ["c1 1 processed", "c2 2 processed"]);
    let waiting = db.column(REBUILDS).await;
    assert!(waiting.len() == 1 && waiting[0].starts_with("c1 1 the database is not available"), "{waiting:?}");
    held.rollback().await.unwrap();
    let a_second_later = Timestamp::from_unix_ms(now().unix_ms() + 1_000).unwrap();
    assert_eq!(db.store.due_rebuilds(now()).await.unwrap(), []);
    let due = db.store.due_rebuilds(a_second_later).await.unwrap();
    assert_eq!(due.len(), 1);
    db.store.rebuild(&due[0].conversion_key, Growth::Refused, a_second_later).await.unwrap();
    assert_eq!(db.column(CONVERSIONS).await, ["c1 2", "c2 2 processed"]);
    assert!(db.column(REBUILDS).await.is_empty());
}

/// A way to the server on which the first connection falls silent once it is made; later ones do not.
async fn way_that_falls_silent_once(server: String) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        for number in 0.. {
            let (mut from_client, mut to_client) = listener.accept().await.unwrap().0.into_split();
            let (mut from_server, mut to_server) = TcpStream::connect(&server).await.unwrap().into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let mut bytes = [0; 4096];
                loop {
                    let count = from_server.read(&mut bytes).await.unwrap_or(0);
                    if count == 0 || to_client.write_all(&bytes[..count]).await.is_err() {
                        return;
                    }
                    // ReadyForQuery: the connection is made.
                    if number == 0 && bytes[..count].ends_with(&[b'Z', 0, 0, 0, 5, b'I']) {
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_falls_silent_is_not_waited_for_for_ever() {
    let db = fresh("postgres").await;
    let Place::Native(Location::Postgres(options), _) = &db.place else { unreachable!("asked for PostgreSQL") };
    let port = way_that_falls_silent_once(format!("{}:{}", options.get_host(), options.get_port())).await;
    let silent = Location::Postgres(Box::new((**options).clone().host("127.0.0.1").port(port)));
    let began = Instant::now();
    assert!(matches!(Store::open(&silent, DuplicatePolicy::default()).await, Err(StoreError::Unavailable(_))));
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    let store = Store::open(&silent, DuplicatePolicy::default()).await.unwrap();
    assert_eq!(store.record(record(FIRST)).await.unwrap(), Recorded::As(Verdict::Created));
}
