//! Where postbacks are kept. One contract, several databases:
//!
//! **[`Store::record`] takes effect wholly or not at all, and exactly once.** In one transaction it spends the
//! request's nonce, enters the event under its id, brings the conversion up to date with a revision, and writes down
//! the request as it was received. When it returns a verdict, that is committed and will survive the loss of power. Two
//! requests of one event, however close together, get one `created` or `revised` between them; which of the two is the
//! database's unique key to decide, never a look beforehand.
//!
//! [`Store::rehearse`] does all of that and then undoes it. [`Store::record_clicks`] keeps a batch of clicks under the same
//! promise: wholly or not at all, and each click once.
//!
//! Both kinds are held to this by one conformance suite (`tests/store.rs`).

pub mod location;
mod statement;
mod ledger;
pub mod postgres;
pub mod sqlite;

use crate::store::location::Location;
use postback::click::Click;
use postback::id::Nonce;
use postback::reading::Reading;
use postback::time::Timestamp;
use postback::verdict::Verdict;
use std::fmt;
use std::time::Duration;

/// One postback with everything that is written down about it.
#[derive(Clone, Debug)]
pub struct Record {
    /// What it says.
    pub reading: Reading,
    /// How it came.
    pub receipt: Receipt,
    /// The origin's clock.
    pub now: Timestamp,
}

/// A request as it was received, secrets taken out (R46).
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The name of the request in logs and replies.
    pub request_id: String,
    /// When it reached us: the edge, or the origin where it came directly.
    pub received_at: Timestamp,
    /// Why the sender was believed.
    pub auth_mode: String,
    /// The key or token that a signature was made with, where there was one.
    pub key_id: Option<String>,
    /// The sender's address.
    pub client_ip: Option<String>,
    /// `GET` or `POST`.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// Headers that identify sender and signature, as a JSON object.
    pub headers: serde_json::Value,
    /// The body's type.
    pub content_type: Option<String>,
    /// The body.
    pub body: Option<String>,
    /// The signature's nonce, to be spent.
    pub nonce: Option<Nonce>,
}

/// What recording came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// Committed with this verdict.
    As(Verdict),
    /// The nonce had been spent: nothing was written.
    Replayed,
}

/// What recording a batch of clicks came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordedClicks {
    /// Committed.
    As {
        /// How many were new.
        stored: u64,
        /// How many were there already.
        known: u64,
    },
    /// The nonce had been spent: nothing was written.
    Replayed,
}

/// Why nothing was recorded.
#[derive(Debug)]
pub enum StoreError {
    /// The database cannot be reached or is too busy: later it may work.
    Unavailable(String),
    /// The database refused what we asked: our mistake.
    Bug(String),
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Unavailable(reason) => write!(f, "the database is not available: {reason}"),
            StoreError::Bug(reason) => write!(f, "the database refused: {reason}"),
        }
    }
}

impl std::error::Error for StoreError {}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let our_mistake = match error.as_database_error() {
            Some(refusal) => !may_pass(refusal),
            None => matches!(
                error,
                sqlx::Error::ColumnDecode { .. }
                    | sqlx::Error::ColumnNotFound(_)
                    | sqlx::Error::TypeNotFound { .. }
                    | sqlx::Error::Encode(_)
                    | sqlx::Error::Decode(_)
            ),
        };
        if our_mistake { StoreError::Bug(error.to_string()) } else { StoreError::Unavailable(error.to_string()) }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        use sqlx::migrate::MigrateError::{Execute, ExecuteMigration};
        if let Execute(error) | ExecuteMigration(error, _) = error {
            error.into()
        } else {
            StoreError::Bug(error.to_string())
        }
    }
}

/// Whether a refusal by the database is one that time can mend: locks, shutdown, resources; not constraints or syntax.
fn may_pass(refusal: &dyn sqlx::error::DatabaseError) -> bool {
    let code = refusal.code().unwrap_or_default();
    if refusal.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        // A right that is missing can be granted, a standby promoted. Classes of SQLSTATE: connection, no such database
        // yet, transaction rollback (deadlock), resources, lock not available, operator intervention (shutdown,
        // statement timeout), system error.
        return ["42501", "25006", "08", "28", "3D", "40", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class));
    }
    // SQLite: busy, locked, no memory, read-only, input/output, full, cannot open, by the primary code.
    let primary = code.parse::<u32>().map(|code| code & 0xff);
    matches!(primary, Ok(5 | 6 | 7 | 8 | 10 | 13 | 14))
}

/// How long recording may take in all, below the edge's deadline for an attempt: a database that hangs must not hold
/// the origin's room for requests.
const RECORD_TIMEOUT: Duration = Duration::from_millis(1_800);
/// How long a database may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_millis(1_000);

async fn in_time<T>(limit: Duration, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = |_| StoreError::Unavailable(format!("no answer within {} ms", limit.as_millis()));
    tokio::time::timeout(limit, work).await.map_err(late)?
}

/// One partner's database.
#[derive(Clone, Debug)]
pub enum Store {
    /// For production.
    Postgres(postgres::Postgres),
    /// Embedded: nothing to install.
    Sqlite(sqlite::Sqlite),
}

impl Store {
    /// Opens the database at a location, creates it where it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be reached, or a migration fails.
    pub async fn open(location: &Location) -> Result<Store, StoreError> {
        match location {
            Location::Postgres(options) => Ok(Store::Postgres(postgres::Postgres::open(options).await?)),
            Location::Sqlite(path) => Ok(Store::Sqlite(sqlite::Sqlite::open(path).await?)),
        }
    }

    /// Records one postback, as the contract above says.
    ///
    /// # Errors
    /// Nothing was recorded, or, when time ran out, that is not known: the same request sent again finds out.
    pub async fn record(&self, record: &Record) -> Result<Recorded, StoreError> {
        in_time(RECORD_TIMEOUT, async {
            match self {
                Store::Postgres(store) => ledger::record(store.begin().await?, record).await,
                Store::Sqlite(store) => ledger::record(store.begin().await?, record).await,
            }
        })
        .await
    }

    /// Does everything that recording does, and undoes it: what it came to is what recording would have come to. Nothing
    /// remains, the nonce neither; a number that a sequence gave out may be missing afterwards.
    ///
    /// # Errors
    /// Recording would have failed.
    pub async fn rehearse(&self, record: &Record) -> Result<Recorded, StoreError> {
        in_time(RECORD_TIMEOUT, async {
            match self {
                Store::Postgres(store) => ledger::rehearse(store.begin().await?, record).await,
                Store::Sqlite(store) => ledger::rehearse(store.begin().await?, record).await,
            }
        })
        .await
    }

    /// Records a batch of clicks, each once, as the contract above says.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub async fn record_clicks(
        &self,
        clicks: &[Click],
        nonce: &Nonce,
        now: Timestamp,
    ) -> Result<RecordedClicks, StoreError> {
        in_time(RECORD_TIMEOUT, async {
            match self {
                Store::Postgres(store) => ledger::record_clicks(store.begin().await?, clicks, nonce, now).await,
                Store::Sqlite(store) => ledger::record_clicks(store.begin().await?, clicks, nonce, now).await,
            }
        })
        .await
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        in_time(PING_TIMEOUT, async {
            match self {
                Store::Postgres(store) => store.ping().await,
                Store::Sqlite(store) => store.ping().await,
            }
        })
        .await
    }

    /// Forgets nonces seen before an instant: their signatures have run out.
    ///
    /// # Errors
    /// Nothing was forgotten.
    pub async fn forget_nonces(&self, before: Timestamp) -> Result<u64, StoreError> {
        match self {
            Store::Postgres(store) => store.forget_nonces(before).await,
            Store::Sqlite(store) => store.forget_nonces(before).await,
        }
    }

    /// Lets running work end and closes every connection.
    pub async fn close(&self) {
        match self {
            Store::Postgres(store) => store.close().await,
            Store::Sqlite(store) => store.close().await,
        }
    }
}
