-- Each receipt of a request has a name, and what entered by it bears that name: so a later statement of a batch knows what an
-- earlier one did. What was there before entered by no receipt that can come again.
alter table nonces add column receipt_id text not null default '';
alter table events add column receipt_id text not null default '';
alter table postbacks add column receipt_id text not null default '';

-- What makes one conversion is the partner's policy: its key, which is the conversion_id where the partner's file does not say
-- otherwise. There are several under one key where a window ran out in between, or where repeats are marked. SQLite changes no
-- primary key, so both tables are made anew.
create table conversions_now (
    conversion_key text not null,
    occurrence integer not null,
    conversion_id text not null,
    revision integer not null,
    event_id text not null constraint conversions_event references events,
    event text not null,
    click_id text,
    order_id text,
    media_id text,
    sub_id text,
    offer_id text,
    offer_name text,
    account_id text,
    status text,
    ts_event text,
    conversion_datetime text,
    sale_amount_micros integer,
    sale_amount text generated always as (
        case when sale_amount_micros is null then null else
            iif(sale_amount_micros < 0, '-', '') || (abs(sale_amount_micros) / 1000000)
            || printf('.%02d', abs(sale_amount_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(sale_amount_micros) % 10000), '0')
        end) virtual,
    payout_micros integer,
    payout text generated always as (
        case when payout_micros is null then null else
            iif(payout_micros < 0, '-', '') || (abs(payout_micros) / 1000000)
            || printf('.%02d', abs(payout_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(payout_micros) % 10000), '0')
        end) virtual,
    currency text,
    usd_sale_amount_micros integer,
    usd_sale_amount text generated always as (
        case when usd_sale_amount_micros is null then null else
            iif(usd_sale_amount_micros < 0, '-', '') || (abs(usd_sale_amount_micros) / 1000000)
            || printf('.%02d', abs(usd_sale_amount_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(usd_sale_amount_micros) % 10000), '0')
        end) virtual,
    usd_payout_micros integer,
    usd_payout text generated always as (
        case when usd_payout_micros is null then null else
            iif(usd_payout_micros < 0, '-', '') || (abs(usd_payout_micros) / 1000000)
            || printf('.%02d', abs(usd_payout_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(usd_payout_micros) % 10000), '0')
        end) virtual,
    is_ftd integer,
    is_processed integer not null default 0,
    is_duplicate integer not null default 0,
    processing_error text,
    received_at text not null,
    created_at text not null,
    updated_at text not null,
    -- when the last postback about it was received, in Unix seconds
    last_received_s integer not null,
    constraint conversions_pk primary key (conversion_key, occurrence)
) strict;

insert into conversions_now (
    conversion_key, occurrence, conversion_id, last_received_s,
    revision, event_id, event, click_id, order_id, media_id, sub_id, offer_id, offer_name,
    account_id, status, ts_event, conversion_datetime, sale_amount_micros, payout_micros, currency, usd_sale_amount_micros,
    usd_payout_micros, is_ftd, is_processed, is_duplicate, processing_error, received_at, created_at, updated_at)
select conversion_id, 1, conversion_id,
    unixepoch(coalesce((select max(revisions.received_at) from revisions
                        where revisions.conversion_id = conversions.conversion_id), received_at)),
    revision, event_id, event, click_id, order_id, media_id, sub_id, offer_id, offer_name,
    account_id, status, ts_event, conversion_datetime, sale_amount_micros, payout_micros, currency, usd_sale_amount_micros,
    usd_payout_micros, is_ftd, is_processed, is_duplicate, processing_error, received_at, created_at, updated_at
from conversions;

create table revisions_before as select * from revisions;
drop table revisions;
drop table conversions;
alter table conversions_now rename to conversions;
create index conversions_by_id on conversions (conversion_id);
create index conversions_by_click on conversions (click_id);
create index conversions_by_time on conversions (conversion_datetime);

create table revisions (
    conversion_key text not null,
    occurrence integer not null,
    revision integer not null,
    event_id text not null constraint revisions_event references events,
    received_at text not null,
    constraint revisions_pk primary key (conversion_key, occurrence, revision),
    constraint revisions_conversion
        foreign key (conversion_key, occurrence) references conversions (conversion_key, occurrence)
) strict;
insert into revisions (conversion_key, occurrence, revision, event_id, received_at)
select conversion_id, 1, revision, event_id, received_at from revisions_before;
drop table revisions_before;
