//! Backups of PostgreSQL: by its own programs, from a snapshot that a transaction holds open, in which the sums are made as well.

use super::sums::{self, Sums};
use crate::store::StoreError;
use crate::store::postgres::{connect, create_database};
use crate::store::statement::Dialect;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::process::Command;

/// How often it is looked how far a copy has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);

fn told(error: &sqlx::Error) -> String {
    error.to_string()
}

pub(super) async fn back_up(
    options: &PgConnectOptions,
    to: &Path,
    mut progress: impl FnMut(u64),
) -> Result<Sums, String> {
    let mut connection = options.connect().await.map_err(|error| told(&error))?;
    let mut transaction = connection.begin().await.map_err(|error| told(&error))?;
    sqlx::query("set transaction isolation level repeatable read, read only")
        .execute(&mut *transaction)
        .await
        .map_err(|error| told(&error))?;
    let snapshot: String = sqlx::query_scalar("select pg_export_snapshot()")
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| told(&error))?;
    let mut program = program("pg_dump", options);
    program.arg("--format=custom").arg(format!("--snapshot={snapshot}")).arg("--file").arg(to).kill_on_drop(true);
    let dumping = run("pg_dump", program);
    let dumped = async {
        tokio::pin!(dumping);
        loop {
            tokio::select! {
                dumped = &mut dumping => return dumped.map(|_| ()),
                () = tokio::time::sleep(LOOK_EVERY) => progress(fs::metadata(to).map_or(0, |file| file.len())),
            }
        }
    };
    let summed = async { sums_of(&mut transaction).await.map_err(|error| told(&error)) };
    let (dumped, sums) = tokio::join!(dumped, summed);
    dumped?;
    sums
}

/// Whether a file can be read by what would restore it.
pub(super) async fn check(path: &Path) -> Result<(), String> {
    let mut program = Command::new("pg_restore");
    program.arg("--list").arg(path);
    run("pg_restore", program).await.map(|_| ())
}

/// Restores a file in one transaction, into a database that is missing or has no tables; answers what it comes to.
pub(super) async fn restore(from: &Path, options: &PgConnectOptions) -> Result<Sums, String> {
    if is_taken(options).await? {
        return Err("it has tables; a backup is restored into an empty database".to_owned());
    }
    if connect(options).await.map_err(|error| error.to_string())?.is_none() {
        create_database(options).await.map_err(|error| error.to_string())?;
    }
    let mut program = program("pg_restore", options);
    program.args(["--exit-on-error", "--single-transaction", "--no-owner", "--no-privileges", "--dbname"]);
    program.arg(options.get_database().unwrap_or_default()).arg(from);
    run("pg_restore", program).await?;
    let mut connection = options.connect().await.map_err(|error| told(&error))?;
    // Without this the first plans would be made of nothing.
    sqlx::query("analyze").execute(&mut connection).await.map_err(|error| told(&error))?;
    let sums = sums_of(&mut connection).await.map_err(|error| told(&error))?;
    let _ = connection.close().await;
    Ok(sums)
}

/// Whether the database is there and has tables.
pub(super) async fn is_taken(options: &PgConnectOptions) -> Result<bool, String> {
    let Some(mut connection) = connect(options).await.map_err(|error: StoreError| error.to_string())? else {
        return Ok(false);
    };
    let tables: Vec<String> = sqlx::query_scalar(sums::tables(Dialect::Postgres))
        .fetch_all(&mut connection)
        .await
        .map_err(|error| told(&error))?;
    let _ = connection.close().await;
    Ok(!tables.is_empty())
}

async fn sums_of(connection: &mut PgConnection) -> Result<Sums, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(sums::tables(Dialect::Postgres)).fetch_all(&mut *connection).await?;
    let columns: Vec<String> = sqlx::query_scalar(sums::columns(Dialect::Postgres)).fetch_all(&mut *connection).await?;
    let mut sums = Sums::new();
    for query in sums::queries(Dialect::Postgres, &tables, &columns) {
        sums::add(&mut sums, sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await?);
    }
    Ok(sums)
}

/// A program of PostgreSQL's that reaches the database by its environment: arguments are seen by everybody.
fn program(name: &str, options: &PgConnectOptions) -> Command {
    let mut program = Command::new(name);
    let url = options.to_url_lossy();
    let host =
        options.get_socket().map_or_else(|| options.get_host().to_owned(), |socket| socket.display().to_string());
    program.env("PGHOST", host).env("PGPORT", options.get_port().to_string());
    program.env("PGUSER", options.get_username()).env("PGDATABASE", options.get_database().unwrap_or_default());
    if let Some(password) = url.password() {
        let decoded =
            form_urlencoded::parse(format!("p={password}").as_bytes()).next().map(|(_, text)| text.into_owned());
        program.env("PGPASSWORD", decoded.unwrap_or_default());
    }
    for (name, value) in url.query_pairs() {
        match name.as_ref() {
            "sslmode" => program.env("PGSSLMODE", value.as_ref()),
            "sslrootcert" => program.env("PGSSLROOTCERT", value.as_ref()),
            "sslcert" => program.env("PGSSLCERT", value.as_ref()),
            "sslkey" => program.env("PGSSLKEY", value.as_ref()),
            _ => &mut program,
        };
    }
    program
}

/// Runs a program to its end; what it has to say is told where it fails.
async fn run(name: &str, mut program: Command) -> Result<String, String> {
    let ended = program.stdin(Stdio::null()).output().await;
    let output = ended.map_err(|error| {
        if error.kind() == std::io::ErrorKind::NotFound {
            format!("{name} is not there: install PostgreSQL's client programs, as new as the server or newer")
        } else {
            format!("{name}: {error}")
        }
    })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(format!("{name} failed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
