-- What conversions come to, by quarters of an hour, so that nobody goes through all of them to know a day: midnight is at a quarter
-- of an hour in every time zone. A transaction that begins or revises conversions brings these up to date. A conversion counts in
-- the quarter of its own time: when it happened, or else when its event did, or else when it was received. Money in micro-units;
-- what is more than an integer holds stays at the largest.
create table totals (
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
    constraint totals_pk primary key (period_start, event, status, currency, is_duplicate, slot)
) strict;

insert into totals (slot, period_start, event, status, currency, is_duplicate, conversions,
                    sale_amount_micros, payout_micros, usd_sale_amount_micros, usd_payout_micros)
select 0, substr(happened_at, 1, 14) || printf('%02d', substr(happened_at, 15, 2) / 15 * 15) || ':00.000000Z',
       event, coalesce(status, ''), coalesce(currency, ''), is_duplicate, count(*),
       cast(sum(coalesce(sale_amount_micros, 0) / 1000000) * 1000000 + sum(coalesce(sale_amount_micros, 0) % 1000000) as integer),
       cast(sum(coalesce(payout_micros, 0) / 1000000) * 1000000 + sum(coalesce(payout_micros, 0) % 1000000) as integer),
       cast(sum(coalesce(usd_sale_amount_micros, 0) / 1000000) * 1000000 + sum(coalesce(usd_sale_amount_micros, 0) % 1000000) as integer),
       cast(sum(coalesce(usd_payout_micros, 0) / 1000000) * 1000000 + sum(coalesce(usd_payout_micros, 0) % 1000000) as integer)
from (select *, coalesce(conversion_datetime, ts_event, received_at) as happened_at from conversions)
group by 2, 3, 4, 5, 6;
