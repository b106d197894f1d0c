-- A rejected request that is accepted when it is read again was no event before, and has a code instead. Rows have a number, so that
-- they can be gone through page by page (R63).
create table reread_requests_new (
    reread_request_id integer not null primary key,
    reread_id text not null,
    request_id text not null,
    received_at text not null,
    before_verdict text not null,
    -- of a request that was accepted
    before_event_id text,
    before_conversion_id text,
    -- event, status and amounts as they were read, every value as text
    before_stated text,
    -- of a request that was rejected
    before_code text,
    before_field text,
    verdict text not null check (verdict in ('created', 'duplicate', 'revised', 'conflict', 'rejected')),
    -- of an accepted request
    event_id text,
    conversion_id text,
    stated text,
    -- of a rejected request
    code text,
    field text,
    constraint reread_requests_once unique (request_id, reread_id)
) strict;
insert into reread_requests_new (reread_id, request_id, received_at, before_verdict, before_event_id, before_conversion_id,
        before_stated, verdict, event_id, conversion_id, stated, code, field)
    select reread_id, request_id, received_at, before_verdict, before_event_id, before_conversion_id, before_stated, verdict, event_id,
        conversion_id, stated, code, field
    from reread_requests order by received_at, request_id;
drop table reread_requests;
alter table reread_requests_new rename to reread_requests;
create index reread_requests_by_event on reread_requests (before_event_id);
create index reread_requests_by_conversion on reread_requests (before_conversion_id);
-- The order in which requests were stored, whatever becomes of them when they are read again: of one that was rejected when it came 0 among
-- those that reached a verdict, and null among the rejected ones; of one that was moved the number that it had; else null, and its own
-- number says it.
alter table postbacks add column first_number integer;
alter table rejections add column first_number integer;
create index rejections_by_first_number on rejections (first_number) where first_number is not null;
-- The highest numbers are free again when their rows are moved. Nobody else is to have them.
create trigger postbacks_have_new_numbers after insert on postbacks
when new.postback_id <= (select max(first_number) from rejections where first_number is not null) begin
    update postbacks set postback_id = (select max(first_number) + 1 from rejections where first_number is not null)
    where postback_id = new.postback_id;
end;
