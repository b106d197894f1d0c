//! Backups of SQLite: its own copy of itself, in one reading transaction, so that who writes does not wait.

use super::agree;
use super::sums::{self, Sums};
use crate::store::statement::Dialect;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often it is looked how far a copy has come.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long it waits for somebody's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) async fn back_up(from: &Path, to: &Path, mut progress: impl FnMut(u64)) -> Result<Sums, String> {
    if !from.exists() {
        return Err(format!("{} is not there", from.display()));
    }
    let options = SqliteConnectOptions::new().filename(from).read_only(true).busy_timeout(BUSY_TIMEOUT);
    let mut connection = options.connect().await.map_err(|error| error.to_string())?;
    {
        let name = to.to_string_lossy().into_owned();
        let copying = sqlx::query("vacuum into ?1").bind(name).execute(&mut connection);
        tokio::pin!(copying);
        loop {
            tokio::select! {
                copied = &mut copying => {
                    copied.map_err(|error| format!("it cannot be copied: {error}"))?;
                    break;
                }
                () = tokio::time::sleep(LOOK_EVERY) => progress(fs::metadata(to).map_or(0, |file| file.len())),
            }
        }
    }
    let _ = connection.close().await;
    check(to).await
}

/// What a file that nobody else has comes to, if it is whole.
pub(super) async fn check(path: &Path) -> Result<Sums, String> {
    let told = |error: sqlx::Error| format!("{}: {error}", path.display());
    let options = SqliteConnectOptions::new().filename(path).immutable(true).read_only(true);
    let mut connection = options.connect().await.map_err(told)?;
    let whole: String = sqlx::query_scalar("pragma integrity_check").fetch_one(&mut connection).await.map_err(told)?;
    if whole != "ok" {
        return Err(format!("{} is damaged: {whole}", path.display()));
    }
    let sums = sums_of(&mut connection).await.map_err(told)?;
    let _ = connection.close().await;
    Ok(sums)
}

async fn sums_of(connection: &mut SqliteConnection) -> Result<Sums, sqlx::Error> {
    let tables: Vec<String> = sqlx::query_scalar(sums::tables(Dialect::Sqlite)).fetch_all(&mut *connection).await?;
    let columns: Vec<String> = sqlx::query_scalar(sums::columns(Dialect::Sqlite)).fetch_all(&mut *connection).await?;
    let mut sums = Sums::new();
    for query in sums::queries(Dialect::Sqlite, &tables, &columns) {
        sums::add(&mut sums, sqlx::query_as(AssertSqlSafe(query)).fetch_all(&mut *connection).await?);
    }
    Ok(sums)
}

/// Copies a backup beside where the database is to be, and gives it its name when it comes to what it should.
pub(super) async fn restore(from: &Path, to: &Path, expected: &Sums) -> Result<(), String> {
    if is_taken(to) {
        return Err(format!("{} or its log is there; a backup is restored where there is no database", to.display()));
    }
    let beside = to.with_extension("restoring");
    let told = |error: std::io::Error| format!("{}: {error}", beside.display());
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder).map_err(told)?;
    }
    fs::copy(from, &beside).map_err(told)?;
    let checked = match check(&beside).await {
        Ok(found) => agree(expected, &found),
        Err(problem) => Err(problem),
    };
    let named = checked.and_then(|()| {
        File::open(&beside).and_then(|file| file.sync_all()).map_err(told)?;
        // Not by renaming, which would take the place of a database that somebody has made meanwhile.
        fs::hard_link(&beside, to).map_err(|error| format!("{}: {error}", to.display()))
    });
    fs::remove_file(&beside).map_err(told)?;
    named?;
    match to.parent() {
        Some(folder) => File::open(folder).and_then(|folder| folder.sync_all()).map_err(told),
        None => Ok(()),
    }
}

pub(super) fn is_taken(path: &Path) -> bool {
    let beside = |end: &str| PathBuf::from(format!("{}{end}", path.display()));
    path.exists() || ["-wal", "-shm", "-journal"].iter().any(|end| beside(end).exists())
}
