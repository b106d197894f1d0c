-- Days of any zone are hours, and nobody asks an hour for each kind of conversions. What kinds there were in a year is days of UTC. A
-- year of hours is one row for each then, and of kinds a row for each day.
-- A program of before must not write beside one that knows these tables: it would leave them as they were.
create table totals_by_day (like totals including defaults)
-- room to bring a row up to date in its own page, because each is written again and again
with (fillfactor = 50);
insert into totals_by_day (slot, period_start, event, status, currency, is_duplicate, conversions, first_deposits,
                           sale_amount, payout, usd_sale_amount, usd_payout, reporting_sale_amount, reporting_payout)
select 0, date_bin('1 day', period_start, timestamptz '2000-01-01 00:00+00'), event, status, currency, is_duplicate,
       sum(conversions), sum(first_deposits), sum(sale_amount), sum(payout), sum(usd_sale_amount), sum(usd_payout),
       sum(reporting_sale_amount), sum(reporting_payout)
from totals group by 2, 3, 4, 5, 6;
alter table totals_by_day add constraint totals_by_day_pk
    primary key (period_start, event, status, currency, is_duplicate, slot);
create index totals_by_day_apart on totals_by_day (period_start) where slot <> 0;

drop table totals_by_hour;
create table totals_by_hour (
    -- as in totals
    slot                  integer     not null,
    period_start          timestamptz not null,
    -- those that count
    conversions           bigint      not null,
    -- those that do not: marked as a duplicate, or else rejected
    rejected              bigint      not null,
    duplicates            bigint      not null,
    -- of those that count
    first_deposits        bigint      not null,
    reporting_sale_amount numeric     not null,
    reporting_payout      numeric     not null
)
with (fillfactor = 50);
insert into totals_by_hour (slot, period_start, conversions, rejected, duplicates, first_deposits, reporting_sale_amount, reporting_payout)
select 0, date_bin('1 hour', period_start, timestamptz '2000-01-01 00:00+00'),
       coalesce(sum(conversions) filter (where counts), 0),
       coalesce(sum(conversions) filter (where not is_duplicate and status = 'rejected'), 0),
       coalesce(sum(conversions) filter (where is_duplicate), 0),
       coalesce(sum(first_deposits) filter (where counts), 0),
       coalesce(sum(reporting_sale_amount) filter (where counts), 0), coalesce(sum(reporting_payout) filter (where counts), 0)
from (select *, not is_duplicate and status <> 'rejected' as counts from totals) as totals group by 2;
alter table totals_by_hour add constraint totals_by_hour_pk primary key (period_start, slot);
create index totals_by_hour_apart on totals_by_hour (period_start) where slot <> 0;
