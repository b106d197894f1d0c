-- Each receipt of a request has a name, and what entered by it bears that name: so a later statement of a batch knows what an
-- earlier one did. What was there before entered by no receipt that can come again.
alter table nonces add column receipt_id text not null default '';
alter table events add column receipt_id text not null default '';

-- What makes one conversion is the partner's policy: its key, which is the conversion_id where the partner's file does not say
-- otherwise. There are several under one key where a window ran out in between, or where repeats are marked.
alter table revisions drop constraint revisions_conversion;
alter table revisions drop constraint revisions_pk;
alter table revisions rename column conversion_id to conversion_key;
alter table revisions add column occurrence integer not null default 1;

alter table conversions drop constraint conversions_pk;
alter table conversions add column conversion_key text;
alter table conversions add column occurrence integer not null default 1;
-- when the last postback about it was received, in Unix seconds
alter table conversions add column last_received_s bigint;
update conversions set
    conversion_key = conversion_id,
    last_received_s = coalesce(
        (select floor(extract(epoch from max(revisions.received_at))) from revisions
         where revisions.conversion_key = conversions.conversion_id),
        floor(extract(epoch from received_at)));
alter table conversions alter column conversion_key set not null;
alter table conversions alter column last_received_s set not null;
alter table conversions add constraint conversions_pk primary key (conversion_key, occurrence);
create index conversions_by_id on conversions (conversion_id);

alter table revisions add constraint revisions_pk primary key (conversion_key, occurrence, revision);
alter table revisions add constraint revisions_conversion
    foreign key (conversion_key, occurrence) references conversions (conversion_key, occurrence);

-- Requests as they were received, by month: what is too old is dropped as a whole. The origin makes each month's partition
-- before it begins; what comes at another time goes into postbacks_default.
alter table postbacks rename to postbacks_before;
alter table postbacks_before rename constraint postbacks_pk to postbacks_before_pk;
alter table postbacks_before rename constraint postbacks_verdict to postbacks_before_verdict;
alter index postbacks_by_event rename to postbacks_before_by_event;
alter index postbacks_by_time rename to postbacks_before_by_time;
create table postbacks (
    postback_id  bigint generated always as identity,
    receipt_id   text        not null default '',
    event_id     text        not null,
    verdict      text        not null constraint postbacks_verdict
                 check (verdict in ('created', 'duplicate', 'revised', 'conflict')),
    request_id   text        not null,
    received_at  timestamptz not null,
    auth_mode    text        not null,
    key_id       text,
    client_ip    text,
    method       text        not null,
    target       text        not null,
    -- those that identify sender and signature; never credentials
    headers      jsonb       not null,
    content_type text,
    body         text,
    content      jsonb       not null,
    ignored      jsonb       not null,
    warnings     jsonb       not null,
    constraint postbacks_pk primary key (postback_id, received_at)
) partition by range (received_at);
create index postbacks_by_event on postbacks (event_id);
create index postbacks_by_time on postbacks (received_at);
create table postbacks_default partition of postbacks default;
insert into postbacks (postback_id, event_id, verdict, request_id, received_at, auth_mode, key_id, client_ip, method, target,
                       headers, content_type, body, content, ignored, warnings)
    overriding system value
    select postback_id, event_id, verdict, request_id, received_at, auth_mode, key_id, client_ip, method, target,
           headers, content_type, body, content, ignored, warnings
    from postbacks_before order by postback_id;
select setval(pg_get_serial_sequence('postbacks', 'postback_id'),
              coalesce((select max(postback_id) from postbacks), 0) + 1, false);
drop table postbacks_before;
