//! D1: Cloudflare's SQLite, which a Worker reaches by a binding. It knows no transaction that waits for us between two
//! statements, only batches that take effect wholly or not at all.

use super::statement::{Done, Statement};
use super::{End, StoreError};
use futures_util::future::BoxFuture;
use postback::time::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use std::fmt;
use std::sync::Arc;

/// The way to one database: its binding in a Worker.
pub trait Batch: Send + Sync {
    /// Runs statements as one atomic batch. `statements` is a JSON array of `[sql, value, ...]`; the answer is a JSON array of
    /// `{"rows": [{...}], "changes": n}`, one for each. An error is the database's own words.
    fn run(&self, statements: String) -> BoxFuture<'_, Result<String, String>>;
}

/// Rows of a portion that is deleted at once: a batch has 30 s in all.
const PORTION: u32 = 500;
/// What [`UNDO`]'s error begins with, as migration 0005 has it; the verdict and a full stop come behind.
const REHEARSED: &str = "rehearsed: ";
/// The end of a rehearsal. A trigger refuses the row with words that name the verdict, which undoes the whole batch and brings out
/// what it came to. The last request that was written down is the rehearsed one, unless that was a replay and wrote nothing.
const UNDO: &str = "insert into rehearsals (verdict) select verdict from postbacks
    where postback_id = (select max(postback_id) from postbacks) and receipt_id in (select value ->> 0 from json_each(?1))";

/// A partner's D1 database. Its tables are brought up to date when it is deployed (`wrangler d1 migrations apply`).
#[derive(Clone)]
pub struct D1 {
    batch: Arc<dyn Batch>,
}

/// What a statement of a batch answers.
#[derive(Deserialize)]
struct Answered {
    rows: Vec<serde_json::Map<String, Value>>,
    changes: u64,
}

impl D1 {
    /// The database at the end of this way.
    pub fn new(batch: Arc<dyn Batch>) -> D1 {
        D1 { batch }
    }

    /// See [`super::Database::run`].
    pub(super) async fn run(&self, statements: Vec<Statement>, end: End) -> Result<Vec<Done>, StoreError> {
        let mut batch = Vec::with_capacity(statements.len().saturating_add(1));
        let mut written_down = String::new();
        for statement in &statements {
            let rows = statement.rows_json();
            batch.push(json!([*statement.sql, rows]));
            if statement.answers {
                written_down = rows;
            }
        }
        if end == End::Undo {
            batch.push(json!([UNDO, written_down]));
        }
        match self.batch(batch).await {
            Ok(answered) => Ok(answered.into_iter().map(done).collect()),
            Err(words) => match rehearsed(&words) {
                Some(verdict) if end == End::Undo => {
                    let answer = receipt(&written_down).map(|receipt| (receipt, verdict.to_owned()));
                    Ok(vec![Done { changed: 1, answers: answer.into_iter().collect() }])
                }
                Some(_) | None => Err(refusal(words)),
            },
        }
    }

    pub(super) async fn ping(&self) -> Result<(), StoreError> {
        // A database whose tables are missing is of no use.
        self.one("select 1 from postbacks limit 1", &[]).await.map(|_| ())
    }

    pub(super) async fn count_postbacks(&self, since: Timestamp) -> Result<u64, StoreError> {
        let sql = "select (select count(*) from postbacks where received_at >= ?1) +
                          (select count(*) from rejections where received_at >= ?1 and via = 'direct') as requests";
        let statement = json!([sql, since.to_sortable()]);
        let answered = self.batch(vec![statement]).await.map_err(refusal)?;
        let count = answered.first().and_then(|answered| answered.rows.first()?.get("requests")?.as_u64());
        count.ok_or_else(|| StoreError::Bug("a count that is none".to_owned()))
    }

    pub(super) async fn forget_nonces(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.one("delete from nonces where seen_at < ?1", &[before.to_sortable()]).await
    }

    /// A portion at a time, so that postbacks that come meanwhile wait for one portion at most. Rejected ones first: one of them that has
    /// reached a verdict since is told by that.
    pub(super) async fn drop_postbacks(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut dropped: u64 = 0;
        for (table, id) in [("rejections", "rejection_id"), ("postbacks", "postback_id")] {
            let sql = format!(
                "delete from {table} where {id} in
                 (select {id} from {table} where received_at < ?1 order by received_at limit {PORTION})"
            );
            loop {
                match self.one(&sql, &[before.to_sortable()]).await? {
                    0 => break,
                    portion => dropped = dropped.saturating_add(portion),
                }
            }
        }
        Ok(dropped)
    }

    /// Runs one statement; answers how many rows it wrote.
    async fn one(&self, sql: &str, values: &[String]) -> Result<u64, StoreError> {
        let mut statement = vec![Value::from(sql)];
        statement.extend(values.iter().cloned().map(Value::from));
        let answered = self.batch(vec![Value::from(statement)]).await.map_err(refusal)?;
        Ok(answered.first().map_or(0, |answered| answered.changes))
    }

    async fn batch(&self, statements: Vec<Value>) -> Result<Vec<Answered>, String> {
        let answered = self.batch.run(Value::from(statements).to_string()).await?;
        serde_json::from_str(&answered).map_err(|error| format!("SQLITE_ERROR: not the answer of a batch: {error}"))
    }
}

impl fmt::Debug for D1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("D1").finish_non_exhaustive()
    }
}

fn done(answered: Answered) -> Done {
    let text =
        |row: &serde_json::Map<String, Value>, name: &str| row.get(name).and_then(Value::as_str).map(str::to_owned);
    let answers = answered.rows.iter().filter_map(|row| Some((text(row, "id")?, text(row, "answer")?)));
    Done { changed: answered.changes, answers: answers.collect() }
}

/// The verdict of a rehearsal, out of the words with which the database ended it.
fn rehearsed(words: &str) -> Option<&str> {
    let (_, verdict) = words.split_once(REHEARSED)?;
    Some(verdict.split_once('.')?.0)
}

/// The receipt of the one row that was written down; the name of a receipt is the first column of what answers.
fn receipt(rows: &str) -> Option<String> {
    let rows: Vec<Vec<Value>> = serde_json::from_str(rows).ok()?;
    Some(rows.first()?.first()?.as_str()?.to_owned())
}

/// Mistakes of ours are what the database says of statements and their values; everything else may pass: a lost connection, a
/// reset, a database that is overloaded.
fn refusal(words: String) -> StoreError {
    if words.contains("no such table") {
        StoreError::Bug(format!("{words}; are its migrations applied? (wrangler d1 migrations apply)"))
    } else if ["SQLITE_CONSTRAINT", "SQLITE_ERROR", "D1_TYPE_ERROR"].iter().any(|mark| words.contains(mark)) {
        StoreError::Bug(words)
    } else {
        StoreError::Unavailable(words)
    }
}
