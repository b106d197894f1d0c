//! Databases of an earlier version: opened, they are brought up to date with all that is in them.

use crate::{FIRST, Fresh, Place, at, fresh_place, record};
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

/// A database that so many migrations made and that this was written into, opened by what we are now.
async fn upgraded(kind: &str, count: usize, written: &str) -> Fresh {
    let place = fresh_place(kind);
    let Place::Native(location, _) = &place else { unreachable!("a native database") };
    let (migrator, _files) = migrations(kind, count).await;
    match location {
        Location::Postgres(options) => {
            let mut server = options.clone().database("postgres").connect().await.unwrap();
            let name = location.name();
            server.execute(sqlx::AssertSqlSafe(format!("create database {name}"))).await.unwrap();
            let mut connection = options.connect().await.unwrap();
            migrator.run_direct(None, &mut connection, false).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(written.to_owned())).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
        Location::D1 { .. } => unreachable!("a native database"),
        Location::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
            let mut connection = options.foreign_keys(true).connect().await.unwrap();
            migrator.run_direct(None, &mut connection, false).await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(written.to_owned())).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        }
    }
    Fresh { store: place.open(DuplicatePolicy::default()).await.unwrap(), place }
}

async fn what_was_there_stays_and_is_known(kind: &str) {
    let known = record(FIRST).reading.postback;
    let amount = if kind == "postgres" { "usd_payout=10.50" } else { "usd_payout_micros=10500000" };
    let written = written_before(known.event_id().as_str(), &known.fingerprint(), amount);
    let db = upgraded(kind, 3, &written).await;
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

/// A time of the first of June, in the text of either kind.
fn june(second: u8) -> String {
    format!("'2025-06-01T08:00:{second:02}.000000Z'")
}

/// What a version before totals and before receipts had an order wrote of an event, and of the requests that brought it: their verdicts, their ids, and
/// at which second each was received.
fn event_before(query: &str, requests: &[(&str, &str, u8)]) -> String {
    let reading = record(query).reading;
    let postback = &reading.postback;
    let (id, content) = (postback.event_id(), postback.to_json());
    let event = format!(
        "insert into events (event_id, event, conversion_id, fingerprint, content, received_at)
             values ('{id}', '{}', '{}', '{}', '{content}', {});",
        postback.event().name(),
        postback.conversion_id(),
        postback.fingerprint(),
        june(requests[0].2),
    );
    let request = |(verdict, request_id, second): &(&str, &str, u8)| {
        format!(
            "insert into postbacks (event_id, verdict, request_id, received_at, auth_mode, method, target, headers, content, ignored, warnings)
                 values ('{id}', '{verdict}', '{request_id}', {}, 'open', 'GET', '/', '{{}}', '{content}', '[]', '[]');",
            june(*second),
        )
    };
    event + &requests.iter().map(request).collect::<String>()
}

/// What it wrote of a conversion: columns and values of its money, and the queries that made its revisions, each with its second.
fn conversion_before(money: &[(&str, &str)], queries: &[(&str, u8)]) -> String {
    let readings: Vec<_> = queries.iter().map(|(query, second)| (record(query).reading.postback, *second)).collect();
    let (first, first_at) = &readings[0];
    let (last, last_at) = readings.last().unwrap();
    let key = DuplicatePolicy::default().conversion_key(first);
    let (columns, values): (Vec<_>, Vec<_>) = money.iter().copied().unzip();
    let conversion = format!(
        "insert into conversions (conversion_key, occurrence, conversion_id, revision, event_id, event, received_at, created_at, updated_at,
            last_received_s, {}) values ('{key}', 1, '{}', {}, '{}', '{}', {at}, {at}, {}, {}, {});",
        columns.join(", "),
        first.conversion_id(),
        readings.len(),
        last.event_id(),
        first.event().name(),
        june(*last_at),
        1_748_764_800_u64 + u64::from(*last_at),
        values.join(", "),
        at = june(*first_at),
    );
    let revision = |(number, (postback, second)): (usize, &(postback::postback::Postback, u8))| {
        format!(
            "insert into revisions (conversion_key, occurrence, revision, event_id, received_at)
                 values ('{key}', 1, {number}, '{}', {});",
            postback.event_id(),
            june(*second),
        )
    };
    conversion + &(1..).zip(&readings).map(revision).collect::<String>()
}

async fn what_the_order_of_receipts_needs_is_taken_from_what_was_there(kind: &str) {
    const SALE: &str =
        "event=purchase&conversion_id=c1&payout_local=40&conversion_currency=MYR&rewars=10&status=Pending";
    const REVISED: &str = "conversion_id=c1&payout_local=42&conversion_currency=MYR&rewars=12&status=Approved";
    const REFUND: &str = "event=refund&conversion_id=c1&rewars=4";
    const BOTH: &str = "event=deposit&conversion_id=c2&sale_amount_local=70&payout_local=7&conversion_currency=EUR";
    let (count, micros) = if kind == "postgres" { (6, "") } else { (7, "_micros") };
    let amount = |units: i64| if kind == "postgres" { format!("{units}.00") } else { (units * 1_000_000).to_string() };
    let money = |amounts: &[(&str, i64)], more: &[(&str, &str)]| -> Vec<(String, String)> {
        let amounts = amounts.iter().map(|(name, units)| (format!("{name}{micros}"), amount(*units)));
        amounts.chain(more.iter().map(|(name, value)| ((*name).to_owned(), format!("'{value}'")))).collect()
    };
    let conversion = |money: Vec<(String, String)>, queries: &[(&str, u8)]| {
        let money: Vec<_> = money.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        conversion_before(&money, queries)
    };
    let written = [
        // One request that came twice is one receipt, and a contradiction is none.
        event_before(
            SALE,
            &[
                ("created", "r1", 1),
                ("duplicate", "r3", 3),
                ("duplicate", "r3", 6),
                ("duplicate", "r1", 7),
                ("conflict", "r8", 8),
            ],
        ),
        event_before(REVISED, &[("revised", "r2", 2)]),
        event_before(REFUND, &[("created", "r4", 4)]),
        event_before(BOTH, &[("created", "r5", 5)]),
        conversion(
            money(&[("payout", 42), ("usd_payout", 12)], &[("currency", "MYR"), ("status", "approved")]),
            &[(SALE, 1), (REVISED, 2)],
        ),
        conversion(money(&[("usd_payout", -4)], &[]), &[(REFUND, 4)]),
        conversion(money(&[("sale_amount", 70), ("payout", 7)], &[("currency", "EUR")]), &[(BOTH, 5)]),
    ];
    let db = upgraded(kind, count, &written.concat()).await;
    let key = DuplicatePolicy::default().conversion_key(&record(REFUND).reading.postback);
    let events =
        "select event || ' ' || conversion_key || ' ' || request_id || case when names_event then ' named' else '' end
        from events order by request_id";
    assert_eq!(
        db.column(events).await,
        [
            "purchase c1 r1 named".to_owned(),
            "conversion c1 r2".to_owned(),
            format!("refund {key} r4 named"),
            "deposit c2 r5 named".to_owned()
        ]
    );
    let repeats =
        "select events.event || ' ' || repeats.request_id || ' ' || substr(cast(repeats.received_at as text), 18, 2)
        from repeats join events on events.event_id = repeats.event_id";
    assert_eq!(db.column(repeats).await, ["purchase r3 03"]);
    let currencies = "select event || ' ' || coalesce(currency, '-') || ' ' || coalesce(payout_currency, '-') || ' ' ||
        cast(last_received_ms as text) from conversions order by last_received_ms";
    let times = [2, 4, 5].map(|second| (1_748_764_800_i64 + second) * 1000);
    let expected = [
        format!("purchase - MYR {}", times[0]),
        format!("refund - - {}", times[1]),
        format!("deposit EUR EUR {}", times[2]),
    ];
    assert_eq!(db.column(currencies).await, expected);
    // It is enough to fold each of them again.
    let totals = db.totals().await;
    let folded = "select event || ' ' || coalesce(status, '-') || ' ' || coalesce(cast(sale_amount as text), '-') || ' ' ||
        coalesce(currency, '-') || ' ' || coalesce(cast(payout as text), '-') || ' ' || coalesce(payout_currency, '-') || ' ' ||
        coalesce(cast(usd_payout as text), '-') || ' ' || cast(revision as text) from conversions order by received_at";
    let before = db.column(folded).await;
    assert_eq!(
        before,
        ["purchase approved - - 42.00 MYR 12.00 2", "refund - - - - - -4.00 1", "deposit - 70.00 EUR 7.00 EUR - 1",]
    );
    let keys = ["c1".to_owned(), key, "c2".to_owned()];
    db.store.request_rebuilds(&keys, at("2025-11-21T08:00:00Z")).await.unwrap();
    assert_eq!(db.rebuilt().await, 3);
    assert_eq!(db.column(folded).await, before);
    assert_eq!(db.totals().await, totals);
    // What was known then is known.
    assert_eq!(db.record(REFUND).await, Recorded::As(Duplicate));
    assert_eq!(db.record("conversion_id=c1&rewars=13&payout_local=43&status=Paid").await, Recorded::As(Revised));
    assert_eq!(db.column(folded).await[0], "purchase paid - - 43.00 MYR 13.00 3");
}

#[tokio::test]
async fn sqlite_knows_the_receipts_of_before() {
    what_the_order_of_receipts_needs_is_taken_from_what_was_there("sqlite").await;
}

#[tokio::test]
async fn postgres_knows_the_receipts_of_before() {
    what_the_order_of_receipts_needs_is_taken_from_what_was_there("postgres").await;
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
