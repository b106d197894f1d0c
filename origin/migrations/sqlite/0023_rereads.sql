-- Stored requests that were read again by other rules. Each row is one transaction of that.
create table rereads (
    reread_id text not null constraint rereads_pk primary key,
    reread_at text not null,
    -- version of the partner's rules that they were read by
    rules text not null
) strict;
-- What became of each request, and what it was before.
create table reread_requests (
    reread_id text not null,
    request_id text not null,
    received_at text not null,
    before_verdict text not null,
    before_event_id text not null,
    before_conversion_id text not null,
    -- event, status and amounts as they were read, every value as text
    before_stated text not null,
    verdict text not null check (verdict in ('created', 'duplicate', 'revised', 'conflict', 'rejected')),
    -- of an accepted request
    event_id text,
    conversion_id text,
    stated text,
    -- of a rejected request
    code text,
    field text,
    constraint reread_requests_pk primary key (request_id, reread_id)
) strict;
create index reread_requests_by_event on reread_requests (before_event_id);
create index reread_requests_by_conversion on reread_requests (before_conversion_id);
