//! Clicks that are too old (R59). What was attributed stays attributed: what conversions are judged by of a click moves onto them as
//! it goes.

use super::statement::{Column, Dialect, Statement, Step};
use super::totals::all_slots;
use super::turns::{Turn, take_turns};
use super::{End, Store, StoreError, in_time};
use postback::time::Timestamp;
use std::time::Duration;

/// Clicks that are dropped at once: whoever records or judges waits for one portion at most.
const PORTION: usize = 500;
/// How long a portion may take.
const PORTION_TIMEOUT: Duration = Duration::from_secs(5);

const COLUMNS: &[Column<Timestamp>] = &[Column::time("dropped_before", |before| Some(*before))];

impl Store {
    /// Drops clicks that were made before an instant, a portion at a time; answers how many. Conversions keep when theirs was made and
    /// under which consent, so that judging them again comes to the same.
    ///
    /// # Errors
    /// Not all were dropped; of those that were, conversions have what they need.
    pub async fn drop_clicks(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut dropped: u64 = 0;
        loop {
            let done = self.database().run(portion(self.database().dialect(), before), End::Commit);
            match in_time(PORTION_TIMEOUT, done).await?.last().map_or(0, |done| done.changed) {
                0 => return Ok(dropped),
                clicks => dropped = dropped.saturating_add(clicks),
            }
        }
    }
}

/// One transaction: whoever records or judges takes turns with it, so that no conversion is overlooked; then conversions keep what
/// they need, and the clicks go.
fn portion(dialect: Dialect, before: Timestamp) -> Vec<Statement> {
    let slots: Vec<_> = all_slots(dialect).map(Turn::Slot).collect();
    let turns = take_turns(dialect).map(|step| step.over(&slots));
    let [keep, drop] = [keep(dialect), drop(dialect)].map(|step| step.over(&[before]));
    turns.into_iter().chain([keep, drop]).collect()
}

/// The clicks of a portion: the same in both statements, because nobody enters any meanwhile.
fn gone() -> String {
    format!(
        "select click_id, clicked_at, consent_version from clicks
         where clicked_at < (select dropped_before from input) order by clicked_at, click_id limit {PORTION}"
    )
}

fn keep(dialect: Dialect) -> Step<Timestamp> {
    let statement = format!(
        ", gone as ({})
         update conversions as known set dropped_click_id = gone.click_id, dropped_clicked_at = gone.clicked_at,
            dropped_click_consent = gone.consent_version
         from gone where known.click_id = gone.click_id",
        gone()
    );
    Step::new(dialect, COLUMNS, &statement)
}

fn drop(dialect: Dialect) -> Step<Timestamp> {
    let statement = format!(", gone as ({}) delete from clicks where click_id in (select click_id from gone)", gone());
    Step::new(dialect, COLUMNS, &statement)
}
