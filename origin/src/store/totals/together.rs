//! Rows of slots put together: one for each thing is read faster than nine.

use super::super::statement::{Column, Dialect, Step};
use super::super::{End, RECORD_TIMEOUT, Store, StoreError, in_time};
use super::{Table, turn_of_all_slots};
use postback::time::Timestamp;

/// Rows that are put together at once, so that nobody waits long.
const AT_ONCE: u32 = 2_000;

/// Puts all together that can be, of periods that ended before an instant; how many rows that came to.
pub(super) async fn all(store: &Store, ended_before: Timestamp) -> Result<u64, StoreError> {
    let mut rows: u64 = 0;
    for table in Table::ALL {
        let began_before_ms = ended_before.unix_ms().saturating_sub(table.period_s().saturating_mul(1_000));
        let Some(began_before) = Timestamp::from_unix_ms(began_before_ms) else { continue };
        loop {
            match some(store, table, began_before).await? {
                0 => break,
                some => rows = rows.saturating_add(some),
            }
        }
    }
    Ok(rows)
}

/// Whoever does that has the turn of all slots.
async fn some(store: &Store, table: Table, began_before: Timestamp) -> Result<u64, StoreError> {
    let dialect = store.database().dialect();
    let statement = put_together(dialect, table).over(&[began_before]);
    let statements = turn_of_all_slots(dialect).into_iter().chain([statement]).collect();
    let done = in_time(RECORD_TIMEOUT, store.database().run(statements, End::Commit)).await?;
    Ok(done.last().map_or(0, |done| done.changed))
}

fn put_together(dialect: Dialect, table: Table) -> Step<Timestamp> {
    const COLUMNS: &[Column<Timestamp>] = &[Column::time("began_before", |before| Some(*before))];
    let name = table.name();
    let columns = table.columns(dialect).join(", ");
    let group = table.group();
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", gone as (
                delete from {name} where ctid = any(array(
                    select ctid from {name} where slot <> 0 and period_start < (select began_before from input)
                    order by period_start limit {AT_ONCE}))
                returning *)
             insert into {name} ({group}, slot, {columns})
             select {group}, 0, {} from gone group by {group} order by {group}
             {}",
            table.sums_of_own(dialect).join(", "),
            table.or_add(dialect),
        ),
    )
}
