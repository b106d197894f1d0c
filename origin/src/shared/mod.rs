//! What all partners share, in a database of its own (R46): who may send and read, what the partner files say, and who changed
//! it.
//!
//! A postback does not wait for it. What is in force is kept in memory and read anew every few seconds; where the database is
//! away, what was known goes on to hold. So a new token is believed at once, and a revoked one for [`BELIEVED_MS`] at most.

mod credential;
mod audit;
mod rates;
mod rate_changes;
#[cfg(not(target_family = "wasm"))]
mod seen;
mod statements;

pub use audit::{Change, Entry};
pub use credential::{Credential, Issue, Kind, Made, Scope, Secret};
pub use rate_changes::{ByCurrency, COMPARED_DAYS, RateChange, Source, too_large};
pub use rates::{Problem, Quote, RateFile, read_ecb, read_rate, refuse_day};
#[cfg(not(target_family = "wasm"))]
pub use seen::{Difference, Key, Seen};

use crate::processing::Rates;
use crate::store::location::Location;
use crate::store::statement::{Dialect, Done, Statement};
use crate::store::{Database, End, StoreError, Tables, in_time};
use chrono::{Days, NaiveDate};
use credential::Kept;
use postback::credential::digest;
use postback::partner::Partner;
use postback::time::Timestamp;
use rust_decimal::Decimal;
use statements::Statements;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OnceCell;

/// The database's name.
pub const NAME: &str = "bytec_db";
/// How long what is known is believed without reading it again, in milliseconds.
const BELIEVED_MS: i64 = 10_000;
/// How new it must be to say of a secret that there is none, in milliseconds: whoever guesses has it read as often as that.
const DENIED_MS: i64 = 1_000;
/// How long no request asks after the database has failed to answer, in milliseconds: longer than [`READ_EVERY`], so that where
/// that goes on no request waits for it.
const SPARED_MS: i64 = 6_000;
/// How often a host that can reads by itself, so that no request has to.
pub const READ_EVERY: Duration = Duration::from_secs(5);
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(1_000);

/// Rates in one statement.
const QUOTES_MAX: usize = 10_000;
/// The same in a statement for D1, which takes 100 KB at most.
const QUOTES_MAX_D1: usize = 500;
/// Days of rates that are read at once, after the first.
const DAYS_AT_ONCE: u64 = 999;
/// How long the import of all rates that there ever were may take.
const IMPORT_TIMEOUT: Duration = Duration::from_secs(120);
/// How long what a person has asked for may take.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// The shared database.
#[derive(Debug)]
pub struct Shared {
    location: Location,
    opened: OnceCell<Opened>,
    known: Mutex<Known>,
    /// Several who need the same have it read once. In a Worker nobody may wait for what another request does.
    #[cfg(not(target_family = "wasm"))]
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Opened {
    database: Database,
    statements: Statements,
}

/// What was last read of it.
#[derive(Debug, Default)]
struct Known {
    /// By the digest of the secret. Whoever could choose a secret for its digest could find the secret.
    credentials: HashMap<[u8; 32], Credential>,
    /// When it was last read, in Unix milliseconds.
    read_ms: Option<i64>,
    /// When it last failed to answer since, in Unix milliseconds.
    failed_ms: Option<i64>,
    /// Which credentials were used since, and when.
    used: BTreeMap<String, Timestamp>,
}

impl Shared {
    /// The shared database at a place, not opened yet.
    pub fn at(location: Location) -> Shared {
        Shared {
            location,
            opened: OnceCell::new(),
            known: Mutex::default(),
            #[cfg(not(target_family = "wasm"))]
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// Opens it where it is not open yet, migrations however long they take.
    ///
    /// # Errors
    /// When it cannot be reached, or a migration fails.
    pub async fn open(&self) -> Result<(), StoreError> {
        self.opened().await.map(|_| ())
    }

    async fn opened(&self) -> Result<&Opened, StoreError> {
        let open = async || {
            let database = Database::open(&self.location, Tables::Shared).await?;
            Ok(Opened { statements: Statements::new(database.dialect()), database })
        };
        self.opened.get_or_try_init(open).await
    }

    /// Whether it answers.
    ///
    /// # Errors
    /// It does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        let asked = async {
            let Opened { database, statements } = self.opened().await?;
            database.run(vec![statements.one_credential("")], End::Commit).await
        };
        in_time(ANSWER_TIMEOUT, asked).await.map(|_| ())
    }

    /// The credential of a secret, if it is in force.
    ///
    /// # Errors
    /// That is not known: it is none of those that were read, and the database does not answer now.
    pub async fn find(&self, secret: &str, now: Timestamp) -> Result<Option<Credential>, StoreError> {
        let digest = digest(secret);
        for age_ms_max in [BELIEVED_MS, DENIED_MS] {
            self.read_if_older(age_ms_max, now).await;
            if let Some(credential) = self.in_memory(&digest, now) {
                return Ok(Some(credential));
            }
        }
        if self.known().is_newer(DENIED_MS, now) {
            Ok(None)
        } else {
            Err(StoreError::Unavailable("tokens and keys cannot be read".to_owned()))
        }
    }

    async fn read_if_older(&self, age_ms_max: i64, now: Timestamp) {
        let is_due = || {
            let known = self.known();
            !known.is_newer(age_ms_max, now) && !known.has_just_failed(now)
        };
        if is_due() {
            #[cfg(not(target_family = "wasm"))]
            let _turn = self.turn.lock().await;
            // Whoever had the turn before has seen to it, or has found that it cannot be done.
            if is_due() {
                self.try_to_read(now).await;
            }
        }
    }

    /// Reads what is in force, whether or not it is time to.
    pub async fn read_again(&self, now: Timestamp) {
        #[cfg(not(target_family = "wasm"))]
        let _turn = self.turn.lock().await;
        self.try_to_read(now).await;
    }

    async fn try_to_read(&self, now: Timestamp) {
        if let Err(error) = self.read(now).await {
            tracing::warn!(reason = %error, "tokens and keys could not be read; those that are known hold");
            self.known().failed_ms = Some(now.unix_ms());
        }
    }

    fn in_memory(&self, digest: &[u8; 32], now: Timestamp) -> Option<Credential> {
        let mut known = self.known();
        let credential =
            known.credentials.get(digest).filter(|credential| credential.is_in_force(now.unix_s()))?.clone();
        known.used.insert(credential.id.clone(), now);
        Some(credential)
    }

    /// Reads what is in force; then notes what was used since, which is of less account and must not keep it from being read.
    async fn read(&self, now: Timestamp) -> Result<(), StoreError> {
        let Opened { database, statements } = in_time(ANSWER_TIMEOUT, self.opened()).await?;
        let done = in_time(ANSWER_TIMEOUT, database.run(vec![statements.in_force(now)], End::Commit)).await?;
        let kept = kept(done)?;
        let credentials = kept.into_iter().map(|(credential, digest)| (digest, credential)).collect();
        {
            let mut known = self.known();
            known.credentials = credentials;
            known.read_ms = Some(now.unix_ms());
            known.failed_ms = None;
        }
        let used = std::mem::take(&mut self.known().used);
        if used.is_empty() {
            return Ok(());
        }
        let noting = database.run(vec![statements.note_use(used.clone())], End::Commit);
        if let Err(error) = in_time(ANSWER_TIMEOUT, noting).await {
            tracing::warn!(reason = %error, "when tokens and keys were last used could not be noted; trying again");
            let mut known = self.known();
            for (id, at) in used {
                // What was used meanwhile is newer.
                known.used.entry(id).or_insert(at);
            }
        }
        Ok(())
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes now which credentials were used, instead of when they are next read.
    pub async fn note_use(&self, now: Timestamp) {
        if !self.known().used.is_empty()
            && let Err(error) = self.read(now).await
        {
            tracing::warn!(reason = %error, "when tokens and keys were last used could not be noted");
        }
    }

    /// Makes a credential, and notes it.
    ///
    /// # Errors
    /// It was not made.
    pub async fn create(&self, made: &Made, change: &Change) -> Result<(), StoreError> {
        self.change(|statements| statements.create(made, change)).await.map(|_| ())
    }

    /// Makes a credential in the place of another of the kind, which goes on to hold until an instant at most. False where there is
    /// no such credential in force, or another has taken its place, and nothing was changed.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn rotate(
        &self,
        kind: Kind,
        old_id: &str,
        until: Timestamp,
        issue: &Issue,
        change: &Change,
    ) -> Result<bool, StoreError> {
        self.change(|statements| statements.rotate(kind, old_id, until, issue, change)).await
    }

    /// Ends a credential of the kind now. False where there is none of that id that was not revoked, and nothing was changed.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn revoke(&self, kind: Kind, id: &str, change: &Change) -> Result<bool, StoreError> {
        self.change(|statements| statements.revoke(kind, id, change)).await
    }

    /// Takes over what the partner files say. Each that differs from what was known is noted.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn sync(&self, partners: &[Partner], change: &Change) -> Result<(), StoreError> {
        self.change(|statements| statements.sync(partners, change)).await.map(|_| ())
    }

    /// Whether the first of the statements wrote anything.
    async fn change(&self, statements: impl FnOnce(&Statements) -> Vec<Statement>) -> Result<bool, StoreError> {
        let Opened { database, statements: known } = self.opened().await?;
        let done = in_time(COMMAND_TIMEOUT, database.run(statements(known), End::Commit)).await?;
        Ok(done.first().is_some_and(|done| done.changed > 0))
    }

    /// Every credential, those that are no longer in force too, the oldest first.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn list(&self) -> Result<Vec<(Credential, [u8; 32])>, StoreError> {
        let Opened { database, statements } = self.opened().await?;
        let done = in_time(COMMAND_TIMEOUT, database.run(vec![statements.all_credentials()], End::Commit)).await?;
        kept(done)
    }

    /// Takes over rates, and notes that; answers how many were new or not as they were. `forced` is how many of them differ too much
    /// from those around them, for the audit log. What the rates are is not checked here: [`read_ecb`] and [`too_large`] do.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn import_rates(&self, quotes: &[Quote], forced: usize, change: &Change) -> Result<u64, StoreError> {
        let Opened { database, statements } = self.opened().await?;
        let statements = statements.import_rates(quotes, forced, QUOTES_MAX, change);
        let imports = statements.len().saturating_sub(1);
        let done = in_time(IMPORT_TIMEOUT, database.run(statements, End::Commit)).await?;
        Ok(done.iter().take(imports).map(|done| done.changed).sum())
    }

    /// Deletes the rates of a day, of one currency or of all, and notes that with `details` and the rates as they were. False where
    /// there were none.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn delete_rates(
        &self,
        day: NaiveDate,
        currency: Option<&str>,
        details: &serde_json::Value,
        change: &Change,
    ) -> Result<bool, StoreError> {
        self.change(|statements| statements.delete_rates(day, currency, details, change)).await
    }

    /// Sets a rate, whether there was one or none, and notes that with `details` and the rate as it was. False where it was the same.
    ///
    /// # Errors
    /// Nothing was changed.
    pub async fn set_rate(
        &self,
        quote: &Quote,
        details: &serde_json::Value,
        change: &Change,
    ) -> Result<bool, StoreError> {
        self.change(|statements| statements.set_rate(quote, details, change)).await
    }

    /// Notes what an operator did that is seen elsewhere.
    ///
    /// # Errors
    /// It was not noted.
    pub async fn note(
        &self,
        action: &str,
        subject: &str,
        details: &serde_json::Value,
        change: &Change,
    ) -> Result<(), StoreError> {
        self.change(|statements| vec![statements.note_operation(action, subject, details, change)]).await.map(|_| ())
    }

    /// The rates of the days from one to another. Rates of days after `as_of` are not read, nor do they make others final: an earlier
    /// version may have imported a day in the future.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn rates(&self, first: NaiveDate, last: NaiveDate, as_of: NaiveDate) -> Result<Rates, StoreError> {
        let mut rates = Rates::default();
        for (id, rate) in self.rates_read(first, last, as_of).await? {
            match id {
                Id::Rate(day, currency) => rates.add(day, &currency, read_stored(&rate)?),
                Id::LastDay(day) if rate.is_empty() => rates.has_through(day),
                Id::LastDay(day) => rates.has_currency_on(day, &rate),
            }
        }
        Ok(rates)
    }

    /// The stored rates that those of the days from one to another are to be compared with: of these days and of the ones around them,
    /// up to `as_of`.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn rates_near(
        &self,
        first: NaiveDate,
        last: NaiveDate,
        as_of: NaiveDate,
    ) -> Result<ByCurrency, StoreError> {
        let days = Days::new(COMPARED_DAYS);
        let last = last.checked_add_days(days).unwrap_or(last);
        let mut near = ByCurrency::new();
        let mut next = first.checked_sub_days(days).unwrap_or(first);
        // So many days at a time: a statement on PostgreSQL has 1.5 s.
        while next <= last {
            let until = next.checked_add_days(Days::new(DAYS_AT_ONCE)).unwrap_or(last).min(last);
            for (id, rate) in self.rates_read(next, until, as_of).await? {
                if let Id::Rate(day, currency) = id {
                    near.entry(currency).or_default().insert(day, read_stored(&rate)?);
                }
            }
            let Some(following) = until.succ_opt() else { break };
            next = following;
        }
        Ok(near)
    }

    async fn rates_read(
        &self,
        first: NaiveDate,
        last: NaiveDate,
        as_of: NaiveDate,
    ) -> Result<Vec<(Id, String)>, StoreError> {
        let Opened { database, statements } = self.opened().await?;
        let statement = statements.rates(first, last, as_of);
        let done = in_time(COMMAND_TIMEOUT, database.run(vec![statement], End::Commit)).await?;
        let answers = done.into_iter().flat_map(|done| done.answers);
        answers.map(|(id, rate)| Ok((Id::read(&id)?, rate))).collect()
    }

    /// When rates were last imported that were new or not as they were.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn last_import(&self) -> Result<Option<Timestamp>, StoreError> {
        let Opened { database, statements } = self.opened().await?;
        let done = in_time(ANSWER_TIMEOUT, database.run(vec![statements.last_import()], End::Commit)).await?;
        let second = done.into_iter().flat_map(|done| done.answers).next().and_then(|(_, second)| second.parse().ok());
        Ok(second.and_then(|second: i64| Timestamp::from_unix_ms(second.saturating_mul(1000))))
    }

    /// The last entries of the audit log, the oldest first.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn audit(&self, limit: u32) -> Result<Vec<Entry>, StoreError> {
        let Opened { database, statements } = self.opened().await?;
        let done = in_time(COMMAND_TIMEOUT, database.run(vec![statements.last_entries(limit)], End::Commit)).await?;
        let answers = done.into_iter().flat_map(|done| done.answers);
        answers
            .map(|(_, entry)| serde_json::from_str(&entry).map_err(|error| StoreError::Bug(error.to_string())))
            .collect()
    }

    /// Closes it, after what is running has ended.
    pub async fn close(&self) {
        if let Some(Opened { database, .. }) = self.opened.get() {
            database.close().await;
        }
    }
}

/// What an answer of the statement for rates is about.
enum Id {
    Rate(NaiveDate, String),
    LastDay(NaiveDate),
}

impl Id {
    fn read(id: &str) -> Result<Id, StoreError> {
        let day = |text: &str| text.parse().map_err(|_| StoreError::Bug(format!("{id:?} is no day of a rate")));
        Ok(match id.split_once(' ') {
            Some((date, currency)) => Id::Rate(day(date)?, currency.to_owned()),
            None => Id::LastDay(day(id)?),
        })
    }
}

fn read_stored(rate: &str) -> Result<Decimal, StoreError> {
    rate.parse().map_err(|_| StoreError::Bug(format!("{rate:?} is no rate")))
}

impl Known {
    /// Whether it was read within so many milliseconds. Requests that came at once may have clocks a little apart.
    fn is_newer(&self, age_ms_max: i64, now: Timestamp) -> bool {
        self.read_ms.is_some_and(|read_ms| is_within(read_ms, age_ms_max, now))
    }

    fn has_just_failed(&self, now: Timestamp) -> bool {
        self.failed_ms.is_some_and(|failed_ms| is_within(failed_ms, SPARED_MS, now))
    }
}

fn is_within(at_ms: i64, ms: i64, now: Timestamp) -> bool {
    now.unix_ms().abs_diff(at_ms) < ms.unsigned_abs()
}

/// The statements of a change as SQL for SQLite, for a database that no command reaches: D1, by `wrangler d1 execute`.
pub struct AsSql(Statements);

impl AsSql {
    /// For D1.
    pub fn for_d1() -> AsSql {
        AsSql(Statements::new(Dialect::Sqlite))
    }

    /// As [`Shared::create`].
    pub fn create(&self, made: &Made, change: &Change) -> String {
        text(self.0.create(made, change))
    }

    /// As [`Shared::rotate`].
    pub fn rotate(&self, kind: Kind, old_id: &str, until: Timestamp, issue: &Issue, change: &Change) -> String {
        text(self.0.rotate(kind, old_id, until, issue, change))
    }

    /// As [`Shared::import_rates`].
    pub fn import_rates(&self, quotes: &[Quote], forced: usize, change: &Change) -> String {
        text(self.0.import_rates(quotes, forced, QUOTES_MAX_D1, change))
    }

    /// As [`Shared::delete_rates`].
    pub fn delete_rates(&self, day: NaiveDate, currency: Option<&str>, change: &Change) -> String {
        text(self.0.delete_rates(day, currency, &by_sql(), change))
    }

    /// As [`Shared::set_rate`].
    pub fn set_rate(&self, quote: &Quote, change: &Change) -> String {
        text(self.0.set_rate(quote, &by_sql(), change))
    }

    /// As [`Shared::note`].
    pub fn note(&self, action: &str, subject: &str, details: &serde_json::Value, change: &Change) -> String {
        text(vec![self.0.note_operation(action, subject, details, change)])
    }

    /// As [`Shared::revoke`].
    pub fn revoke(&self, kind: Kind, id: &str, change: &Change) -> String {
        text(self.0.revoke(kind, id, change))
    }
}

/// Nobody could look at how much a change concerns before its statements are run.
fn by_sql() -> serde_json::Value {
    serde_json::json!({"by": "sql"})
}

fn text(statements: Vec<Statement>) -> String {
    statements.iter().map(|statement| format!("{};\n", statement.as_sqlite())).collect()
}

/// The credentials that statements answer, each with the digest of its secret.
fn kept(done: Vec<Done>) -> Result<Vec<(Credential, [u8; 32])>, StoreError> {
    let mut credentials = Vec::new();
    for (id, json) in done.into_iter().flat_map(|done| done.answers) {
        let kept = kept_of(id, &json)?;
        if let Some(digest) = kept.digest() {
            credentials.push((kept.credential, digest));
        }
    }
    Ok(credentials)
}

fn kept_of(id: String, json: &str) -> Result<Kept, StoreError> {
    Kept::read(id, json).map_err(|error| StoreError::Bug(error.to_string()))
}
