//! The table of parked postbacks, in D1. Every statement can be run again without harm.

use crate::parked::cause::Cause;
use crate::parked::filter::{Filter, State, cursor_after};
use crate::platform::database::{Database, Done, Statement};
use crate::platform::{Bindings, now};
use crate::queue::item::Item;
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::atomic::{AtomicBool, Ordering};

/// The database's binding.
pub const DATABASE: &str = "PARKED";

/// What brings an empty database up to date, and leaves one alone that is.
const SCHEMA: [&str; 2] = [include_str!("migrations/0001_parked.sql"), include_str!("migrations/0002_queued.sql")];

/// The table.
#[derive(Clone)]
pub struct Table {
    database: Database,
}

/// A postback that is given up.
#[derive(Clone, Debug)]
pub struct GivenUp<'a> {
    /// Its request's name, or the message's where it cannot be read.
    pub name: &'a str,
    /// What it was read into, where it can be read.
    pub item: Option<&'a Item>,
    /// The message as the queue had it.
    pub message: &'a str,
    /// Why.
    pub cause: Cause,
    /// What was seen.
    pub detail: &'a str,
    /// Attempts at the origin.
    pub attempts: u32,
}

/// A row, but for its message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The edge's name of the request that brought it; a click's id.
    pub request_id: String,
    /// Its partner.
    pub partner: Option<String>,
    /// Its event.
    pub event_id: Option<String>,
    /// When its request arrived.
    pub received_at: Option<String>,
    /// parked, replaying or delivered.
    pub state: String,
    /// A code of [`Cause`].
    pub reason: String,
    /// What was seen.
    pub detail: String,
    /// Attempts at the origin before it was given up.
    pub attempts: u32,
    /// When it was given up.
    pub parked_at: String,
    /// When its state changed last.
    pub changed_at: String,
    /// How often it went back into the queue.
    pub replays: u32,
}

impl Row {
    /// The cursor of the page behind it.
    pub fn cursor(&self) -> String {
        cursor_after(&self.parked_at, &self.request_id)
    }
}

/// A row that is going back into the queue.
#[derive(Clone, Debug, Deserialize)]
pub struct Taken {
    /// The edge's name of the request.
    pub request_id: String,
    /// The message as the queue had it.
    pub message: String,
    /// How often it went back, this time included.
    pub replays: u32,
}

/// How many rows of a partner were parked for a reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// The partner.
    pub partner: Option<String>,
    /// The reason.
    pub reason: String,
    /// Rows.
    pub count: u64,
}

/// How many rows of a partner that are not delivered stand so.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Standing {
    /// The partner.
    pub partner: Option<String>,
    /// parked or replaying.
    pub state: String,
    /// The reason.
    pub reason: String,
    /// Rows.
    pub count: u64,
}

const COLUMNS: &str =
    "request_id, partner, event_id, received_at, state, reason, detail, attempts, parked_at, changed_at, replays";

impl Table {
    /// The table, made where it is not there yet.
    ///
    /// # Errors
    /// There is no database, or it does not answer.
    pub async fn open(bindings: &Bindings) -> Result<Table, String> {
        static IS_MADE: AtomicBool = AtomicBool::new(false);
        let database = bindings.database(DATABASE).ok_or("no database is bound to PARKED")?;
        if !IS_MADE.load(Ordering::Relaxed) {
            database.run(SCHEMA.into_iter().flat_map(statements_of).map(Statement::of).collect()).await?;
            IS_MADE.store(true, Ordering::Relaxed);
        }
        Ok(Table { database })
    }

    /// The database that holds it.
    pub(super) fn database(&self) -> &Database {
        &self.database
    }

    /// Writes down a postback that is given up. One that is delivered already stays so.
    ///
    /// # Errors
    /// It is not written down.
    pub async fn park(&self, given_up: &GivenUp<'_>, now: Timestamp) -> Result<(), String> {
        let GivenUp { name, item, message, cause, detail, attempts } = given_up;
        let now = now.to_sortable();
        let statement = Statement::of(
            "insert into parked (request_id, partner, event_id, received_at, state, reason, detail, attempts,
                                 parked_at, changed_at, replays, message)
             values (?1, ?2, ?3, ?4, 'parked', ?5, ?6, ?7, ?8, ?8, ?9, ?10)
             on conflict (request_id) do update
                set state = 'parked', reason = excluded.reason, detail = excluded.detail,
                    attempts = excluded.attempts, changed_at = excluded.changed_at, message = excluded.message
              where parked.state <> 'delivered'",
        )
        .with(Some(*name))
        .with(item.map(Item::partner))
        .with(item.and_then(Item::event_id))
        .with(item.map(Item::received_at))
        .with(Some(cause.name()))
        .with(Some(*detail))
        .with(Some(attempts.to_string()))
        .with(Some(now))
        .with(Some(item.map_or(0, Item::replays).to_string()))
        .with(Some(*message));
        self.database.run_one(statement).await.map(|_| ())
    }

    /// The origin stored a postback after all.
    ///
    /// # Errors
    /// That is not written down; it will be delivered once more, which changes nothing.
    pub async fn delivered(&self, request_id: &str, now: Timestamp) -> Result<(), String> {
        let sql = "update parked set state = 'delivered', changed_at = ?2 where request_id = ?1";
        let statement = Statement::of(sql).with(Some(request_id)).with(Some(now.to_sortable()));
        self.database.run_one(statement).await.map(|_| ())
    }

    /// The rows of a filter, the longest parked first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Row>, String> {
        let (condition, values) = filter.condition();
        let limit = filter.limit();
        let sql =
            format!("select {COLUMNS} from parked where {condition} order by parked_at, request_id limit {limit}");
        self.database.run_one(with_all(sql, values)).await?.rows()
    }

    /// One row and its message.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn show(&self, request_id: &str) -> Result<Option<(Row, String)>, String> {
        #[derive(Deserialize)]
        struct Whole {
            #[serde(flatten)]
            row: Row,
            message: String,
        }
        let sql = format!("select {COLUMNS}, message from parked where request_id = ?1");
        let rows: Vec<Whole> = self.database.run_one(Statement::of(sql).with(Some(request_id))).await?.rows()?;
        Ok(rows.into_iter().next().map(|whole| (whole.row, whole.message)))
    }

    /// How many rows a filter has, by partner and reason.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn count(&self, filter: &Filter) -> Result<Vec<Count>, String> {
        let (condition, values) = filter.condition();
        let sql = format!(
            "select partner, reason, count(*) as count from parked where {condition} group by partner, reason
              order by partner, reason"
        );
        self.database.run_one(with_all(sql, values)).await?.rows()
    }

    /// How many rows stand how, of those that are not delivered.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn standings(&self) -> Result<Vec<Standing>, String> {
        let sql = "select partner, state, reason, count(*) as count from parked where state in ('parked', 'replaying')
                    group by partner, state, reason order by partner, state, reason";
        self.database.run_one(Statement::of(sql.to_owned())).await?.rows()
    }

    /// Takes rows of a filter to be replayed, those that have been so the longest first, but none that changed at `before` or later: what
    /// comes back refused meanwhile is not taken again. Nobody else takes them.
    ///
    /// # Errors
    /// The database does not answer; what it took becomes parked again by [`Table::settle`].
    pub async fn take(&self, filter: &Filter, count_max: u32, before: Timestamp) -> Result<Vec<Taken>, String> {
        let state = filter.state.or(Some(State::Parked));
        let (condition, mut values) = Filter { state, ..filter.clone() }.condition();
        values.push(before.to_sortable());
        let begun = values.len();
        values.push(now().to_sortable());
        let sql = format!(
            "update parked set state = 'replaying', changed_at = ?{}, replays = replays + 1
              where request_id in (select request_id from parked where {condition} and changed_at < ?{begun}
                                    order by changed_at, request_id limit {count_max})
             returning request_id, message, replays",
            values.len()
        );
        self.database.run_one(with_all(sql, values)).await?.rows()
    }

    /// Puts back what was taken and did not get into the queue.
    ///
    /// # Errors
    /// The database does not answer; [`Table::settle`] will do it later.
    pub async fn put_back(&self, request_ids: &[String], now: Timestamp) -> Result<(), String> {
        let ids = serde_json::to_string(request_ids).map_err(|error| error.to_string())?;
        let sql = "update parked set state = 'parked', changed_at = ?2
                    where state = 'replaying' and request_id in (select value from json_each(?1))";
        let statement = Statement::of(sql).with(Some(ids)).with(Some(now.to_sortable()));
        self.database.run_one(statement).await.map(|_| ())
    }

    /// Parks again what was taken before `stale` and never heard of since, and forgets what was delivered before `old`.
    /// Answers how many of each.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn settle(&self, stale: Timestamp, old: Timestamp, now: Timestamp) -> Result<(u64, u64), String> {
        let again = Statement::of(
            "update parked set state = 'parked', changed_at = ?2 where state = 'replaying' and changed_at < ?1",
        )
        .with(Some(stale.to_sortable()))
        .with(Some(now.to_sortable()));
        let forget = Statement::of("delete from parked where state = 'delivered' and changed_at < ?1")
            .with(Some(old.to_sortable()));
        let done: Vec<u64> =
            self.database.run(vec![again, forget]).await?.iter().map(|Done { changes, .. }| *changes).collect();
        Ok((done.first().copied().unwrap_or(0), done.get(1).copied().unwrap_or(0)))
    }
}

fn with_all(sql: String, values: Vec<String>) -> Statement {
    values.into_iter().fold(Statement::of(sql), |statement, value| statement.with(Some(value)))
}

/// The statements of a file, its comments left out. None of them holds a semicolon of its own.
fn statements_of(file: &str) -> Vec<String> {
    let lines = file.lines().map(|line| line.split("--").next().unwrap_or(""));
    let text = lines.collect::<Vec<_>>().join("\n");
    text.split(';').map(|statement| statement.trim().to_owned()).filter(|statement| !statement.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_statements_without_comments() {
        let statements: Vec<_> = SCHEMA.into_iter().flat_map(statements_of).collect();
        assert_eq!(statements.len(), 6);
        assert!(statements.iter().all(|sql| sql.starts_with("create") && sql.contains("if not exists")));
        assert!(!statements.concat().contains("--"));
    }
}
