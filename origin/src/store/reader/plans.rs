//! How SQLite and D1 find the rows of a trace and of lists of requests: by index. docs/query-plans.md has PostgreSQL's plans.

use super::super::Tables;
use super::super::sqlite::migrations;
use super::super::statement::{Dialect, Statement};
use super::{Ids, RejectionFilter, RejectionPage, RequestFilter, RequestPage, rejected, requests, trace};
use postback::verdict::Verdict;
use sqlx::SqlitePool;
use sqlx::sqlite::SqlitePoolOptions;

/// What may be read from end to end: rows that the statement made itself.
const OWN: [&str; 4] = ["json_each VIRTUAL TABLE INDEX 1:", "asked", "traced_ids", "of_events"];
/// Where `known` stands for such rows.
const KNOWN_IS_OWN: [&str; 3] = ["limit 1000) as known", "known as (", "of_events as known"];

/// Indexes of the order of lists, which are read until a page is full.
const IN_ORDER: [&str; 3] = [
    "known USING INDEX postbacks_by_time",
    "known USING INDEX rejections_by_time",
    "known USING INDEX rejections_unauthenticated",
];

async fn plan(pool: &SqlitePool, statement: &Statement) -> Vec<String> {
    let sql = sqlx::AssertSqlSafe(format!("explain query plan {}", statement.sql));
    let rows: Vec<(i64, i64, i64, String)> =
        sqlx::query_as(sql).bind(statement.rows_json()).fetch_all(pool).await.unwrap();
    rows.into_iter().map(|(_, _, _, detail)| detail).collect()
}

fn lists() -> Vec<Statement> {
    let dialect = Dialect::Sqlite;
    let id = || Some("one".to_owned());
    let ids = [
        Ids::default(),
        Ids { request_id: id(), ..Ids::default() },
        Ids { event_id: id(), ..Ids::default() },
        Ids { conversion_id: id(), ..Ids::default() },
        Ids { order_id: id(), ..Ids::default() },
        Ids { click_id: id(), ..Ids::default() },
        Ids { account_id: id(), ..Ids::default() },
    ];
    let page = |filter| requests::select(dialect, &RequestPage { filter, after: None, limit: 10 });
    let rejected = |filter| rejected::select(dialect, &RejectionPage { filter, after: None, limit: 10 });
    let mut statements: Vec<_> =
        ids.iter().map(|ids| page(RequestFilter { ids: ids.clone(), ..RequestFilter::default() })).collect();
    statements.extend(ids.into_iter().map(|ids| rejected(RejectionFilter { ids, ..RejectionFilter::default() })));
    for verdict in [Verdict::Created, Verdict::Conflict] {
        statements.push(page(RequestFilter { verdict: Some(verdict), ..RequestFilter::default() }));
    }
    statements.push(rejected(RejectionFilter { code: id(), ..RejectionFilter::default() }));
    statements.push(rejected(RejectionFilter { is_authenticated: Some(false), ..RejectionFilter::default() }));
    statements
}

#[tokio::test]
async fn no_statement_of_a_trace_or_a_list_reads_a_table_from_end_to_end() {
    let pool = SqlitePoolOptions::new().max_connections(1).connect("sqlite::memory:").await.unwrap();
    migrations(Tables::Partner).run(&pool).await.unwrap();
    let statements = trace::statements(Dialect::Sqlite).into_iter().chain(lists());
    let mut count = 0;
    for statement in statements {
        let plan = plan(&pool, &statement).await;
        let is_own = KNOWN_IS_OWN.iter().any(|own| statement.sql.contains(own));
        let is_made = |scan: &&str| OWN.contains(scan) || *scan == "known" && is_own;
        let scans = plan.iter().filter_map(|detail| detail.strip_prefix("SCAN "));
        let whole: Vec<_> = scans.filter(|scan| !is_made(scan) && !IN_ORDER.contains(scan)).collect();
        assert!(whole.is_empty(), "{whole:?} in {plan:#?}\n{}", statement.sql);
        assert!(plan.iter().any(|detail| detail.contains("INDEX") || detail.contains("PRIMARY KEY")), "{plan:#?}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}
