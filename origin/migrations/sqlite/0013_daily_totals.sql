-- Days of any zone are hours, and nobody asks an hour for each kind of conversions. What kinds there were in a year is days of UTC. A
-- year of hours is one row for each then, and of kinds a row for each day.
-- A program of before must not write beside one that knows these tables: it would leave them as they were.
create table totals_by_day (
    -- always 0: there is one writer
    slot integer not null,
    period_start text not null,
    event text not null,
    -- empty where the conversion has none
    status text not null default '',
    currency text not null default '',
    is_duplicate integer not null,
    conversions integer not null,
    sale_amount_micros integer not null,
    payout_micros integer not null,
    usd_sale_amount_micros integer not null,
    usd_payout_micros integer not null,
    reporting_sale_amount_micros integer not null default 0,
    reporting_payout_micros integer not null default 0,
    first_deposits integer not null default 0,
    constraint totals_by_day_pk primary key (period_start, event, status, currency, is_duplicate, slot)
) strict;
insert into totals_by_day (slot, period_start, event, status, currency, is_duplicate, conversions, first_deposits,
                           sale_amount_micros, payout_micros, usd_sale_amount_micros, usd_payout_micros,
                           reporting_sale_amount_micros, reporting_payout_micros)
select 0, substr(period_start, 1, 11) || '00:00:00.000000Z', event, status, currency, is_duplicate,
       sum(conversions), sum(first_deposits),
       cast(sum(sale_amount_micros / 1000000) * 1000000 + sum(sale_amount_micros % 1000000) as integer),
       cast(sum(payout_micros / 1000000) * 1000000 + sum(payout_micros % 1000000) as integer),
       cast(sum(usd_sale_amount_micros / 1000000) * 1000000 + sum(usd_sale_amount_micros % 1000000) as integer),
       cast(sum(usd_payout_micros / 1000000) * 1000000 + sum(usd_payout_micros % 1000000) as integer),
       cast(sum(reporting_sale_amount_micros / 1000000) * 1000000 + sum(reporting_sale_amount_micros % 1000000) as integer),
       cast(sum(reporting_payout_micros / 1000000) * 1000000 + sum(reporting_payout_micros % 1000000) as integer)
from totals group by 2, 3, 4, 5, 6;

drop table totals_by_hour;
create table totals_by_hour (
    slot integer not null,
    period_start text not null,
    -- those that count
    conversions integer not null,
    -- those that do not: marked as a duplicate, or else rejected
    rejected integer not null,
    duplicates integer not null,
    -- of those that count
    first_deposits integer not null,
    reporting_sale_amount_micros integer not null,
    reporting_payout_micros integer not null,
    constraint totals_by_hour_pk primary key (period_start, slot)
) strict;
insert into totals_by_hour (slot, period_start, conversions, rejected, duplicates, first_deposits,
                            reporting_sale_amount_micros, reporting_payout_micros)
select 0, substr(period_start, 1, 14) || '00:00.000000Z',
       sum(case when counts then conversions else 0 end),
       sum(case when not is_duplicate and status = 'rejected' then conversions else 0 end),
       sum(case when is_duplicate then conversions else 0 end),
       sum(case when counts then first_deposits else 0 end),
       cast(sum((case when counts then reporting_sale_amount_micros else 0 end) / 1000000) * 1000000 + sum((case when counts then reporting_sale_amount_micros else 0 end) % 1000000) as integer),
       cast(sum((case when counts then reporting_payout_micros else 0 end) / 1000000) * 1000000 + sum((case when counts then reporting_payout_micros else 0 end) % 1000000) as integer)
from (select *, not is_duplicate and status <> 'rejected' as counts from totals) group by 2;
