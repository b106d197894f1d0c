-- Postbacks that wait in the queue, so that an operator can ask for them: a queue shows no message. A row is written behind the reply, so it
-- may be missing where the database was down. Without a row nothing is known of the queue.
create table if not exists queued (
    request_id text not null primary key,
    partner text,
    event_id text,
    conversion_id text,
    received_at text,
    queued_at text not null,
    -- queued, or done: delivered or parked. A postback can be delivered before its row is written, and its row must not say "queued" then.
    state text not null check (state in ('queued', 'done')),
    changed_at text not null
) strict;
create index if not exists queued_by_state on queued (state, queued_at, request_id);
create index if not exists queued_by_event on queued (event_id);
create index if not exists queued_by_conversion on queued (conversion_id);
