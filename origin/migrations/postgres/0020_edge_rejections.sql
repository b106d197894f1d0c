-- Rejected requests arrive directly or through the edge. Of requests that failed authentication a bounded sample is stored.
alter table rejections add column via text not null default 'direct' constraint rejections_via check (via in ('direct', 'edge'));
alter table rejections add column is_authenticated boolean not null default true;
-- HTTP status of the reply
alter table rejections add column status integer;
-- version of the partner's rules that rejected it
alter table rejections add column rules text;
-- ids, as far as the request could be read; unverified where is_authenticated is false
alter table rejections add column event_id text;
alter table rejections add column conversion_id text;
alter table rejections add column order_id text;
alter table rejections add column click_id text;
alter table rejections add column account_id text;
-- Rows of one request, which earlier versions could make, keep their content and get names of their own.
with ranked as (
    select rejection_id, row_number() over (partition by request_id order by rejection_id) as place from rejections)
update rejections set request_id = rejections.request_id || '-' || ranked.place
  from ranked where ranked.rejection_id = rejections.rejection_id and ranked.place > 1;
-- The edge's queue delivers at least once.
create unique index rejections_by_request on rejections (request_id);
create index rejections_by_event on rejections (event_id) where event_id is not null;
create index rejections_by_conversion on rejections (conversion_id) where conversion_id is not null;
create index rejections_by_order on rejections (order_id) where order_id is not null;
create index rejections_by_click on rejections (click_id) where click_id is not null;
create index rejections_by_account on rejections (account_id) where account_id is not null;

-- Outcomes of requests and deliveries, counted by the edge's isolates. A batch of counts is added once, however often it is delivered.
create table edge_outcomes (
    kind    text   not null,
    outcome text   not null,
    count   bigint not null,
    constraint edge_outcomes_pk primary key (kind, outcome)
);
create table edge_batches (
    batch_id    text        not null constraint edge_batches_pk primary key,
    receipt_id  text        not null,
    received_at timestamptz not null
);
create index edge_batches_by_time on edge_batches (received_at);
