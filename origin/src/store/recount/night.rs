//! The recounts of the nights (table `recounts`): one origin has the lease of a night's recount, and saves how far it came with each page. An
//! origin that stops loses the lease, and another one goes on from there. A lease says who recounts, and guards nothing else: two recounts at
//! once would do no harm.

use super::super::statement::{Column, Dialect, Step, read_json};
use super::super::{End, Store, StoreError, in_time};
use chrono::{Days, NaiveDate};
use postback::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::time::Duration;

/// How long the question about the last recount may take: Prometheus asks it.
const LAST_TIMEOUT: Duration = Duration::from_secs(1);
/// How many nights are remembered.
const NIGHTS_KEPT: Days = Days::new(100);

/// The lease of a night's recount.
#[derive(Clone, Debug)]
pub struct RecountLease {
    /// The date of the night in UTC.
    pub day: NaiveDate,
    /// The name of who has it.
    pub id: String,
    /// Now.
    pub now: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// How far a recount came, and what it found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// When it began, in Unix milliseconds.
    pub began_ms: i64,
    /// Every conversion that changed since then is recounted, in Unix milliseconds.
    pub changed_since_ms: i64,
    /// The last key that was looked at; none where all were.
    pub after_key: Option<String>,
    /// Days of UTC whose totals are still to be recounted, as `2025-11-21`.
    pub days: BTreeSet<String>,
    /// Keys of conversions that were recounted.
    pub keys: u64,
    /// Days whose totals were recounted.
    pub days_done: u64,
    /// Conversions and revisions that differ.
    pub conversions_differ: u64,
    /// Rows of totals that differ.
    pub totals_differ: u64,
    /// Hashes of the keys that differed when they were last looked at, before this night: they are looked at again. Hashes, because a key
    /// may be about a person.
    #[serde(default)]
    pub again: BTreeSet<u32>,
    /// Hashes of the keys that differ.
    #[serde(default)]
    pub differing_keys: BTreeSet<u32>,
    /// Days whose totals differ.
    #[serde(default)]
    pub differing_days: BTreeSet<String>,
}

/// A recount that was finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recounted {
    /// When, in Unix seconds.
    pub finished_s: i64,
    /// What it found.
    pub progress: Progress,
}

/// A night's recount, as a row of its table.
#[derive(Clone, Debug)]
pub struct Night {
    /// Who has it.
    pub lease: RecountLease,
    /// How far it came.
    pub progress: Progress,
    /// When it was finished; none while there is something left to do.
    pub finished_at: Option<Timestamp>,
}

const COLUMNS: &[Column<Night>] = &[
    Column::text("day", |night| Some(night.lease.day.to_string())),
    Column::text("kept_from", |night| {
        Some(night.lease.day.checked_sub_days(NIGHTS_KEPT).unwrap_or(night.lease.day).to_string())
    }),
    Column::text("lease_id", |night| Some(night.lease.id.clone())),
    Column::time("asked_at", |night| Some(night.lease.now)),
    Column::time("leased_until", |night| Some(night.lease.until)),
    Column::json("progress", |night| serde_json::json!(night.progress).to_string()),
    Column::time("finished_at", |night| night.finished_at),
];

impl Store {
    /// Leases a night's recount, to begin it or to go on with it, and forgets nights long ago. None where it is finished or another one has
    /// it. `fresh` is how far it came where nobody has begun it.
    ///
    /// # Errors
    /// It is not leased, or, when time ran out, that is not known: then the lease ends by itself.
    pub async fn lease_recount(&self, lease: &RecountLease, fresh: Progress) -> Result<Option<Progress>, StoreError> {
        let dialect = self.database().dialect();
        let night = [Night { lease: lease.clone(), progress: fresh, finished_at: None }];
        let done = self.recounting(vec![forget(dialect).over(&night), take(dialect).over(&night)]).await?;
        let answer = done.into_iter().flat_map(|done| done.answers).next();
        answer.map(|(_, progress)| read_json("how far a recount came", &progress)).transpose()
    }

    /// Saves how far a night's recount came. False where another one has the lease by now, and nothing was saved.
    ///
    /// # Errors
    /// Nothing was saved.
    pub async fn save_recount(&self, night: &Night) -> Result<bool, StoreError> {
        let statement = save(self.database().dialect()).over(std::slice::from_ref(night));
        let done = self.recounting(vec![statement]).await?;
        Ok(done.into_iter().any(|done| !done.answers.is_empty()))
    }

    /// How far the last recount of a night before one came, finished or not; none where there was none.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn recount_before(&self, day: NaiveDate) -> Result<Option<Progress>, StoreError> {
        let done = self.recounting(vec![before(self.database().dialect()).over(&[day])]).await?;
        let answer = done.into_iter().flat_map(|done| done.answers).next();
        answer.map(|(_, progress)| read_json("how far a recount came", &progress)).transpose()
    }

    /// The last night's recount that was finished; none where there was none yet.
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn last_recount(&self, now: Timestamp) -> Result<Option<Recounted>, StoreError> {
        #[derive(Deserialize)]
        struct Row {
            finished_s: i64,
            progress: String,
        }
        let statement = last(self.database().dialect()).over(&[now]);
        let done = in_time(LAST_TIMEOUT, self.database().run(vec![statement], End::Commit)).await?;
        let answer = done.into_iter().flat_map(|done| done.answers).next();
        let recounted = |(_, answer): (String, String)| {
            let Row { finished_s, progress } = read_json("a recount", &answer)?;
            Ok(Recounted { finished_s, progress: read_json("how far a recount came", &progress)? })
        };
        answer.map(recounted).transpose()
    }
}

fn forget(dialect: Dialect) -> Step<Night> {
    let kept_from = dialect.date("(select kept_from from input)");
    Step::new(dialect, COLUMNS, &format!("delete from recounts where day < {kept_from}"))
}

fn take(dialect: Dialect) -> Step<Night> {
    let statement = format!(
        "insert into recounts (day, lease_id, leased_until, progress)
         select {}, input.lease_id, input.leased_until, input.progress from input where true
         on conflict (day) do update set lease_id = excluded.lease_id, leased_until = excluded.leased_until
         where recounts.finished_at is null
            and (recounts.leased_until <= (select asked_at from input) or recounts.lease_id = excluded.lease_id)
         returning cast(day as text) as id, cast(progress as text) as answer",
        dialect.date("input.day"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

fn save(dialect: Dialect) -> Step<Night> {
    let statement = format!(
        "update recounts set leased_until = input.leased_until, progress = input.progress, finished_at = input.finished_at
         from input where recounts.day = {} and recounts.lease_id = input.lease_id and recounts.finished_at is null
         returning cast(recounts.day as text) as id, 'saved' as answer",
        dialect.date("input.day"),
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

fn before(dialect: Dialect) -> Step<NaiveDate> {
    const COLUMNS: &[Column<NaiveDate>] = &[Column::text("day", |day| Some(day.to_string()))];
    let day = dialect.date("(select day from input)");
    let statement = format!(
        "select 'recount' as id, cast(progress as text) as answer from recounts where day < {day} order by day desc limit 1"
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

fn last(dialect: Dialect) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("asked_at", |now| Some(*now))];
    let recount = dialect.json_object(&[
        ("finished_s", dialect.unix_s("finished_at")),
        ("progress", "cast(progress as text)".to_owned()),
    ]);
    let statement = format!(
        "select 'recount' as id, {recount} as answer from recounts
         where finished_at is not null and finished_at <= (select asked_at from input) order by day desc limit 1"
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}
