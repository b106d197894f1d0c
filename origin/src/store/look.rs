//! A database as it is: looked at without being made, migrated or changed (R54). A PostgreSQL session becomes read-only before it is
//! asked anything; a SQLite file is opened for reading, and where nobody has it open, as one that does not change, so that SQLite puts
//! no files beside it.

mod postgres;

use super::location::Location;
use super::sqlite;
use super::statement::{Dialect, Statement};
use super::worklist::{self, Backlog};
use super::{StoreError, Tables};
use postback::time::Timestamp;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use postgres::Server;

/// How long another process's lock on a file is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a database cannot be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// There is none yet; whether whoever opens it may make it.
    Missing {
        /// Whether it may.
        may_be_made: bool,
    },
    /// The server does not believe us.
    Refused(String),
    /// It cannot be reached, or does not answer.
    Away(String),
    /// It is none that a program of ours can read.
    Broken(String),
}

/// How a database's tables stand to those of this program, by the numbers of migrations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// This program has them, the database does not.
    pub missing: Vec<i64>,
    /// The database has them, this program does not.
    pub unknown: Vec<i64>,
    /// Both have them, and not alike; or one was begun and has not succeeded.
    pub differing: Vec<i64>,
}

impl Schema {
    /// Whether this program can read it.
    pub fn is_readable(&self) -> bool {
        self.missing.is_empty() && self.differing.is_empty()
    }
}

/// What a database is, as far as it can be told.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its tables.
    pub schema: Schema,
    /// What no two databases have in common.
    pub identity: String,
    /// Of PostgreSQL: its server, and what it lets us do.
    pub server: Option<Box<Server>>,
}

/// A database that is being looked at.
#[derive(Debug)]
pub struct Look {
    connection: Connected,
    tables: Tables,
}

#[derive(Debug)]
enum Connected {
    Postgres(Box<PgConnection>),
    Sqlite { connection: SqliteConnection, identity: String },
}

impl Look {
    /// Opens a database to look at it.
    ///
    /// # Errors
    /// It cannot be.
    pub async fn open(location: &Location, tables: Tables) -> Result<Look, Unseen> {
        let connection = match location {
            Location::Postgres(options) => Connected::Postgres(Box::new(postgres::open(options).await?)),
            Location::Sqlite(path) => open_file(path).await?,
            Location::D1 { .. } => return Err(Unseen::Away("no command reaches D1".to_owned())),
        };
        Ok(Look { connection, tables })
    }

    /// What it is. `now` reads our clock, which is compared with the server's.
    ///
    /// # Errors
    /// It cannot say.
    pub async fn see(&mut self, now: fn() -> Timestamp) -> Result<Seen, StoreError> {
        match &mut self.connection {
            Connected::Postgres(connection) => {
                let (identity, mut server) = postgres::server(connection, now).await?;
                let applied = "select version, checksum, success from _sqlx_migrations";
                // Null: there is no such table. False: it is not ours to read, and so neither are the others.
                let may_read: Option<bool> =
                    sqlx::query_scalar("select has_table_privilege(to_regclass('_sqlx_migrations'), 'select')")
                        .fetch_one(&mut **connection)
                        .await?;
                let ours = super::postgres::migrations(self.tables);
                let schema = match may_read {
                    Some(true) => compare(&ours, sqlx::query_as(applied).fetch_all(&mut **connection).await?),
                    None => compare(&ours, Vec::new()),
                    Some(false) => {
                        return Ok(Seen { schema: Schema::default(), identity, server: Some(Box::new(server)) });
                    }
                };
                if self.tables == Tables::Partner && schema.is_readable() {
                    server.months_missing = super::months::missing(&mut **connection, now()).await?;
                }
                Ok(Seen { schema, identity, server: Some(Box::new(server)) })
            }
            Connected::Sqlite { connection, identity } => {
                let tables: i64 = sqlx::query_scalar(
                    "select count(*) from sqlite_schema where type = 'table' and name = '_sqlx_migrations'",
                )
                .fetch_one(&mut *connection)
                .await?;
                let applied = "select version, checksum, success from _sqlx_migrations";
                let applied =
                    if tables > 0 { sqlx::query_as(applied).fetch_all(&mut *connection).await? } else { Vec::new() };
                let schema = compare(&sqlite::migrations(self.tables), applied);
                Ok(Seen { schema, identity: identity.clone(), server: None })
            }
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self.connection {
            Connected::Postgres(_) => Dialect::Postgres,
            Connected::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// What a statement answers that changes nothing.
    pub(crate) async fn ask(&mut self, statement: Statement) -> Result<Vec<(String, String)>, StoreError> {
        let query = AssertSqlSafe(Arc::clone(&statement.sql));
        Ok(match &mut self.connection {
            Connected::Postgres(connection) => {
                let arguments = super::postgres::arguments(statement.columns)?;
                sqlx::query_as_with(query, arguments).fetch_all(&mut **connection).await?
            }
            Connected::Sqlite { connection, .. } => {
                sqlx::query_as(query).bind(statement.rows_json()).fetch_all(connection).await?
            }
        })
    }

    /// How much there is to do in a partner's database.
    ///
    /// # Errors
    /// It cannot say.
    pub async fn backlog(&mut self, now: Timestamp) -> Result<Backlog, StoreError> {
        let statement = worklist::count(self.dialect(), now);
        worklist::counted(self.ask(statement).await?)
    }

    /// Lets go of it.
    pub async fn close(self) {
        // That it does not say goodbye is of no account.
        let _ = match self.connection {
            Connected::Postgres(connection) => connection.close().await,
            Connected::Sqlite { connection, .. } => connection.close().await,
        };
    }
}

async fn open_file(path: &Path) -> Result<Connected, Unseen> {
    let file = path.to_owned();
    // A disk that is away keeps this waiting and nobody else.
    let looked = tokio::task::spawn_blocking(move || look_at_file(&file)).await;
    let (identity, is_in_use) = looked.map_err(|error| Unseen::Broken(error.to_string()))??;
    let options = SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let connection = options.immutable(!is_in_use).connect().await.map_err(unopened)?;
    Ok(Connected::Sqlite { connection, identity })
}

/// What no two files have in common, and whether somebody has it open.
fn look_at_file(path: &Path) -> Result<(String, bool), Unseen> {
    let found = match std::fs::metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Unseen::Missing { may_be_made: true });
        }
        Err(error) => return Err(Unseen::Away(format!("{} cannot be read: {error}", path.display()))),
    };
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        std::fs::metadata(Path::new(&name)).ok().map(|found| found.len())
    };
    let (log, index_of_log) = (beside("-wal"), beside("-shm"));
    if log.is_some_and(|bytes| bytes > 0) && index_of_log.is_none() {
        return Err(Unseen::Away(format!(
            "{} has a log beside it (-wal) that is not in it yet, as in a copy: bytec-origin migrate, or serve, puts it in",
            path.display()
        )));
    }
    // Whoever has the file open keeps both of these beside it.
    Ok((format!("file {}:{}", found.dev(), found.ino()), log.is_some() && index_of_log.is_some()))
}

fn unopened(error: sqlx::Error) -> Unseen {
    // A file that is none of SQLite's.
    match error.as_database_error().and_then(|refusal| refusal.code()).as_deref() {
        Some("26") => Unseen::Broken(error.to_string()),
        Some(_) | None => Unseen::Away(error.to_string()),
    }
}

fn compare(ours: &Migrator, applied: Vec<(i64, Vec<u8>, bool)>) -> Schema {
    let mut schema = Schema::default();
    for migration in ours.iter() {
        match applied.iter().find(|(version, ..)| *version == migration.version) {
            None => schema.missing.push(migration.version),
            Some((version, checksum, success)) => {
                if !success || checksum.as_slice() != migration.checksum.as_ref() {
                    schema.differing.push(*version);
                }
            }
        }
    }
    for (version, _, success) in applied {
        if !ours.version_exists(version) {
            if success { schema.unknown.push(version) } else { schema.differing.push(version) }
        }
    }
    schema
}
