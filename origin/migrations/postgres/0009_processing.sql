-- What conversions mean (R49-R51, R64): what that is judged by, and what it was judged to be. A program of before must not
-- write beside one that knows these columns: it would leave them, and what the totals have of them, as they were.

-- Said by postbacks, as the columns beside them.
alter table conversions add column payment_method text;
alter table conversions add column consent_version text;
alter table conversions add column campaign text;
alter table conversions add column geo text;
alter table conversions add column device text;
update conversions set
    payment_method = events.content ->> 'payment_method',
    consent_version = events.content ->> 'consent_version',
    campaign = events.content ->> 'campaign',
    geo = events.content ->> 'geo',
    device = events.content ->> 'device'
from events where events.event_id = conversions.event_id;

-- Judged by processing; all of it can be judged again.
alter table conversions add column processed_at timestamptz;
alter table conversions add column attribution text constraint conversions_attribution
    check (attribution in ('clicked', 'unknown_click', 'no_click'));
alter table conversions add column deposit text constraint conversions_deposit
    check (deposit in ('first', 'repeat', 'too_small', 'bonus', 'zero', 'no_amount', 'no_account', 'rejected', 'undecided'));
-- whose deposit it was when it was judged
alter table conversions add column deposit_account text;
-- of what money that goes back goes back
alter table conversions add column refund_of text;
-- in the reporting currency, where the sender did not say: by which rate, and of which day
alter table conversions add column fx_sale_amount numeric constraint conversions_fx_sale_amount check (scale(fx_sale_amount) <= 6);
alter table conversions add column fx_payout numeric constraint conversions_fx_payout check (scale(fx_payout) <= 6);
alter table conversions add column fx_rate numeric;
alter table conversions add column fx_rate_date date;
-- the consent that holds: the event's, or else the click's
alter table conversions add column consent text;
-- codes of what is odd
alter table conversions add column findings jsonb not null default '[]';
-- room to bring a row up to date in its own page
alter table conversions set (fillfactor = 80);
create index conversions_by_deposit on conversions
    (account_id, coalesce(conversion_datetime, ts_event, received_at), conversion_key, occurrence)
    where deposit in ('first', 'repeat');
-- Pages of conversions, by when they happened.
create index conversions_by_happening on conversions
    (coalesce(conversion_datetime, ts_event, received_at), conversion_key, occurrence);
drop index conversions_by_time;
create index conversions_by_account on conversions (account_id) where account_id is not null;

-- In the reporting currency, whoever reckoned it; and accounts' first deposits.
alter table totals add column reporting_sale_amount numeric not null default 0;
alter table totals add column reporting_payout numeric not null default 0;
alter table totals add column first_deposits bigint not null default 0;
update totals set reporting_sale_amount = usd_sale_amount, reporting_payout = usd_payout;

-- Who has taken an item, for as long as it is not due again. An item that was put back is nobody's.
alter table work_items add column claim_id text;
alter table work_items drop constraint work_items_state;
-- What is done is there no longer: the list is as long as what is to be done.
delete from work_items where state = 'done';
alter table work_items add constraint work_items_state check (state in ('waiting', 'delayed', 'dead'));
create index work_items_delayed on work_items (work_item_id) where state = 'delayed';
create index work_items_dead on work_items (work_item_id) where state = 'dead';
-- What was stored before there were items.
insert into work_items (event_id, conversion_key, due_at, created_at, updated_at)
select event_id, min(conversion_key), now(), now(), now() from conversions
where not exists (select 1 from work_items where work_items.event_id = conversions.event_id)
group by event_id;
