//! PostgreSQL.

use super::statement::{Done, Statement, Values};
use super::{Connections, End, StoreError, Tables, in_time, months};
use postback::money::Amount;
use postback::time::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPool, PgPoolOptions};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

/// Connections per partner. A small pool refuses early under overload instead of queueing for seconds.
pub(super) const CONNECTIONS_MAX: u32 = 12;
/// How long a request waits for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_millis(500);
/// How long a server may take to answer at all before its database counts as unavailable.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long migrations may take: those of a large database, minutes.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// Sets how long a migration stands in line for a table before it makes room for those behind it: less than the half second that a
/// postback waits there. The server makes an automatic vacuum give way, but only to whoever has waited for `deadlock_timeout`.
const MIGRATION_LOCK_TIMEOUT: &str = "select set_config('lock_timeout',
    case when exists (select 1 from pg_stat_progress_vacuum where datname = current_database())
           or exists (select 1 from pg_stat_progress_analyze where datname = current_database())
         then (extract(epoch from current_setting('deadlock_timeout')::interval) * 1000)::integer + 500 else 400 end::text,
    false)";
/// When it comes again.
const MIGRATION_COMES_AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Limits inside the database, in milliseconds: below the edge's deadline for an attempt.
const SESSION_LIMITS: [(&str, &str); 2] = [("statement_timeout", "1500"), ("lock_timeout", "500")];
/// Every statement of the ledger finds its rows by key. A plan made while a table was small must not read it whole when it
/// has grown, and compiling one takes longer than running it.
const PLANS: [(&str, &str); 2] = [("enable_seqscan", "off"), ("jit", "off")];

/// A PostgreSQL database.
#[derive(Clone, Debug)]
pub struct Postgres {
    pool: PgPool,
}

impl Postgres {
    /// Creates the database where it is missing, migrates it and opens a pool.
    ///
    /// # Errors
    /// When the server cannot be reached, or may not create the database, or a migration fails.
    pub async fn open(options: &PgConnectOptions, tables: Tables) -> Result<Postgres, StoreError> {
        // Migrations may take longer than a request may, so they run on a connection without its limits.
        let mut connection = match connect(options).await? {
            Some(connection) => connection,
            None => {
                in_time(CONNECT_TIMEOUT, create_database(options)).await?;
                in_time(CONNECT_TIMEOUT, async { Ok(options.connect().await?) }).await?
            }
        };
        let mut migrations = migrations(tables);
        // A connection that is silent must not be waited for as long as a migration: nobody else could open the database then.
        let limit = match in_time(CONNECT_TIMEOUT, look_at(&mut connection, &migrations)).await? {
            State::UpToDate => {
                // There is nothing to do that another could do at the same time, so it waits for nobody who migrates.
                migrations.set_locking(false);
                CONNECT_TIMEOUT
            }
            State::Behind => MIGRATION_TIMEOUT,
        };
        in_time(limit, migrate(&mut connection, &migrations)).await?;
        // That it does not say goodbye is of no account.
        let _ = in_time(CONNECT_TIMEOUT, async { Ok(connection.close().await?) }).await;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS_MAX)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .connect_lazy_with(options.clone().options(SESSION_LIMITS).options(PLANS));
        Ok(Postgres { pool })
    }

    pub(super) fn connections(&self) -> Connections {
        Connections::of(&self.pool)
    }

    /// See [`super::Database::run_and_tell`].
    pub(super) async fn run(
        &self,
        statements: Vec<Statement>,
        end: End,
        tell: impl FnOnce(),
    ) -> Result<Vec<Done>, StoreError> {
        let mut transaction = self.pool.begin().await?;
        let mut done = Vec::with_capacity(statements.len());
        for Statement { sql, columns, answers, .. } in statements {
            let query = AssertSqlSafe(Arc::clone(&sql));
            let arguments = arguments(columns)?;
            done.push(if answers {
                let answers = sqlx::query_as_with(query, arguments).fetch_all(&mut *transaction).await?;
                Done { changed: u64::try_from(answers.len()).unwrap_or(u64::MAX), answers }
            } else {
                let changed = sqlx::query_with(query, arguments).execute(&mut *transaction).await?.rows_affected();
                Done { changed, answers: Vec::new() }
            });
        }
        tell();
        match end {
            End::Commit => transaction.commit().await?,
            End::Undo => transaction.rollback().await?,
        }
        Ok(done)
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        let read_only: String =
            sqlx::query_scalar("select current_setting('transaction_read_only')").fetch_one(&self.pool).await?;
        if read_only == "off" { Ok(()) } else { Err(StoreError::Unavailable("it is read-only".to_owned())) }
    }

    pub(super) async fn count_postbacks(&self, since: Timestamp) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar(
            "select (select count(*) from postbacks where received_at >= $1) +
                    (select count(*) from rejections where received_at >= $1 and via = 'direct')",
        )
        .bind(since.to_chrono())
        .fetch_one(&self.pool)
        .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(super) async fn forget_nonces(&self, before: Timestamp) -> Result<u64, StoreError> {
        let done =
            sqlx::query("delete from nonces where seen_at < $1").bind(before.to_chrono()).execute(&self.pool).await?;
        Ok(done.rows_affected())
    }

    pub(super) async fn drop_postbacks(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut dropped: u64 = 0;
        // There are few of these; they go a portion at a time, so that no statement takes long. They go first: one of them that has
        // reached a verdict since is told by that.
        loop {
            let portion = sqlx::query(
                "delete from rejections where rejection_id in
                 (select rejection_id from rejections where received_at < $1 order by received_at limit 500)",
            );
            let done = portion.bind(before.to_chrono()).execute(&self.pool).await?;
            dropped = dropped.saturating_add(done.rows_affected());
            if done.rows_affected() == 0 {
                break;
            }
        }
        Ok(dropped.saturating_add(months::drop_before(&self.pool, before).await?))
    }

    pub(super) async fn make_months(&self, now: Timestamp) -> Result<(), StoreError> {
        months::make_around(&self.pool, now).await
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// The pool, for commands and tests that look into the database.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// The numbered migrations. A database that is ahead of this program is served all the same: migrations tolerate the
/// code before them, so that replicas can be replaced one by one.
pub(super) fn migrations(tables: Tables) -> Migrator {
    let mut migrations = match tables {
        Tables::Partner => sqlx::migrate!("migrations/postgres"),
        Tables::Shared => sqlx::migrate!("migrations/shared/postgres"),
    };
    migrations.set_ignore_missing(true);
    migrations
}

/// One array for each column.
pub(super) fn arguments(columns: Vec<Values>) -> Result<PgArguments, StoreError> {
    let mut arguments = PgArguments::default();
    for column in columns {
        let added = match column {
            Values::Texts(texts) => arguments.add(texts),
            Values::Numbers(numbers) => arguments.add(numbers),
            Values::Flags(flags) => arguments.add(flags),
            Values::Times(times) => {
                arguments.add(times.into_iter().map(|time| time.map(Timestamp::to_chrono)).collect::<Vec<_>>())
            }
            Values::Amounts(amounts) => {
                let text = |amount: Option<Amount>| amount.map(|amount| amount.to_string());
                arguments.add(amounts.into_iter().map(text).collect::<Vec<_>>())
            }
            Values::Jsons(texts) => arguments.add(texts),
        };
        added.map_err(|error| StoreError::Bug(error.to_string()))?;
    }
    Ok(arguments)
}

/// A connection; None when the server has no such database.
pub(crate) async fn connect(options: &PgConnectOptions) -> Result<Option<PgConnection>, StoreError> {
    match tokio::time::timeout(CONNECT_TIMEOUT, options.connect()).await {
        Ok(Ok(connection)) => Ok(Some(connection)),
        Ok(Err(error)) if is_missing_database(&error) => Ok(None),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(StoreError::Unavailable("the server does not answer".to_owned())),
    }
}

/// How a database's tables stand to this program's.
enum State {
    UpToDate,
    Behind,
}

/// Looks at a database before anything is done with it: its settings are safe, and its tables are up to date or not.
async fn look_at(connection: &mut PgConnection, migrations: &Migrator) -> Result<State, StoreError> {
    refuse_unsafe_settings(connection).await?;
    let applied = sqlx::query_scalar::<_, i64>("select version from _sqlx_migrations where success");
    // Where there is no such table, there are no others.
    let applied = applied.fetch_all(connection).await.unwrap_or_default();
    let is_up_to_date = migrations.iter().all(|migration| applied.contains(&migration.version));
    Ok(if is_up_to_date { State::UpToDate } else { State::Behind })
}

/// Migrates. A change of a table waits for all who have begun to read it, and a backup may read for an hour. Who comes behind it waits for
/// both: postbacks of the origin that is to be replaced, and clicks. So it waits for a moment, lets them pass, and comes again.
async fn migrate(connection: &mut PgConnection, migrations: &Migrator) -> Result<(), StoreError> {
    loop {
        sqlx::query(MIGRATION_LOCK_TIMEOUT).execute(&mut *connection).await?;
        match migrations.run_direct(None, &mut *connection, false).await {
            Err(error) if has_to_wait(&error) => {
                warn!(reason = %error, "a migration waits for others to end what they do with its tables, or migrate");
                // The lock of those who migrate stays with the connection when a migration fails.
                sqlx::query("select pg_advisory_unlock_all()").execute(&mut *connection).await?;
                tokio::time::sleep(MIGRATION_COMES_AGAIN_AFTER).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// Whether a lock did not come, or came in a circle.
fn has_to_wait(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else { return false };
    sqlstate(error).is_some_and(|code| ["55P03", "40P01"].contains(&code.as_ref()))
}

/// A verdict promises to survive the loss of power. With these settings it would not, and nobody would notice until
/// then.
async fn refuse_unsafe_settings(connection: &mut PgConnection) -> Result<(), StoreError> {
    for setting in ["fsync", "synchronous_commit"] {
        let value: String =
            sqlx::query_scalar("select current_setting($1)").bind(setting).fetch_one(&mut *connection).await?;
        if value == "off" {
            return Err(StoreError::Unavailable(format!("{setting} is off, so a commit could be lost; switch it on")));
        }
    }
    Ok(())
}

pub(super) fn is_missing_database(error: &sqlx::Error) -> bool {
    sqlstate(error).is_some_and(|code| code == "3D000")
}

/// The code with which the server refused, where it did.
pub(super) fn sqlstate(error: &sqlx::Error) -> Option<Cow<'_, str>> {
    error.as_database_error().and_then(|refusal| refusal.code())
}

/// Creates the database from the server's maintenance database. That another process was quicker is no error.
pub(crate) async fn create_database(options: &PgConnectOptions) -> Result<(), StoreError> {
    let name = options.get_database().unwrap_or_default();
    // A name from a partner file holds lower-case letters, digits and _ only; a name from anywhere else is not ours.
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_') {
        return Err(StoreError::Bug("the database's name is not one of a partner file".to_owned()));
    }
    let mut connection = options.clone().database("postgres").connect().await?;
    let created = sqlx::raw_sql(AssertSqlSafe(format!("create database \"{name}\""))).execute(&mut connection).await;
    connection.close().await?;
    match created {
        Ok(_) => Ok(()),
        Err(error) => {
            let code = sqlstate(&error).unwrap_or_default();
            if ["42P04", "23505"].contains(&code.as_ref()) { Ok(()) } else { Err(error.into()) }
        }
    }
}
