-- The same totals by hours: nearly every day of every time zone begins at one, and the quarters of a year are four times as many.
-- A program of before must not write beside one that knows this table: it would leave it as it was.
create table totals_by_hour (like totals including defaults)
with (fillfactor = 50);
insert into totals_by_hour (slot, period_start, event, status, currency, is_duplicate, conversions, first_deposits,
                            sale_amount, payout, usd_sale_amount, usd_payout, reporting_sale_amount, reporting_payout)
select 0, date_bin('1 hour', period_start, timestamptz '2000-01-01 00:00+00'), event, status, currency, is_duplicate,
       sum(conversions), sum(first_deposits), sum(sale_amount), sum(payout), sum(usd_sale_amount), sum(usd_payout),
       sum(reporting_sale_amount), sum(reporting_payout)
from totals group by 2, 3, 4, 5, 6;
alter table totals_by_hour add constraint totals_by_hour_pk
    primary key (period_start, event, status, currency, is_duplicate, slot);

-- Rows of slots are put together when nobody adds to them any more.
create index totals_apart on totals (period_start) where slot <> 0;
create index totals_by_hour_apart on totals_by_hour (period_start) where slot <> 0;
