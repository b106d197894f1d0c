//! Clicks and batches of counts that are too old (R59). What was attributed stays attributed: what conversions are judged by of a click moves onto them as
//! it goes.

use super::statement::{Column, Dialect, Done, Statement, Step};
use super::totals::turn_of_all_slots;
use super::{End, Store, StoreError, in_time};
use postback::time::Timestamp;
use std::time::Duration;

/// Clicks that are dropped at once: whoever records or judges waits for one portion at most.
const PORTION: usize = 500;
/// How long a portion may take.
const PORTION_TIMEOUT: Duration = Duration::from_secs(5);

/// The id of a click that is dropped.
const COLUMNS: &[Column<String>] = &[Column::text("click_id", |click_id| Some(click_id.clone()))];

impl Store {
    /// Drops clicks that were made before an instant, a portion at a time; answers how many. Conversions keep when theirs was made and
    /// under which consent, so that judging them again comes to the same.
    ///
    /// # Errors
    /// Not all were dropped; of those that were, conversions have what they need.
    pub async fn drop_clicks(&self, before: Timestamp) -> Result<u64, StoreError> {
        let dialect = self.database().dialect();
        let mut dropped: u64 = 0;
        loop {
            let old = self.portion(vec![too_old(dialect).over(&[before])]).await?;
            let old: Vec<_> = old.into_iter().flat_map(|done| done.answers).map(|(click_id, _)| click_id).collect();
            if old.is_empty() {
                return Ok(dropped);
            }
            let done = self.portion(dropping(dialect, &old)).await?;
            dropped = dropped.saturating_add(done.last().map_or(0, |done| done.changed));
        }
    }

    /// Forgets batches of counts that were added before an instant: the queue no longer redelivers them. The counts stay.
    ///
    /// # Errors
    /// Nothing was forgotten.
    pub async fn forget_edge_batches(&self, before: Timestamp) -> Result<u64, StoreError> {
        const COLUMNS: &[Column<Timestamp>] = &[Column::time("forgotten_before", |before| Some(*before))];
        let statement = "delete from edge_batches where received_at < (select forgotten_before from input)";
        let step = Step::new(self.database().dialect(), COLUMNS, statement);
        let done = self.portion(vec![step.over(&[before])]).await?;
        Ok(done.last().map_or(0, |done| done.changed))
    }

    async fn portion(&self, statements: Vec<Statement>) -> Result<Vec<Done>, StoreError> {
        in_time(PORTION_TIMEOUT, self.database().run(statements, End::Commit)).await
    }
}

/// The oldest of the clicks that are too old.
fn too_old(dialect: Dialect) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("dropped_before", |before| Some(*before))];
    let statement = format!(
        "select click_id as id, '' as answer from clicks
         where clicked_at < (select dropped_before from input) order by clicked_at limit {PORTION}"
    );
    Step::new(dialect, COLUMNS, &statement).answering()
}

/// One transaction: whoever records or judges takes turns with it, so that no conversion is overlooked; conversions keep what they
/// need; the clicks go.
fn dropping(dialect: Dialect, clicks: &[String]) -> Vec<Statement> {
    let keep = format!(
        "update conversions as known set dropped_click_id = gone.click_id, dropped_clicked_at = gone.clicked_at,
            dropped_click_consent = gone.consent_version
         from input {} where known.click_id = input.click_id and gone.click_id is not null{}",
        dialect.left_join_by_key("clicks", "gone", "gone.click_id = input.click_id"),
        dialect.among(COLUMNS, "known.click_id", "click_id"),
    );
    let drop = format!(
        "delete from clicks where click_id in (select click_id from input){}",
        dialect.among(COLUMNS, "clicks.click_id", "click_id")
    );
    let steps = [keep, drop].map(|statement| Step::new(dialect, COLUMNS, &statement).over(clicks));
    turn_of_all_slots(dialect).into_iter().chain(steps).collect()
}
