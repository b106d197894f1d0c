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

/// One test function per kind of database for each sentence of the contract.
macro_rules! contract {
    ($($name:ident($fresh:ident) $body:block)*) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("sqlite").await })* }
        mod d1 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("d1").await })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("postgres").await })* }
        $(async fn $name(kind: &str) { let $fresh = $crate::fresh(kind).await; $body })*
    };
}

/// The same for sentences about partners with a policy.
macro_rules! policies {
    ($($name:ident($policy:expr, $fresh:ident) $body:block)*) => {
        mod sqlite { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("sqlite").await })* }
        mod d1 { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("d1").await })* }
        mod postgres { $(#[tokio::test(flavor = "multi_thread")] async fn $name() { super::$name("postgres").await })* }
        $(async fn $name(kind: &str) { let $fresh = $crate::fresh_with(kind, $policy).await; $body })*
    };
}

mod d1;
mod events;
mod conversions;
mod policies;
mod work;
mod links;
mod totals;
mod rejections;
mod edge_reports;
mod model;
mod order;
mod late;
mod recount;
mod groups;
mod retention;
mod upgrade;
mod rehearsals;
mod reread;
mod clicks;
mod processing;
mod balance;
mod first_deposits;
mod reading;
mod requests;
mod trace;
mod arrivals;
mod subject;
mod postgres;
mod shared;

use crate::d1::Bridge;
use bytec_origin::store::location::Location;
use bytec_origin::store::{
    ClickBatch, Database, Receipt, Record, Recorded, RecordedClicks, Rejected, RejectedIds, Store, StoreError, Via,
};
use postback::click::{Click, ClickId, ClickQuery, Visitor};
use postback::duplicate::DuplicatePolicy;
use postback::id::Nonce;
use postback::money::Amount;
use postback::params::Params;
use postback::partner::Partner;
use postback::time::Timestamp;
use postback::verdict::Verdict::{self, Created};
use postback::zone::Zone;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A fresh database of one kind, removed at the end.
struct Fresh {
    store: Store,
    place: Place,
}

/// Where a database is.
enum Place {
    /// A file or a server's database, and the folder of files, which goes with it.
    Native(Location, #[expect(dead_code, reason = "it is removed when it is dropped")] TempDir),
    /// A database in workerd.
    D1(Bridge),
}

async fn fresh(kind: &str) -> Fresh {
    fresh_with(kind, DuplicatePolicy::default()).await
}

/// The same, of a partner with this policy.
async fn fresh_with(kind: &str, policy: DuplicatePolicy) -> Fresh {
    let place = fresh_place(kind);
    if let Place::D1(bridge) = &place {
        bridge.migrate("partner").await;
    }
    Fresh { store: place.open(policy).await.unwrap(), place }
}

/// A place where no database is yet.
fn fresh_place(kind: &str) -> Place {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    // Its own: there are so many of them and no more (scripts/lib/d1-bridge.mjs).
    static D1_COUNTER: AtomicU32 = AtomicU32::new(0);
    if kind == "d1" {
        return Place::D1(Bridge::to(D1_COUNTER.fetch_add(1, Ordering::Relaxed)));
    }
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    let folder = TempDir::new().unwrap();
    let location = match kind {
        "sqlite" => Location::within(&format!("sqlite:{}", folder.path().display()), "conformance").unwrap(),
        _ => {
            let url = std::env::var("TEST_POSTGRES_URL").expect("TEST_POSTGRES_URL is not set: run npm test");
            let name = format!("conformance_{}_{number}", std::process::id());
            Location::within(&url, &name).unwrap()
        }
    };
    Place::Native(location, folder)
}

impl Place {
    async fn open(&self, policy: DuplicatePolicy) -> Result<Store, StoreError> {
        match self {
            Place::Native(location, _) => Store::open(location, policy).await,
            Place::D1(bridge) => Ok(bridge.open(policy)),
        }
    }
}

impl Fresh {
    /// The texts of one column.
    async fn column(&self, sql: &'static str) -> Vec<String> {
        match self.store.database() {
            Database::D1(_) => self.d1().column(sql).await,
            Database::Postgres(store) => sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap(),
            Database::Sqlite(store) => sqlx::query_scalar(sql).fetch_all(store.pool()).await.unwrap(),
        }
    }

    async fn one(&self, sql: &'static str) -> String {
        let mut texts = self.column(sql).await;
        assert_eq!(texts.len(), 1, "{sql}: {texts:?}");
        texts.remove(0)
    }

    async fn execute(&self, sql: &str) {
        if let Database::D1(_) = self.store.database() {
            drop(self.d1().column(sql).await);
            return;
        }
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match self.store.database() {
            Database::D1(_) => unreachable!("done above"),
            Database::Postgres(store) => drop(sqlx::query(sql).execute(store.pool()).await.unwrap()),
            Database::Sqlite(store) => drop(sqlx::query(sql).execute(store.pool()).await.unwrap()),
        }
    }

    /// Records requests at the same moment: one of them creates, and every other has the other verdict.
    async fn created_once_at_once(&self, queries: impl Iterator<Item = String>, other: Verdict) {
        let tasks: Vec<_> = queries
            .map(|query| {
                let store = self.store.clone();
                tokio::spawn(async move { store.record(record(&query)).await.unwrap() })
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

    /// Every row of every table, each as one text.
    async fn dump(&self) -> Vec<String> {
        let column = async |sql: String| self.column(sql.leak()).await;
        let mut dump = Vec::new();
        if let Database::Postgres(_) = self.store.database() {
            let tables = "select relname::text from pg_class where relnamespace = 'public'::regnamespace
                and relkind in ('r', 'p') and not relispartition and relname <> '_sqlx_migrations' order by 1";
            for table in self.column(tables).await {
                dump.extend(column(format!("select '{table} ' || t::text from {table} as t order by 1")).await);
            }
            return dump;
        }
        // Of D1, what is Cloudflare's own is none of ours.
        let tables = "select name from sqlite_master where type = 'table' and name not like '\\_%' escape '\\'
            and name not like 'sqlite%' and name not like 'd1%' order by 1";
        for table in self.column(tables).await {
            let columns = column(format!("select name from pragma_table_xinfo('{table}') order by cid")).await;
            // D1 takes no expression that is deeper.
            let texts = columns.chunks(15).map(|columns| {
                let texts: Vec<_> = columns.iter().map(|column| format!("quote({column})")).collect();
                format!("({})", texts.join(" || ',' || "))
            });
            let texts = texts.collect::<Vec<_>>().join(" || ',' || ");
            dump.extend(column(format!("select '{table} ' || {texts} from {table} order by 1")).await);
        }
        dump
    }

    fn d1(&self) -> &Bridge {
        let Place::D1(bridge) = &self.place else { unreachable!("not on D1") };
        bridge
    }

    /// How many rows each table has, and how many conversions are counted in the totals.
    async fn rows(&self) -> Vec<String> {
        let mut counts = Vec::new();
        for sql in [
            "select cast(count(*) as text) from events",
            "select cast(count(*) as text) from conversions",
            "select cast(count(*) as text) from revisions",
            "select cast(count(*) as text) from postbacks",
            "select cast(count(*) as text) from nonces",
            "select cast(count(*) as text) from clicks",
            "select cast(count(*) as text) from work_items",
            "select cast(count(*) as text) from links",
            "select cast(coalesce(sum(conversions), 0) as text) from totals",
        ] {
            counts.push(self.one(sql).await);
        }
        counts
    }

    async fn record_clicks(&self, numbers: impl IntoIterator<Item = u16>) -> RecordedClicks {
        let clicks: Vec<_> = numbers.into_iter().map(click).collect();
        self.store.record_clicks(&batch(clicks, nonce())).await.unwrap()
    }

    async fn record(&self, query: &str) -> Recorded {
        self.store.record(record(query)).await.unwrap()
    }
}

fn partner() -> Partner {
    let registry = bytec_origin::config::registry().unwrap();
    let involve_asia = registry.all().iter().find(|partner| partner.code == "involve_asia").unwrap().clone();
    // A store keeps every amount that a partner's file may allow.
    Partner { amount_max: Amount::MAX, ..involve_asia }
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

/// A request id of its own, in their order.
fn request_id() -> String {
    static REQUESTS: AtomicU32 = AtomicU32::new(0);
    format!("request-{:08}", REQUESTS.fetch_add(1, Ordering::Relaxed))
}

/// The click of a number.
fn click(number: u16) -> Click {
    let mut random = [0; 16];
    random[..2].copy_from_slice(&number.to_be_bytes());
    let query =
        "sub_id=it%27s&media_id=m&consent_version=2&utm_source=a%22b&utm_term=%F0%9F%98%80&gclid=Cj0%27&fbclid=fb.1";
    let query = ClickQuery::read(query);
    let now = at("2025-11-21T08:00:00.123Z");
    let visitor = Visitor {
        referrer: Some("https://a.example/p?q"),
        user_agent: Some("curl/8"),
        country: Some("MY"),
        purpose: Some("prefetch"),
    };
    Click::read(ClickId::new(now, random), now, "summer", &query, &visitor)
}

/// A batch of clicks as it arrives, under a signature of this nonce.
fn batch(clicks: Vec<Click>, signed_with: Nonce) -> ClickBatch {
    ClickBatch { clicks, nonce: signed_with, receipt_id: nonce(), now: at("2025-11-21T08:00:01Z") }
}

/// The same request once more: another receipt of it.
fn again(record: &Record) -> Record {
    Record { receipt_id: nonce(), ..record.clone() }
}

/// A record of a request, its nonce fresh.
fn record(query: &str) -> Record {
    let now = at("2025-11-21T08:00:00.123Z");
    Record {
        receipt_id: nonce(),
        reading: partner().read(&Params::from_query(query).unwrap(), now).unwrap(),
        receipt: Receipt {
            request_id: request_id(),
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

/// A request that was rejected for an amount.
fn rejection(receipt: Receipt, field: Option<&str>) -> Rejected {
    Rejected {
        receipt_id: nonce(),
        receipt,
        via: Via::Direct,
        is_authenticated: true,
        code: "invalid_amount".to_owned(),
        field: field.map(str::to_owned),
        status: 400,
        rules: "0123456789abcdef".to_owned(),
        ids: RejectedIds::NONE,
    }
}

/// The same, received at another time, and stored no earlier than that: a receipt ahead of the origin's clock would be clamped to it.
fn received(query: &str, received_at: Timestamp) -> Record {
    let record = record(query);
    let now = record.now.max(received_at);
    Record { receipt: Receipt { received_at, ..record.receipt.clone() }, now, ..record }
}

const FIRST: &str =
    "event=purchase&conversion_id=c1&rewars=10.50&usd_sale_amount=100.00&click_id=k1&event_time=2025-01-01+12:00:00";
