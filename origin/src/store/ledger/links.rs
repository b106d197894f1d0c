//! Whose click it was (R50).

use super::super::statement::{Column, Dialect, Step};
use super::entry::{EVENT_ID, Entry, RECEIPT_ID, RECEIVED_AT, REQUEST_ID};
use super::event_is_new;
use postback::field::Field;

/// Keeps which account and which installation events name together with a click, and of several events that name the same the one that
/// was received first: by the time, then by the request id. A repeat that was received before its event may be that; where the event still names what its sender named: what was
/// erased is not linked again. One order for all rows of a
/// transaction, so that two transactions cannot deadlock.
pub(super) fn enter_links(dialect: Dialect) -> Step<Entry> {
    const COLUMNS: &[Column<Entry>] = &[
        RECEIPT_ID,
        EVENT_ID,
        RECEIVED_AT,
        REQUEST_ID,
        Column::text("click_id", |entry| entry.postback().text(Field::ClickId)),
        Column::text("account_id", |entry| entry.postback().text(Field::AccountId)),
        Column::text("install_id", |entry| entry.postback().text(Field::InstallId)),
    ];
    let [said_new, said_again] = [
        event_is_new(dialect),
        format!(
            "exists (select 1 from repeats where repeats.event_id = input.event_id
                and repeats.request_id = input.request_id and repeats.receipt_id = input.receipt_id{by_key})
             and exists (select 1 from events where events.event_id = input.event_id
                and (events.content ->> 'account_id' = input.linked_id
                    or events.content ->> 'install_id' = input.linked_id){by_key})",
            by_key = dialect.by_key(),
        ),
    ];
    // Request ids are ordered by their bytes, as the column of the table is, whatever the language of the database.
    let request_id = match dialect {
        Dialect::Postgres => "input.request_id collate \"C\"",
        Dialect::Sqlite => "input.request_id",
    };
    Step::new(
        dialect,
        COLUMNS,
        &format!(
            ", said as (
                select 'account' as kind, input.account_id as linked_id, input.* from input
                union all select 'install' as kind, input.install_id as linked_id, input.* from input),
             placed as (
                select input.*, row_number() over (partition by input.click_id, input.kind, input.linked_id
                    order by input.received_at, {request_id}, input.event_id) as place
                from said as input
                where input.click_id is not null and input.linked_id is not null and ({said_new} or {said_again}))
             insert into links (click_id, kind, linked_id, event_id, linked_at, request_id)
             select placed.click_id, placed.kind, placed.linked_id, placed.event_id, placed.received_at, placed.request_id
             from placed
             where placed.place = 1 order by placed.click_id, placed.kind, placed.linked_id
             on conflict (click_id, kind, linked_id) do update set event_id = excluded.event_id, linked_at = excluded.linked_at,
                request_id = excluded.request_id
             where (excluded.linked_at, excluded.request_id, excluded.event_id)
                < (links.linked_at, links.request_id, links.event_id)",
        ),
    )
}
