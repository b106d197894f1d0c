-- Requests of believed senders that could not be read, as they were received: what is wrong with each stands beside it.
create table rejections (
    rejection_id integer constraint rejections_pk primary key,
    receipt_id text not null,
    request_id text not null,
    received_at text not null,
    auth_mode text not null,
    key_id text,
    client_ip text,
    method text not null,
    target text not null,
    -- those that identify sender and signature; never credentials
    headers text not null,
    content_type text,
    body text,
    -- as in the reply
    code text not null,
    field text
) strict;
create index rejections_by_time on rejections (received_at);
