//! What a PostgreSQL server is, and what it lets us do.

use super::super::StoreError;
use super::super::postgres::{CONNECTIONS_MAX, is_missing_database, sqlstate};
use super::Unseen;
use postback::time::Timestamp;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};

/// Milliseconds that a statement may take.
const LIMITS: [(&str, &str); 2] = [("statement_timeout", "4000"), ("lock_timeout", "500")];

/// A PostgreSQL server, by one database of it.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Its name for itself: the same for all databases of one server.
    pub name: String,
    /// Its version, such as 160004.
    pub version_num: i32,
    /// Whether nothing can be written.
    pub is_read_only: bool,
    /// Settings that are off and must not be.
    pub unsafe_settings: Vec<String>,
    /// Connections that whoever we are may have at once.
    pub connections_max: i64,
    /// Whether the database is ours, so that we may migrate it.
    pub is_owner: bool,
    /// Who we are.
    pub user: String,
    /// Months that have no partition and will need one.
    pub months_missing: Vec<String>,
    /// How far its clock is ahead of ours, in milliseconds.
    pub clock_ahead_ms: i64,
}

impl Server {
    /// Connections that an origin holds to each database at most.
    pub const POOL: u32 = CONNECTIONS_MAX;
}

/// A session in which nothing can be changed.
pub async fn open(options: &PgConnectOptions) -> Result<PgConnection, Unseen> {
    let ours = options.clone().options(LIMITS).application_name("bytec-origin doctor");
    match ours.connect().await {
        Ok(connection) => Ok(connection),
        Err(error) if is_missing_database(&error) => Err(Unseen::Missing { may_be_made: may_create(options).await }),
        Err(error) => Err(match sqlstate(&error) {
            // Class 28: invalid authorization. 42501: no right to connect.
            Some(code) if code.starts_with("28") || code == "42501" => Unseen::Refused(error.to_string()),
            Some(_) | None => Unseen::Away(error.to_string()),
        }),
    }
}

/// Whether the user may create databases, which the origin does by way of the database `postgres`.
async fn may_create(options: &PgConnectOptions) -> bool {
    let asked = async {
        let mut connection = options.clone().options(LIMITS).database("postgres").connect().await?;
        let may = sqlx::query_scalar("select rolcreatedb or rolsuper from pg_roles where rolname = current_user");
        let may: bool = may.fetch_one(&mut connection).await?;
        connection.close().await?;
        Ok::<_, sqlx::Error>(may)
    };
    asked.await.unwrap_or(false)
}

/// What no two databases have in common, and what the server is.
pub async fn server(connection: &mut PgConnection, now: fn() -> Timestamp) -> Result<(String, Server), StoreError> {
    const OURS: &str = "from pg_database join pg_roles on rolname = current_user where datname = current_database()";
    // What the session may write is asked before it is made to write nothing.
    let query = format!(
        "select current_setting('server_version_num')::int as version_num,
            current_setting('transaction_read_only') = 'on' as is_read_only,
            array(select name from pg_settings where name in ('fsync', 'synchronous_commit') and setting = 'off') as unsafe,
            current_setting('max_connections')::bigint - current_setting('superuser_reserved_connections')::bigint
                - coalesce(current_setting('reserved_connections', true)::bigint, 0) as connections_max,
            nullif(rolconnlimit, -1)::bigint as role_max, nullif(datconnlimit, -1)::bigint as database_max,
            pg_has_role(current_user, datdba, 'usage') as is_owner, current_user::text as role, pg_database.oid::text as oid
         {OURS}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(query)).fetch_one(&mut *connection).await?;
    sqlx::query("set session characteristics as transaction read only").execute(&mut *connection).await?;
    let limits: [Option<i64>; 2] = [row.try_get("role_max")?, row.try_get("database_max")?];
    let own: i64 = row.try_get("connections_max")?;
    let name = name(connection).await?;
    let before = now();
    let theirs = sqlx::query_scalar("select floor(extract(epoch from clock_timestamp()) * 1000)::bigint");
    let theirs: i64 = theirs.fetch_one(&mut *connection).await?;
    let ours = before.unix_ms().midpoint(now().unix_ms());
    let oid: String = row.try_get("oid")?;
    let identity = format!("postgres {name}:{oid}");
    let server = Server {
        name,
        version_num: row.try_get("version_num")?,
        is_read_only: row.try_get("is_read_only")?,
        unsafe_settings: row.try_get("unsafe")?,
        connections_max: limits.into_iter().flatten().fold(own, i64::min),
        is_owner: row.try_get("is_owner")?,
        user: row.try_get("role")?,
        months_missing: Vec::new(),
        clock_ahead_ms: theirs.saturating_sub(ours),
    };
    Ok((identity, server))
}

/// The server's name for itself; where that is not for us to know, when it was started.
async fn name(connection: &mut PgConnection) -> Result<String, StoreError> {
    let named = sqlx::query_scalar("select system_identifier::text from pg_control_system()");
    match named.fetch_one(&mut *connection).await {
        Ok(name) => Ok(name),
        Err(error) if error.as_database_error().is_some() => {
            let started = sqlx::query_scalar("select pg_postmaster_start_time()::text");
            Ok(started.fetch_one(&mut *connection).await?)
        }
        Err(error) => Err(error.into()),
    }
}
