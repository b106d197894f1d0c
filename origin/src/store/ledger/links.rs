//! Whose click it was (R50).

use super::super::statement::{Column, Dialect, Step};
use super::entry::{EVENT_ID, Entry, RECEIPT_ID, RECEIVED_AT};
use super::event_is_new;
use postback::field::Field;

/// Keeps which account and which installation new events name together with a click. One order for all rows of a transaction: two
/// transactions that say the same would otherwise wait for each other.
pub(super) fn enter_links(dialect: Dialect) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        EVENT_ID,
        RECEIVED_AT,
        Column::text("click_id", |entry| entry.postback().text(Field::ClickId)),
        Column::text("account_id", |entry| entry.postback().text(Field::AccountId)),
        Column::text("install_id", |entry| entry.postback().text(Field::InstallId)),
    ];
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", said as (
                select 'account' as kind, input.account_id as linked_id, input.* from input
                union all select 'install' as kind, input.install_id as linked_id, input.* from input)
             insert into links (click_id, kind, linked_id, event_id, linked_at)
             select input.click_id, input.kind, input.linked_id, input.event_id, input.received_at from said as input
             where input.click_id is not null and input.linked_id is not null and {}
             order by input.click_id, input.kind, input.linked_id, input.received_at, input.event_id
             on conflict (click_id, kind, linked_id) do nothing",
            event_is_new(dialect),
        ),
    )
}
