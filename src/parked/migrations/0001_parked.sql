-- Postbacks that automatic delivery gave up on, kept for an operator. Written as "if not exists": the Worker runs this
-- before it first needs the table, so that nothing is lost for want of a command that somebody forgot.
create table if not exists parked (
    -- The edge's name of the request that brought it: one row for each, however often the queue brings the message.
    request_id text not null primary key,
    -- Null where the message could not be read.
    partner text,
    event_id text,
    received_at text,
    -- parked: waits for an operator. replaying: given to the queue again. delivered: stored by the origin after all.
    state text not null check (state in ('parked', 'replaying', 'delivered')),
    -- A code, and what was seen.
    reason text not null,
    detail text not null,
    -- Attempts at the origin before it was given up.
    attempts integer not null,
    parked_at text not null,
    changed_at text not null,
    replays integer not null,
    -- The message as the queue had it.
    message text not null
) strict;
create index if not exists parked_by_state on parked (state, parked_at, request_id);
