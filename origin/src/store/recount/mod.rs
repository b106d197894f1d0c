//! Recounting: conversions and totals are made anew from what they are made of, and compared with what is stored. Conversions are a
//! function of their receipts ([`postback::conversion`]), totals a function of conversions. Whether they are evaluated as they should be
//! is compared by [`crate::recount`]: the rules are there.
//!
//! Both sides of a comparison come out of one statement, so they are of one moment, and postbacks may arrive meanwhile. Nothing here changes
//! a conversion: what differs is rebuilt ([`super::rebuild`]). Totals are replaced by [`Store::replace_totals`].

mod keys;
mod conversions;
mod evaluations;
mod totals;
mod night;

pub use conversions::{ConversionDifference, Found};
pub use evaluations::{HangsOn, Stands};
pub use keys::{Key, KeyPage, ROWS_MAX};
pub use night::{Night, Progress, RecountLease, Recounted};
pub use totals::{Compared, TOTALS_MAX, TotalDifference};

use super::limits::Limits;
use super::statement::{Column, Done, Statement};
use super::totals::turn_of_all_slots;
use super::{Store, StoreError};
use chrono::NaiveDate;
use postback::time::Timestamp;
use std::collections::HashSet;
use std::time::Duration;

/// A day of a million conversions takes one statement seconds.
const LIMITS: Limits = Limits { settings: &[("statement_timeout", "20000")], total: Duration::from_secs(60) };

impl Store {
    /// The next keys of conversions behind a key, in their order, at most [`ROWS_MAX`] rows of them; and the keys among them that are left
    /// in revisions alone.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn conversion_keys(&self, after: &str, changed_since: Timestamp) -> Result<KeyPage, StoreError> {
        let asked = keys::After { conversion_key: after.to_owned(), changed_since };
        let dialect = self.database().dialect();
        let mut page = keys::read(self.recounting(vec![keys::page(dialect).over(&[asked])]).await?)?;
        let span = page.span(after);
        let orphans = keys::orphans(dialect, &span).over(std::slice::from_ref(&span));
        page.add(keys::read_orphans(self.recounting(vec![orphans]).await?)?);
        Ok(page)
    }

    /// Folds the receipts of keys and compares what comes of them with what is stored: what senders state, which event was the last, and
    /// the history; not what was evaluated. A key whose rebuild is requested differs from nothing.
    ///
    /// # Errors
    /// The database cannot say. A receipt that cannot be read is a difference of its key.
    pub async fn recount_conversions(&self, keys: &[String]) -> Result<Vec<ConversionDifference>, StoreError> {
        let dialect = self.database().dialect();
        let done = self.recounting(vec![conversions::select(dialect).over(keys)]).await?;
        conversions::differences(&self.core.ledger.policy(), done)
    }

    /// How the conversions of keys stand, beside what their facts say.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn evaluations(&self, keys: &[String]) -> Result<Vec<Stands>, StoreError> {
        evaluations::read(self.recounting(vec![evaluations::select(self.database().dialect()).over(keys)]).await?)
    }

    /// The last events of those conversions of which something that they hang on has yet to be rebuilt or evaluated.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn waiting_of(&self, hang_on: &[HangsOn]) -> Result<HashSet<String>, StoreError> {
        let statement = evaluations::waiting(self.database().dialect()).over(hang_on);
        Ok(evaluations::read_waiting(self.recounting(vec![statement]).await?))
    }

    /// The first day of UTC, from one on, that has conversions or totals.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn next_day_of_totals(&self, from: NaiveDate) -> Result<Option<NaiveDate>, StoreError> {
        let days = [Day::of(from)?];
        totals::read_day(self.recounting(vec![totals::next_day(self.database().dialect()).over(&days)]).await?)
    }

    /// Compares the totals of a day of UTC with what its conversions come to: at most [`TOTALS_MAX`] rows of each table.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn recount_totals(&self, day: NaiveDate) -> Result<Vec<TotalDifference>, StoreError> {
        let dialect = self.database().dialect();
        let days = [Day::of(day)?];
        let mut differences = Vec::new();
        for table in super::totals::Table::ALL {
            let done = self.recounting(vec![totals::compare(dialect, table).over(&days)]).await?;
            differences.extend(totals::read(table, dialect, done)?);
        }
        Ok(differences)
    }

    /// Replaces the totals of a day of UTC by what its conversions come to. Whoever records or evaluates waits meanwhile.
    ///
    /// # Errors
    /// Nothing was replaced.
    pub async fn replace_totals(&self, day: NaiveDate) -> Result<(), StoreError> {
        let dialect = self.database().dialect();
        let days = [Day::of(day)?];
        let statements = totals::replace(dialect).into_iter().map(|step| step.over(&days));
        self.recounting(turn_of_all_slots(dialect).into_iter().chain(statements).collect()).await.map(|_| ())
    }

    async fn recounting(&self, statements: Vec<Statement>) -> Result<Vec<Done>, StoreError> {
        self.run_within(&LIMITS, statements).await
    }
}

/// A day of UTC.
#[derive(Clone, Copy, Debug)]
struct Day {
    from: Timestamp,
    to: Timestamp,
}

impl Day {
    const COLUMNS: &'static [Column<Day>] =
        &[Column::time("from_at", |day| Some(day.from)), Column::time("to_at", |day| Some(day.to))];

    fn of(date: NaiveDate) -> Result<Day, StoreError> {
        let midnight = |date: NaiveDate| {
            let instant = date.and_time(chrono::NaiveTime::MIN).and_utc();
            Timestamp::from_unix_ms(instant.timestamp_millis())
        };
        let day = || Some(Day { from: midnight(date)?, to: midnight(date.succ_opt()?)? });
        day().ok_or_else(|| StoreError::Bug(format!("{date} is no day of totals")))
    }
}
