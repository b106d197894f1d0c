-- What conversions mean (R49-R51, R64): what that is judged by, and what it was judged to be. A program of before must not
-- write beside one that knows these columns: it would leave them, and what the totals have of them, as they were.

-- Said by postbacks, as the columns beside them.
alter table conversions add column payment_method text;
alter table conversions add column consent_version text;
alter table conversions add column campaign text;
alter table conversions add column geo text;
alter table conversions add column device text;
update conversions set
    payment_method = (select content ->> '$.payment_method' from events where events.event_id = conversions.event_id),
    consent_version = (select content ->> '$.consent_version' from events where events.event_id = conversions.event_id),
    campaign = (select content ->> '$.campaign' from events where events.event_id = conversions.event_id),
    geo = (select content ->> '$.geo' from events where events.event_id = conversions.event_id),
    device = (select content ->> '$.device' from events where events.event_id = conversions.event_id);

-- Judged by processing; all of it can be judged again.
alter table conversions add column processed_at text;
alter table conversions add column attribution text constraint conversions_attribution
    check (attribution in ('clicked', 'unknown_click', 'no_click'));
alter table conversions add column deposit text constraint conversions_deposit
    check (deposit in ('first', 'repeat', 'too_small', 'bonus', 'zero', 'no_amount', 'no_account', 'rejected', 'undecided'));
-- whose deposit it was when it was judged
alter table conversions add column deposit_account text;
-- of what money that goes back goes back
alter table conversions add column refund_of text;
-- in the reporting currency, where the sender did not say: by which rate, and of which day
alter table conversions add column fx_sale_amount_micros integer;
alter table conversions add column fx_sale_amount text generated always as (
    case when fx_sale_amount_micros is null then null else
        iif(fx_sale_amount_micros < 0, '-', '') || (abs(fx_sale_amount_micros) / 1000000)
        || printf('.%02d', abs(fx_sale_amount_micros) % 1000000 / 10000)
        || rtrim(printf('%04d', abs(fx_sale_amount_micros) % 10000), '0')
    end) virtual;
alter table conversions add column fx_payout_micros integer;
alter table conversions add column fx_payout text generated always as (
    case when fx_payout_micros is null then null else
        iif(fx_payout_micros < 0, '-', '') || (abs(fx_payout_micros) / 1000000)
        || printf('.%02d', abs(fx_payout_micros) % 1000000 / 10000)
        || rtrim(printf('%04d', abs(fx_payout_micros) % 10000), '0')
    end) virtual;
alter table conversions add column fx_rate text;
alter table conversions add column fx_rate_date text;
-- the consent that holds: the event's, or else the click's
alter table conversions add column consent text;
-- codes of what is odd
alter table conversions add column findings text not null default '[]';
create index conversions_by_deposit on conversions
    (account_id, coalesce(conversion_datetime, ts_event, received_at), conversion_key, occurrence)
    where deposit in ('first', 'repeat');
-- Pages of conversions, by when they happened.
create index conversions_by_happening on conversions
    (coalesce(conversion_datetime, ts_event, received_at), conversion_key, occurrence);
drop index conversions_by_time;
create index conversions_by_account on conversions (account_id) where account_id is not null;

-- In the reporting currency, whoever reckoned it; and accounts' first deposits.
alter table totals add column reporting_sale_amount_micros integer not null default 0;
alter table totals add column reporting_payout_micros integer not null default 0;
alter table totals add column first_deposits integer not null default 0;
update totals set reporting_sale_amount_micros = usd_sale_amount_micros, reporting_payout_micros = usd_payout_micros;

-- Who has taken an item, for as long as it is not due again. An item that was put back is nobody's, and what is done is there no
-- longer: the list is as long as what is to be done.
create table work_items_now (
    work_item_id integer constraint work_items_pk primary key,
    event_id text not null constraint work_items_once unique constraint work_items_event references events,
    conversion_key text not null,
    state text not null default 'waiting' constraint work_items_state
        check (state in ('waiting', 'delayed', 'dead')),
    attempts integer not null default 0,
    -- not before then
    due_at text not null,
    claim_id text,
    last_error text,
    created_at text not null,
    updated_at text not null
) strict;
insert into work_items_now (work_item_id, event_id, conversion_key, state, attempts, due_at, last_error, created_at, updated_at)
select work_item_id, event_id, conversion_key, state, attempts, due_at, last_error, created_at, updated_at
from work_items where state <> 'done';
drop table work_items;
alter table work_items_now rename to work_items;
create index work_items_due on work_items (due_at) where state = 'waiting';
create index work_items_delayed on work_items (work_item_id) where state = 'delayed';
create index work_items_dead on work_items (work_item_id) where state = 'dead';
-- What was stored before there were items.
insert into work_items (event_id, conversion_key, due_at, created_at, updated_at)
select event_id, min(conversion_key), max(received_at), max(received_at), max(received_at) from conversions
where not exists (select 1 from work_items where work_items.event_id = conversions.event_id)
group by event_id;
