-- The same totals by hours: nearly every day of every time zone begins at one, and the quarters of a year are four times as many.
-- A program of before must not write beside one that knows this table: it would leave it as it was.
create table totals_by_hour (
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
    constraint totals_by_hour_pk primary key (period_start, event, status, currency, is_duplicate, slot)
) strict;
insert into totals_by_hour (slot, period_start, event, status, currency, is_duplicate, conversions, first_deposits,
                            sale_amount_micros, payout_micros, usd_sale_amount_micros, usd_payout_micros,
                            reporting_sale_amount_micros, reporting_payout_micros)
select 0, substr(period_start, 1, 14) || '00:00.000000Z', event, status, currency, is_duplicate,
       sum(conversions), sum(first_deposits),
       cast(sum(sale_amount_micros / 1000000) * 1000000 + sum(sale_amount_micros % 1000000) as integer),
       cast(sum(payout_micros / 1000000) * 1000000 + sum(payout_micros % 1000000) as integer),
       cast(sum(usd_sale_amount_micros / 1000000) * 1000000 + sum(usd_sale_amount_micros % 1000000) as integer),
       cast(sum(usd_payout_micros / 1000000) * 1000000 + sum(usd_payout_micros % 1000000) as integer),
       cast(sum(reporting_sale_amount_micros / 1000000) * 1000000 + sum(reporting_sale_amount_micros % 1000000) as integer),
       cast(sum(reporting_payout_micros / 1000000) * 1000000 + sum(reporting_payout_micros % 1000000) as integer)
from totals group by 2, 3, 4, 5, 6;
