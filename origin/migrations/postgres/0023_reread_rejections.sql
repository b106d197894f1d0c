-- A rejected request that is accepted when it is read again was no event before, and has a code instead.
alter table reread_requests
    add column reread_request_id bigint generated always as identity,
    add column before_code  text,
    add column before_field text,
    alter column before_event_id drop not null,
    alter column before_conversion_id drop not null,
    alter column before_stated drop not null;
-- Rows have a number, so that they can be gone through page by page (R63).
alter table reread_requests drop constraint reread_requests_pk;
alter table reread_requests add constraint reread_requests_pk primary key (reread_request_id);
alter table reread_requests add constraint reread_requests_once unique (request_id, reread_id);
-- The order in which requests were stored, whatever becomes of them when they are read again: of one that was rejected when it came 0 among
-- those that reached a verdict, and null among the rejected ones; of one that was moved the number that it had; else null, and its own
-- number says it.
alter table postbacks add column first_number bigint;
alter table rejections add column first_number bigint;
