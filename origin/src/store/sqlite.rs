//! SQLite: the embedded default. One writer at a time is all that SQLite has, so the pool has one connection, and a
//! request waits for it as it would wait for the lock.

use super::statement::{Done, Statement};
use super::{Connections, End, StoreError, Tables};
use postback::time::Timestamp;
use sqlx::AssertSqlSafe;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a request waits for the one connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long the connection waits for another process's lock on the file.
const BUSY_TIMEOUT: Duration = Duration::from_millis(500);

/// A SQLite file.
#[derive(Clone, Debug)]
pub struct Sqlite {
    pool: SqlitePool,
}

impl Sqlite {
    /// Creates the file where it is missing, migrates it and opens it.
    ///
    /// # Errors
    /// When the file cannot be opened, or a migration fails.
    pub async fn open(path: &Path, tables: Tables) -> Result<Sqlite, StoreError> {
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
        migrations(tables).run(&pool).await?;
        Ok(Sqlite { pool })
    }

    /// A database in memory alone, which is gone when it is closed.
    ///
    /// # Errors
    /// A migration fails.
    pub async fn in_memory(tables: Tables) -> Result<Sqlite, StoreError> {
        let options = SqliteConnectOptions::new().in_memory(true).foreign_keys(true);
        // With its connection it would be gone.
        let pool = SqlitePoolOptions::new().max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None);
        let pool = pool.connect_with(options).await?;
        migrations(tables).run(&pool).await?;
        Ok(Sqlite { pool })
    }

    pub(super) fn connections(&self) -> Connections {
        Connections::of(&self.pool)
    }

    /// See [`super::Database::run`].
    pub(super) async fn run(&self, statements: Vec<Statement>, end: End) -> Result<Vec<Done>, StoreError> {
        let mut transaction = self.pool.begin_with("begin immediate").await?;
        let mut done = Vec::with_capacity(statements.len());
        for statement in statements {
            let query = AssertSqlSafe(Arc::clone(&statement.sql));
            let rows = statement.rows_json();
            done.push(if statement.answers {
                let answers = sqlx::query_as(query).bind(rows).fetch_all(&mut *transaction).await?;
                Done { changed: u64::try_from(answers.len()).unwrap_or(u64::MAX), answers }
            } else {
                let changed = sqlx::query(query).bind(rows).execute(&mut *transaction).await?.rows_affected();
                Done { changed, answers: Vec::new() }
            });
        }
        match end {
            End::Commit => transaction.commit().await?,
            End::Undo => transaction.rollback().await?,
        }
        Ok(done)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("select 1").execute(&self.pool).await?;
        Ok(())
    }

    pub(super) async fn count_postbacks(&self, since: Timestamp) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "select (select count(*) from postbacks where received_at >= $1) +
                    (select count(*) from rejections where received_at >= $1 and via = 'direct')",
        )
        .bind(since.to_sortable())
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn forget_nonces(&self, before: Timestamp) -> Result<u64, StoreError> {
        let done =
            sqlx::query("delete from nonces where seen_at < $1").bind(before.to_sortable()).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }

    /// A portion at a time, so that postbacks that come meanwhile wait for one portion at most. Rejected ones first: one of them that has
    /// reached a verdict since is told by that.
    pub(super) async fn drop_postbacks(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut dropped: u64 = 0;
        for portion in [
            "delete from rejections where rejection_id in
             (select rejection_id from rejections where received_at < $1 order by received_at limit 500)",
            "delete from postbacks where postback_id in
             (select postback_id from postbacks where received_at < $1 order by received_at limit 500)",
        ] {
            loop {
                let done = sqlx::query(portion).bind(before.to_sortable()).execute(&self.pool).await?;
                dropped = dropped.saturating_add(done.rows_affected());
                if done.rows_affected() == 0 {
                    break;
                }
            }
        }
        Ok(dropped)
    }

    /// Writes the file anew, so that nothing is left in it of what was deleted. Whoever else writes waits meanwhile.
    pub(super) async fn rewrite(&self) -> Result<(), StoreError> {
        sqlx::query("vacuum").execute(&self.pool).await?;
        // What the log still has of before goes with it. While others read, that is not to be had.
        let folded: (i64, i64, i64) = sqlx::query_as("pragma wal_checkpoint(truncate)").fetch_one(&self.pool).await?;
        if folded.0 == 0 {
            Ok(())
        } else {
            Err(StoreError::Unavailable("the file is being read; try again".to_owned()))
        }
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
pub(super) fn migrations(tables: Tables) -> Migrator {
    let mut migrations = match tables {
        Tables::Partner => sqlx::migrate!("migrations/sqlite"),
        Tables::Shared => sqlx::migrate!("migrations/shared/sqlite"),
    };
    migrations.set_ignore_missing(true);
    migrations
}
