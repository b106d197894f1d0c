//! SQLite: the embedded default. One writer at a time is all that SQLite has, so the pool has one connection, and a
//! request waits for it as it would wait for the lock.

use super::StoreError;
use super::ledger::Transaction;
use super::statement::{Dialect, Statement, Value};
use postback::time::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Row};
use std::path::Path;
use std::time::Duration;

/// How long a request waits for the one connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long the connection waits for another process's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// A partner's SQLite file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// Creates the file where it is missing, migrates it and opens it.
    ///
    /// # Errors
    /// When the file cannot be opened, or a migration fails.
    pub async fn open(path: &Path) -> Result<Sqlite, StoreError> {
        if let Some(folder) = path.parent() {
            let made = std::fs::create_dir_all(folder);
            made.map_err(|error| StoreError::Unavailable(format!("cannot create {}: {error}", folder.display())))?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .journal_mode(SqliteJournalMode::Wal)
            // A verdict is a promise that survives the loss of power: every commit reaches the disk.
            .synchronous(SqliteSynchronous::Full);
        let pool =
            SqlitePoolOptions::new().max_connections(1).acquire_timeout(ACQUIRE_TIMEOUT).connect_with(options).await?;
        migrations().run(&pool).await?;
        Ok(Sqlite { pool })
    }

    pub(super) async fn begin(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>, StoreError> {
        Ok(self.pool.begin_with("begin immediate").await?)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn forget_nonces(&self, before: Timestamp) -> Result<u64, StoreError> {
        let done =
            sqlx::query("delete from nonces where seen_at < $1").bind(before.to_sortable()).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// The pool, for commands and tests that look into the database.
    pub fn pool(&self) -> &SqlitePool {
        &self.pool
    }
}

/// The numbered migrations. A database that is ahead of this program is served all the same: migrations tolerate the
/// code before them, so that replicas can be replaced one by one.
fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("migrations/sqlite");
    migrations.set_ignore_missing(true);
    migrations
}

impl Transaction for sqlx::Transaction<'_, sqlx::Sqlite> {
    const DIALECT: Dialect = Dialect::Sqlite;

    async fn execute(&mut self, statement: Statement) -> Result<u64, StoreError> {
        Ok(query(statement).execute(&mut **self).await?.rows_affected())
    }

    async fn number(&mut self, statement: Statement) -> Result<i32, StoreError> {
        Ok(query(statement).fetch_one(&mut **self).await?.try_get(0)?)
    }

    async fn text(&mut self, statement: Statement) -> Result<String, StoreError> {
        Ok(query(statement).fetch_one(&mut **self).await?.try_get(0)?)
    }

    async fn commit(self) -> Result<(), StoreError> {
        Ok(sqlx::Transaction::commit(self).await?)
    }

    async fn roll_back(self) -> Result<(), StoreError> {
        Ok(sqlx::Transaction::rollback(self).await?)
    }
}

fn query(statement: Statement) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql));
    statement.values.into_iter().fold(query, |query, value| match value {
        Value::Text(text) => query.bind(text),
        Value::Number(number) => query.bind(number),
        Value::Flag(flag) => query.bind(flag),
        Value::Time(time) => query.bind(time.map(Timestamp::to_sortable)),
        Value::Amount(amount) => query.bind(amount.map(|amount| amount.micros())),
        Value::Json(json) => query.bind(json),
    })
}
