//! What PostgreSQL alone can get wrong.

use crate::{FIRST, fresh, record};
use bytec_origin::store::{Database, Store, StoreError};
use postback::duplicate::DuplicatePolicy;

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
