-- What is still to be done for an event after it was stored: one item for each, entered by the transaction that enters the event.
-- So accepting is separate from processing, and nothing that was accepted can be forgotten.
create table work_items (
    work_item_id integer constraint work_items_pk primary key,
    event_id text not null constraint work_items_once unique constraint work_items_event references events,
    conversion_key text not null,
    state text not null default 'waiting' constraint work_items_state
        check (state in ('waiting', 'done', 'dead')),
    attempts integer not null default 0,
    -- not before then
    due_at text not null,
    last_error text,
    created_at text not null,
    updated_at text not null
) strict;
create index work_items_due on work_items (due_at) where state = 'waiting';
