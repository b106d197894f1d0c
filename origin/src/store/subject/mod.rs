//! A person's data, by the account that the person has with an advertiser (R63): finding it and erasing it.
//!
//! **What identifies the person goes, and money stays.** Erasing puts a random pseudonym in the place of the account, one for the
//! whole of the database, and drops what else tells of the person: marks of publishers, installation, visit, country, device,
//! requests as they were received. Conversions keep their ids, amounts, status and judgement, so sums, totals and first deposits
//! come to what they came to, and a repeat of an erased event is a duplicate.
//!
//! **One transaction, and a short one.** What no index finds (events by account, requests by their text) is looked for beforehand,
//! a page at a time, and holds nobody up. The transaction then works by key. Postbacks and judgements take their turn behind it,
//! so that none of them brings back what it read before.
//!
//! **Conversions stay what their events come to.** What is taken out of an event is taken out of its conversion as well. Where a
//! conversion was folded from events of several persons, a rebuild of it is requested in the same transaction.

mod account;
mod rows;
mod find;
mod erase;

pub use account::Account;
pub(super) use erase::AS_RECEIVED;
pub use erase::{Erasing, erasing_sql};
pub use find::{Found, finding_sql};
pub use rows::columns;

use super::limits::Limits;
use super::statement::{Column, Statement, Step};
use super::totals::turn_of_all_slots;
use super::{Database, Store, StoreError};
use find::{Page, Sought};
use postback::time::Timestamp;
use std::collections::BTreeMap;
use std::time::Duration;

/// Those of a command, not of a request.
const LIMITS: Limits =
    Limits { settings: &[("statement_timeout", "60000"), ("lock_timeout", "60000")], total: Duration::from_secs(120) };

/// A row that the statements about a subject work on: whose data is meant, and one thing to look for.
#[derive(Clone, Debug, Default)]
struct Asked {
    account_id: String,
    /// The account, where it is long enough to be found within other texts.
    part: Option<String>,
    pseudonym: Option<String>,
    /// Behind which row a page begins.
    after: Option<String>,
    /// A text that tells of the account in a request.
    needle: Option<String>,
    /// The key of a row that was found.
    id: Option<String>,
    at: Option<Timestamp>,
}

const ASKED: &[Column<Asked>] = &[
    Column::text("account_id", |asked| Some(asked.account_id.clone())),
    Column::text("part", |asked| asked.part.clone()),
    Column::text("pseudonym", |asked| asked.pseudonym.clone()),
    Column::text("after_key", |asked| asked.after.clone()),
    Column::text("needle", |asked| asked.needle.clone()),
    Column::text("id", |asked| asked.id.clone()),
    Column::time("at", |asked| asked.at),
];

/// What an erasure did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// How many rows of each table were changed.
    pub rows: BTreeMap<&'static str, u64>,
    /// The keys of conversions that are folded again from what is left: a rebuild of each was requested.
    pub to_rebuild: Vec<String>,
}

impl Store {
    /// All that is stored about an account, whole rows. `progress` hears how many rows were looked at.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn find_subject(&self, account: &Account, mut progress: impl FnMut(u64)) -> Result<Found, StoreError> {
        let dialect = self.database().dialect();
        let mut found = Found::default();
        let mut looked_at: u64 = 0;
        self.scan(find::events(dialect), "events", "", account, &mut found, &mut looked_at, &mut progress).await?;
        for (table, step) in find::by_key(dialect, Sought::Given) {
            let rows = account.with_ids(found.keys("events"));
            found.add(table, self.of_subject(vec![step.over(&rows)]).await?)?;
        }
        self.scan(find::postbacks(dialect), "postbacks", "0", account, &mut found, &mut looked_at, &mut progress)
            .await?;
        let rows = account.with_ids(found.keys("events"));
        found.add("postbacks", self.of_subject(vec![find::postbacks_of_events(dialect).over(&rows)]).await?)?;
        self.scan(find::rejections(dialect), "rejections", "0", account, &mut found, &mut looked_at, &mut progress)
            .await?;
        found.add("rejections", self.of_subject(vec![find::rejections_by_ids(dialect).over(&rows)]).await?)?;
        let rows = account.with_ids(found.keys("postbacks"));
        found.add("rejections", self.of_subject(vec![find::rejections_of_postbacks(dialect).over(&rows)]).await?)?;
        self.scan(find::rereads(dialect), "reread_requests", "0", account, &mut found, &mut looked_at, &mut progress)
            .await?;
        Ok(found)
    }

    /// Erases what was found about an account, and what came since that an index finds. Conversions that are still to be folded again
    /// may have some of it until they are.
    ///
    /// # Errors
    /// Nothing was erased, or, when time ran out, that is not known: asked again, it is done or found out.
    pub async fn erase_subject(&self, erasing: &Erasing, found: &Found) -> Result<Erased, StoreError> {
        let dialect = self.database().dialect();
        let steps = erase::steps(dialect, Sought::Given);
        let tables: Vec<_> = steps.iter().map(|step| step.table).collect();
        let statements = steps.iter().map(|step| step.statement.over(&erasing.rows(found.keys(step.input)))).collect();
        let before = turn_of_all_slots(dialect);
        let skipped = usize::from(before.is_some());
        let done = self.of_subject(before.into_iter().chain::<Vec<_>>(statements).collect()).await?;
        let mut erased = Erased::default();
        for (table, done) in tables.into_iter().zip(done.into_iter().skip(skipped)) {
            let count: &mut u64 = erased.rows.entry(table).or_default();
            *count = count.saturating_add(done.changed);
            erased.to_rebuild.extend(done.answers.into_iter().map(|(conversion_key, _)| conversion_key));
        }
        Ok(erased)
    }

    /// In how many ids of conversions, events and clicks an erased account still stands: they stay, because they are what makes a
    /// repeat harmless.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn ids_with_subject(&self, erasing: &Erasing) -> Result<u64, StoreError> {
        let statement = erase::left(self.database().dialect()).over(&erasing.rows(Vec::new()));
        let done = self.of_subject(vec![statement]).await?;
        let counts = done.iter().flat_map(|done| &done.answers).filter_map(|(_, count)| count.parse::<u64>().ok());
        Ok(counts.sum())
    }

    /// Writes a SQLite file anew: what was erased is left in its free space until then. Postbacks wait meanwhile. Other databases see to
    /// that by themselves.
    ///
    /// # Errors
    /// The file is as it was.
    pub async fn rewrite(&self) -> Result<(), StoreError> {
        match self.database() {
            Database::Sqlite(database) => database.rewrite().await,
            Database::Postgres(_) | Database::D1(_) => Ok(()),
        }
    }

    /// Reads a table page by page and keeps the rows that a statement answers.
    #[expect(clippy::too_many_arguments, reason = "one loop for four tables")]
    async fn scan(
        &self,
        step: Step<Asked>,
        table: &'static str,
        first: &str,
        account: &Account,
        found: &mut Found,
        looked_at: &mut u64,
        progress: &mut impl FnMut(u64),
    ) -> Result<(), StoreError> {
        let mut after = first.to_owned();
        loop {
            let done = self.of_subject(vec![step.over(&account.after(&after))]).await?;
            let Page { rows, last, count } = find::page(done)?;
            found.add_rows(table, rows)?;
            *looked_at = looked_at.saturating_add(count);
            progress(*looked_at);
            match last {
                Some(last) => after = last,
                None => return Ok(()),
            }
        }
    }

    async fn of_subject(&self, statements: Vec<Statement>) -> Result<Vec<super::statement::Done>, StoreError> {
        self.run_within(&LIMITS, statements).await
    }
}
