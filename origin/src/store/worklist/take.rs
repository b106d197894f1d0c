//! Taking items that are due.

use super::super::StoreError;
use super::super::statement::{Column, Dialect, Done, Step, read_json};
use postback::id::Nonce;
use postback::time::Timestamp;
use serde::Deserialize;

/// Items that are taken at once: they share their statements.
pub const ITEMS_MAX: usize = 100;

/// For how long items are somebody's.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Random: whoever knows it has the items.
    pub id: Nonce,
    /// When it begins.
    pub now: Timestamp,
    /// When it ends.
    pub until: Timestamp,
}

/// An item that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The event that it is for.
    pub event_id: String,
    /// The conversion that the event was about.
    pub conversion_key: String,
    /// How often it failed since it was last put back.
    pub attempts: u32,
}

/// Takes the items that have been due for longest. Of several takers at once each gets others.
pub(super) fn take(dialect: Dialect) -> Step<Lease> {
    const COLUMNS: &[Column<Lease>] = &[
        Column::text("claim_id", |lease| Some(lease.id.to_string())),
        Column::time("begins_at", |lease| Some(lease.now)),
        Column::time("ends_at", |lease| Some(lease.until)),
    ];
    // Not a join: items are read in the order of the index then, and no more of them than are taken.
    const NOW: &str = "(select input.begins_at from input)";
    let skip = match dialect {
        Dialect::Postgres => "for update of work_items skip locked",
        Dialect::Sqlite => "",
    };
    // As an array they are looked up one by one, however many the server thinks there are; a join of two that it thinks are empty goes through
    // all items for each that is taken.
    let is_due = match dialect {
        Dialect::Postgres => "work_item_id = any (array(select work_item_id from due))",
        Dialect::Sqlite => "work_item_id in (select work_item_id from due)",
    };
    let answer = dialect.json_object(&[("attempts", "attempts".to_owned()), ("key", "conversion_key".to_owned())]);
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", due as (
                select work_items.work_item_id from work_items
                where work_items.state = 'waiting' and work_items.due_at <= {NOW} and {}
                order by work_items.due_at, work_items.work_item_id limit {ITEMS_MAX} {skip})
             update work_items set claim_id = input.claim_id, claimed_until = input.ends_at,
                updated_at = input.begins_at
             from input where {is_due}
             returning event_id as id, {answer} as answer",
            is_free(NOW),
        ),
    )
    .answering()
}

/// That nobody has an item at a time. Before there was `claimed_until`, who took an item made it due when the lease ended.
pub(super) fn is_free(at: &str) -> String {
    format!("(work_items.claim_id is null or coalesce(work_items.claimed_until, work_items.due_at) <= {at})")
}

#[derive(Deserialize)]
struct Answer {
    attempts: u32,
    key: String,
}

/// The items that a statement answers.
pub(super) fn taken(done: Vec<Done>) -> Result<Vec<Item>, StoreError> {
    let item = |(event_id, answer): (String, String)| {
        let answer: Answer = read_json("an item", &answer)?;
        Ok(Item { event_id, conversion_key: answer.key, attempts: answer.attempts })
    };
    done.into_iter().flat_map(|done| done.answers).map(item).collect()
}
