//! Rebuilding conversions whose receipts were not stored in their order: all receipts of a key are folded again
//! ([`postback::conversion`]), and what comes of them takes the place of what stood there, with its history and its totals.
//!
//! Recording a late receipt requests a rebuild (table `rebuilds`) in its own transaction, so none is forgotten. However many receipts
//! come late, there is one request for each key. A request has a generation that grows with each further receipt; a fold is written only
//! where the generation is the one that it was read with, so that two origins may rebuild one key at the same time. It begins at random: a
//! request that comes after another has ended is another one, and who has read the one before may not write.

mod read;
mod write;

pub(super) use read::{Receipts, receipts_and};
pub(super) use write::{CONVERSION, ConversionRow, REVISION, RevisionRow, folded_rows};
#[cfg(not(target_family = "wasm"))]
pub(super) use write::{Key, phases, turns};

use super::limits::Limits;
use super::statement::{Column, Dialect, Step, read_json};
use super::{End, Store, StoreError, in_time};
use postback::conversion::fold;
use postback::time::Timestamp;
use serde::Deserialize;
use std::time::Duration;

/// Requests that are taken up in one round.
pub const REBUILDS_MAX: usize = 50;
/// As many receipts as a conversion has are read and written by one statement.
const LIMITS: Limits = Limits { settings: &[("statement_timeout", "15000")], total: Duration::from_secs(20) };

/// A rebuild that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The key of the conversions.
    pub conversion_key: String,
    /// How often it failed.
    pub attempts: u32,
}

/// A rebuild that failed.
#[derive(Clone, Debug)]
pub struct Postponed {
    /// The key of the conversions.
    pub conversion_key: String,
    /// When it is tried again.
    pub due_at: Timestamp,
    /// What went wrong.
    pub reason: String,
}

/// What became of a rebuild.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rebuilt {
    /// It was written.
    Written {
        /// How many receipts were folded.
        receipts: usize,
    },
    /// A further receipt came meanwhile, or another origin was quicker: nothing was written, and what is left to do is still requested.
    Outdated,
    /// Nobody has requested it, or another origin has done it.
    NotRequested,
}

/// What a rebuild does where further receipts were stored after it had read them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// It writes nothing: those receipts, where they are the newest, are applied already.
    Refused,
    /// It writes what the receipts that it has read come to, and is requested as before: for a conversion whose receipts come faster than
    /// they are folded. What came meanwhile is in the next one.
    Accepted,
}

impl Store {
    /// The rebuilds that are due, the longest due first, at most [`REBUILDS_MAX`].
    ///
    /// # Errors
    /// The database cannot say.
    pub async fn due_rebuilds(&self, now: Timestamp) -> Result<Vec<Due>, StoreError> {
        let statements = vec![due(self.database().dialect()).over(&[now])];
        let done = in_time(LIMITS.total, self.database().run(statements, End::Commit)).await?;
        let due = |(conversion_key, attempts): (String, String)| {
            let attempts = attempts.parse();
            let attempts = attempts.map_err(|_| StoreError::Bug("a number of attempts that is none".to_owned()))?;
            Ok(Due { conversion_key, attempts })
        };
        done.into_iter().flat_map(|done| done.answers).map(due).collect()
    }

    /// Folds all receipts of a key again and writes what comes of it.
    ///
    /// # Errors
    /// Nothing was written; it is still requested.
    pub async fn rebuild(&self, conversion_key: &str, growth: Growth, now: Timestamp) -> Result<Rebuilt, StoreError> {
        let Receipts { generation, receipts, notices, deposit_accounts } = self.receipts_of(conversion_key).await?;
        let Some(generation) = generation else { return Ok(Rebuilt::NotRequested) };
        let count = receipts.len();
        let folded = fold(&self.core.ledger.policy(), receipts, &notices);
        drop(notices);
        let statements = write::statements(
            self.database().dialect(),
            &write::Key { conversion_key: conversion_key.to_owned(), generation, growth, now, deposit_accounts },
            folded,
        );
        let done = self.run_within(&LIMITS, statements).await?;
        let is_written = done.iter().any(|done| !done.answers.is_empty());
        Ok(if is_written { Rebuilt::Written { receipts: count } } else { Rebuilt::Outdated })
    }

    /// Requests rebuilds of these keys.
    ///
    /// # Errors
    /// None was requested.
    pub async fn request_rebuilds(&self, keys: &[String], now: Timestamp) -> Result<(), StoreError> {
        let rows: Vec<_> = keys.iter().map(|key| (key.clone(), now)).collect();
        self.run_within(&LIMITS, vec![request(self.database().dialect()).over(&rows)]).await.map(|_| ())
    }

    /// Puts a rebuild off that failed.
    ///
    /// # Errors
    /// It is due as before.
    pub async fn postpone_rebuild(&self, postponed: Postponed) -> Result<(), StoreError> {
        self.run_within(&LIMITS, vec![postpone(self.database().dialect()).over(&[postponed])]).await.map(|_| ())
    }

    /// All receipts of a key, and what their events say.
    async fn receipts_of(&self, conversion_key: &str) -> Result<Receipts, StoreError> {
        let statement = read::receipts(self.database().dialect()).over(&[conversion_key.to_owned()]);
        read::read(self.run_within(&LIMITS, vec![statement]).await?)
    }
}

fn due(dialect: Dialect) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("asked_at", |now| Some(*now))];
    let statement = format!(
        "select conversion_key as id, cast(attempts as text) as answer from rebuilds
         where due_at <= (select asked_at from input) order by due_at, conversion_key limit {REBUILDS_MAX}"
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

fn request(dialect: Dialect) -> Step<(String, Timestamp)> {
    const COLUMNS: &[Column<(String, Timestamp)>] = &[
        Column::text("conversion_key", |(key, _)| Some(key.clone())),
        Column::time("due_at", |(_, due_at)| Some(*due_at)),
    ];
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            "insert into rebuilds (conversion_key, generation, due_at)
             select input.conversion_key, {}, min(input.due_at) from input group by input.conversion_key
             order by input.conversion_key
             on conflict (conversion_key) do update set generation = rebuilds.generation + 1, due_at = excluded.due_at",
            dialect.random()
        ),
    )
}

fn postpone(dialect: Dialect) -> Step<Postponed> {
    const COLUMNS: &[Column<Postponed>] = &[
        Column::text("conversion_key", |postponed| Some(postponed.conversion_key.clone())),
        Column::time("next_due_at", |postponed| Some(postponed.due_at)),
        Column::text("reason", |postponed| Some(postponed.reason.clone())),
    ];
    Step::new(
        dialect,
        COLUMNS,
        "update rebuilds set due_at = input.next_due_at, attempts = attempts + 1, last_error = input.reason
         from input where rebuilds.conversion_key = input.conversion_key",
    )
}

/// The JSON of one receipt.
#[derive(Deserialize)]
struct Stored {
    event_id: String,
    request_id: String,
    received_at: String,
    #[serde(default)]
    conversion_id: Option<String>,
    #[serde(default)]
    event: Option<String>,
    #[serde(default, deserialize_with = "super::reader::optional_flag")]
    names_event: Option<bool>,
    #[serde(default)]
    content: Option<String>,
}

impl Stored {
    fn of(answer: &str) -> Result<Stored, StoreError> {
        read_json("a receipt", answer)
    }
}
