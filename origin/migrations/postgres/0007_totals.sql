-- What conversions come to, by quarters of an hour, so that nobody goes through all of them to know a day: midnight is at a quarter
-- of an hour in every time zone. A transaction that begins or revises conversions brings these up to date. A conversion counts in
-- the quarter of its own time: when it happened, or else when its event did, or else when it was received.
create table totals (
    -- writers add into several rows for one thing, so that they need not wait for each other; readers sum them
    slot            integer     not null,
    period_start    timestamptz not null,
    event           text        not null,
    -- empty where the conversion has none
    status          text        not null default '',
    currency        text        not null default '',
    is_duplicate    boolean     not null,
    conversions     bigint      not null,
    sale_amount     numeric     not null,
    payout          numeric     not null,
    usd_sale_amount numeric     not null,
    usd_payout      numeric     not null,
    constraint totals_pk primary key (period_start, event, status, currency, is_duplicate, slot)
)
-- room to bring a row up to date in its own page, because each is written again and again
with (fillfactor = 50);

insert into totals (slot, period_start, event, status, currency, is_duplicate, conversions,
                    sale_amount, payout, usd_sale_amount, usd_payout)
select 0, date_bin('15 minutes', coalesce(conversion_datetime, ts_event, received_at), timestamptz '2000-01-01 00:00+00'),
       event, coalesce(status, ''), coalesce(currency, ''), is_duplicate, count(*),
       sum(coalesce(sale_amount, 0)), sum(coalesce(payout, 0)), sum(coalesce(usd_sale_amount, 0)), sum(coalesce(usd_payout, 0))
from conversions group by 2, 3, 4, 5, 6;
