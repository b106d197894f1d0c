//! Where postbacks are kept. One contract, several databases:
//!
//! **[`Store::record`] takes effect wholly or not at all, and exactly once.** In one transaction it spends the
//! request's nonce, enters the event under its id, brings the conversion and the totals up to date with a revision, writes
//! down the request as it was received, and puts down what is to be done for the event (R52). When it returns a verdict, that is committed and will survive the loss of power. Two
//! requests of one event, however close together, get one `created` or `revised` between them; which of the two is the
//! database's unique key to decide, never a look beforehand. Several postbacks may share a transaction; each has an answer
//! of its own, and one that the database refuses costs no other.
//!
//! What a further event of a known conversion does is the partner's policy ([`postback::duplicate`]).
//!
//! [`Store::rehearse`] does all of that and then undoes it. [`Store::record_clicks`] keeps a batch of clicks under the same
//! promise: wholly or not at all, and each click once.
//!
//! All kinds are held to this by one conformance suite (`tests/store/`).

pub mod location;
mod record;
mod error;
#[cfg(not(target_family = "wasm"))]
mod patience;
pub(crate) mod statement;
mod limits;
mod turns;
mod totals;
mod ledger;
pub mod worklist;
pub mod rebuild;
pub mod recount;
pub mod reader;
mod retention;
#[cfg(not(target_family = "wasm"))]
pub mod reread;
#[cfg(not(target_family = "wasm"))]
pub mod subject;
pub mod d1;
#[cfg(not(target_family = "wasm"))]
mod groups;
#[cfg(not(target_family = "wasm"))]
mod months;
#[cfg(not(target_family = "wasm"))]
pub mod look;
#[cfg(not(target_family = "wasm"))]
pub mod postgres;
#[cfg(not(target_family = "wasm"))]
pub mod sqlite;

pub use error::StoreError;
#[cfg(not(target_family = "wasm"))]
pub use patience::patiently;
pub use record::{
    ClickBatch, EdgeOutcome, EdgeReport, Receipt, Record, Recorded, RecordedClicks, Rejected, RejectedIds, Via,
};

use crate::deadline::within;
use crate::store::location::Location;
#[cfg(not(target_family = "wasm"))]
use groups::{AtWork, Groups, Lanes};
use ledger::Ledger;
use postback::duplicate::DuplicatePolicy;
use postback::time::Timestamp;
use statement::{Dialect, Done, Statement};
use std::sync::Arc;
use std::time::Duration;
use totals::Lane;
use worklist::Worklist;

/// How long recording may take in all, below the edge's deadline for an attempt: a database that hangs must not hold
/// the origin's room for requests.
const RECORD_TIMEOUT: Duration = Duration::from_millis(1_800);
/// How long a database may take to say that it is there.
const PING_TIMEOUT: Duration = Duration::from_millis(1_000);

pub(crate) async fn in_time<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let late = || StoreError::Unavailable(format!("no answer within {} ms", limit.as_millis()));
    within(limit, work).await.ok_or_else(late)?
}

/// The answer to the one record that was asked about.
fn only(recorded: Vec<Recorded>) -> Result<Recorded, StoreError> {
    recorded.first().copied().ok_or_else(|| StoreError::Bug("a record without an answer".to_owned()))
}

/// One partner's database.
#[derive(Clone, Debug)]
pub struct Store {
    core: Arc<Core>,
    #[cfg(not(target_family = "wasm"))]
    groups: Groups,
}

/// What the transactions of a store have in common.
#[derive(Debug)]
struct Core {
    database: Database,
    ledger: Ledger,
    worklist: Worklist,
}

/// A database of one kind.
#[derive(Clone, Debug)]
pub enum Database {
    /// For production.
    #[cfg(not(target_family = "wasm"))]
    Postgres(postgres::Postgres),
    /// Embedded: nothing to install.
    #[cfg(not(target_family = "wasm"))]
    Sqlite(sqlite::Sqlite),
    /// For the origin as a Worker.
    D1(d1::D1),
}

/// The same work on a database of any kind.
macro_rules! on_each {
    ($database:expr, $of_a_kind:ident => $work:expr) => {
        match $database {
            #[cfg(not(target_family = "wasm"))]
            Database::Postgres($of_a_kind) => $work,
            #[cfg(not(target_family = "wasm"))]
            Database::Sqlite($of_a_kind) => $work,
            Database::D1($of_a_kind) => $work,
        }
    };
}

/// How a transaction ends that has not failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// All of it lasts.
    Commit,
    /// All of it is undone.
    Undo,
}

/// The connections to a database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Those that are open.
    pub open: u64,
    /// Of these, those that nobody uses.
    pub idle: u64,
    /// How many there may be.
    pub max: u64,
}

#[cfg(not(target_family = "wasm"))]
impl Connections {
    fn of<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Connections {
        let idle = u64::try_from(pool.num_idle()).unwrap_or(u64::MAX);
        Connections { open: u64::from(pool.size()), idle, max: u64::from(pool.options().get_max_connections()) }
    }
}

/// Which tables a database has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tables {
    /// Those of one partner.
    Partner,
    /// Those that all partners share ([`crate::shared`]).
    Shared,
}

impl Database {
    /// Opens the database at a location, creates it where it is missing, and brings its tables up to date.
    ///
    /// # Errors
    /// When it cannot be reached, or a migration fails.
    #[cfg_attr(target_family = "wasm", expect(unused_variables, clippy::unused_async, reason = "for the other kinds"))]
    pub(crate) async fn open(location: &Location, tables: Tables) -> Result<Database, StoreError> {
        Ok(match location {
            #[cfg(not(target_family = "wasm"))]
            Location::Postgres(options) => Database::Postgres(postgres::Postgres::open(options, tables).await?),
            #[cfg(not(target_family = "wasm"))]
            Location::Sqlite(path) => Database::Sqlite(sqlite::Sqlite::open(path, tables).await?),
            Location::D1 { way, .. } => Database::D1(way.clone()),
        })
    }

    /// Lets running work end and closes every connection.
    pub(crate) async fn close(&self) {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Database::Postgres(database) => database.close().await,
            #[cfg(not(target_family = "wasm"))]
            Database::Sqlite(database) => database.close().await,
            // There is nothing that would have to be let go of.
            Database::D1(_) => {}
        }
    }

    /// Runs statements as one transaction: all of them take effect, or none. With [`End::Undo`] none does, and what they
    /// did is answered all the same.
    pub(crate) async fn run(&self, statements: Vec<Statement>, end: End) -> Result<Vec<Done>, StoreError> {
        self.run_and_tell(statements, end, || ()).await
    }

    /// The same, and tells when nothing is left to do but to end it, where the database can do something else meanwhile. What tells is
    /// dropped in any case.
    async fn run_and_tell(
        &self,
        statements: Vec<Statement>,
        end: End,
        tell: impl FnOnce(),
    ) -> Result<Vec<Done>, StoreError> {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Database::Postgres(database) => database.run(statements, end, tell).await,
            #[cfg(not(target_family = "wasm"))]
            Database::Sqlite(database) => database.run(statements, end).await,
            Database::D1(database) => database.run(statements, end).await,
        }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Database::Postgres(_) => Dialect::Postgres,
            #[cfg(not(target_family = "wasm"))]
            Database::Sqlite(_) => Dialect::Sqlite,
            Database::D1(_) => Dialect::Sqlite,
        }
    }

    /// How many connections there are.
    pub fn connections(&self) -> Connections {
        match self {
            #[cfg(not(target_family = "wasm"))]
            Database::Postgres(database) => database.connections(),
            #[cfg(not(target_family = "wasm"))]
            Database::Sqlite(database) => database.connections(),
            // It has none that would last.
            Database::D1(_) => Connections::default(),
        }
    }

    /// How many transactions at once are worth while.
    #[cfg(not(target_family = "wasm"))]
    fn lanes(&self) -> Lanes {
        match self {
            // Each of them holds a slot of the totals that no other has.
            Database::Postgres(_) => Lanes { under_way: 4, at_work: 2 },
            // One writer is all that they have.
            Database::Sqlite(_) | Database::D1(_) => Lanes { under_way: 1, at_work: 1 },
        }
    }
}

impl Core {
    /// Records postbacks in one transaction; the answers are in their order.
    #[cfg(not(target_family = "wasm"))]
    async fn record(
        &self,
        records: Vec<Record>,
        lane: Lane,
        at_work: Option<AtWork>,
    ) -> Result<Vec<Recorded>, StoreError> {
        in_time(RECORD_TIMEOUT, self.run(records, lane, End::Commit, || drop(at_work))).await
    }

    async fn run(
        &self,
        records: Vec<Record>,
        lane: Lane,
        end: End,
        tell: impl FnOnce(),
    ) -> Result<Vec<Recorded>, StoreError> {
        let entries: Vec<_> = records.into_iter().map(|record| self.ledger.entry(record)).collect();
        let receipts = ledger::receipts(&entries);
        let done = self.database.run_and_tell(self.ledger.statements(entries, lane), end, tell).await?;
        ledger::recorded(&receipts, done)
    }
}

impl Store {
    /// Opens the database at a location, creates it where it is missing, and brings its tables up to date. What a further
    /// event of a known conversion does is the policy's to say.
    ///
    /// # Errors
    /// When it cannot be reached, or a migration fails.
    pub async fn open(location: &Location, policy: DuplicatePolicy) -> Result<Store, StoreError> {
        Ok(Store::over(Database::open(location, Tables::Partner).await?, policy))
    }

    /// A store over a database whose tables are up to date.
    pub fn over(database: Database, policy: DuplicatePolicy) -> Store {
        let ledger = Ledger::new(database.dialect(), policy);
        #[cfg(not(target_family = "wasm"))]
        let lanes = database.lanes();
        let worklist = Worklist::new(database.dialect());
        let core = Arc::new(Core { database, ledger, worklist });
        Store {
            #[cfg(not(target_family = "wasm"))]
            groups: Groups::start(Arc::clone(&core), lanes),
            core,
        }
    }

    /// Records one postback, as the contract above says.
    ///
    /// # Errors
    /// Nothing was recorded, or, when time ran out, that is not known: the same request sent again finds out.
    pub async fn record(&self, record: Record) -> Result<Recorded, StoreError> {
        #[cfg(not(target_family = "wasm"))]
        return in_time(RECORD_TIMEOUT, self.groups.record(record)).await;
        // Each request of a Worker has a lifetime of its own, and none may wait for another's.
        #[cfg(target_family = "wasm")]
        only(in_time(RECORD_TIMEOUT, self.core.run(vec![record], Lane::NONE, End::Commit, || ())).await?)
    }

    /// Whether postbacks wait to be recorded now: what can wait better should.
    #[cfg(not(target_family = "wasm"))]
    pub fn is_pressed(&self) -> bool {
        self.groups.is_pressed()
    }

    /// Does everything that recording does, and undoes it: what it came to is what recording would have come to. Nothing
    /// remains, the nonce neither; a number that a sequence gave out may be missing afterwards.
    ///
    /// # Errors
    /// Recording would have failed.
    pub async fn rehearse(&self, record: Record) -> Result<Recorded, StoreError> {
        only(in_time(RECORD_TIMEOUT, self.core.run(vec![record], Lane::NONE, End::Undo, || ())).await?)
    }

    /// Records a batch of clicks, each once, as the contract above says.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub async fn record_clicks(&self, batch: &ClickBatch) -> Result<RecordedClicks, StoreError> {
        let statements = self.core.ledger.click_statements(batch);
        let done = in_time(RECORD_TIMEOUT, self.core.database.run(statements, End::Commit)).await?;
        Ok(ledger::recorded_clicks(batch, &done))
    }

    /// Stores a rejected request. It spends no nonce: a replay has no effect.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub async fn reject(&self, rejected: Rejected) -> Result<(), StoreError> {
        let statement = self.core.ledger.rejection_statement(rejected);
        in_time(RECORD_TIMEOUT, self.core.database.run(vec![statement], End::Commit)).await.map(|_| ())
    }

    /// Stores what the edge reports, in one transaction: rejected requests and batches of counts, each once however often it is reported.
    /// Returns how many rejected requests were new.
    ///
    /// # Errors
    /// As [`Store::record`].
    pub async fn record_report(&self, report: EdgeReport) -> Result<u64, StoreError> {
        let statements = self.core.ledger.report_statements(report);
        let done = in_time(RECORD_TIMEOUT, self.core.database.run(statements, End::Commit)).await?;
        Ok(done.first().map_or(0, |done| done.changed))
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        in_time(PING_TIMEOUT, async { on_each!(self.database(), database => database.ping().await) }).await
    }

    /// How many requests are stored that arrived at an instant or later, rejected direct ones included. What the edge rejected has a limit
    /// of its own ([`Store::count_edge_rejections`]).
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn count_postbacks(&self, since: Timestamp) -> Result<u64, StoreError> {
        in_time(PING_TIMEOUT, async { on_each!(self.database(), database => database.count_postbacks(since).await) })
            .await
    }

    /// Forgets nonces seen before an instant: their signatures have run out.
    ///
    /// # Errors
    /// Nothing was forgotten.
    pub async fn forget_nonces(&self, before: Timestamp) -> Result<u64, StoreError> {
        on_each!(self.database(), database => database.forget_nonces(before).await)
    }

    /// Drops requests as they were received that came before an instant (R59); events, conversions and their history stay.
    /// PostgreSQL drops whole months of those that reached a verdict, so what is dropped of them came at least a month before.
    ///
    /// # Errors
    /// Not all was dropped.
    pub async fn drop_postbacks(&self, before: Timestamp) -> Result<u64, StoreError> {
        on_each!(self.database(), database => database.drop_postbacks(before).await)
    }

    /// Makes ready for requests that come around an instant, where the database wants that said beforehand.
    ///
    /// # Errors
    /// It is not ready; requests are taken all the same.
    #[cfg_attr(target_family = "wasm", expect(unused_variables, reason = "for PostgreSQL"))]
    pub async fn make_ready(&self, now: Timestamp) -> Result<(), StoreError> {
        match self.database() {
            #[cfg(not(target_family = "wasm"))]
            Database::Postgres(database) => database.make_months(now).await,
            #[cfg(not(target_family = "wasm"))]
            Database::Sqlite(_) => Ok(()),
            Database::D1(_) => Ok(()),
        }
    }

    /// Lets running work end and closes every connection.
    pub async fn close(&self) {
        self.database().close().await;
    }

    /// The database itself, for commands and tests that look into it.
    pub fn database(&self) -> &Database {
        &self.core.database
    }
}
