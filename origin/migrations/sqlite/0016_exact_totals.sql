-- Statistics say what they count. A conversion's sale and payout may be in two currencies, and an amount that waits for an exchange rate is
-- summed apart; so both are part of a kind. Hours count returns, pending amounts and events apart. All totals are made anew from the
-- conversions. What senders state in US dollars has no sum of its own any more: nothing read it.
-- Not backward compatible: stop all older origins before migrating.
--
-- Sums are exact: an integer of micro-units is too small for a sum of large amounts. Each has two columns, added to separately: thousands of
-- units, and the micro-units below them. They hold the sum of more than nine thousand million amounts, whatever they are.

drop table totals;
create table totals (
    -- always 0: there is one writer
    slot integer not null,
    period_start text not null,
    event text not null,
    -- empty where the conversion has none
    status text not null,
    currency text not null,
    payout_currency text not null,
    is_duplicate integer not null,
    -- which of the conversion's amounts have no US dollars yet, for want of a rate
    waiting text not null constraint totals_waiting check (waiting in ('', 'sale', 'payout', 'both')),
    conversions integer not null,
    first_deposits integer not null,
    sale_amount_thousands integer not null,
    sale_amount_micros integer not null,
    payout_thousands integer not null,
    payout_micros integer not null,
    reporting_sale_amount_thousands integer not null,
    reporting_sale_amount_micros integer not null,
    reporting_payout_thousands integer not null,
    reporting_payout_micros integer not null,
    constraint totals_pk primary key (period_start, event, status, currency, payout_currency, is_duplicate, waiting, slot)
) strict;
insert into totals (slot, period_start, event, status, currency, payout_currency, is_duplicate, waiting, conversions, first_deposits,
                    sale_amount_thousands, sale_amount_micros, payout_thousands, payout_micros,
                    reporting_sale_amount_thousands, reporting_sale_amount_micros, reporting_payout_thousands, reporting_payout_micros)
select 0, period_start, event, status, currency, payout_currency, is_duplicate,
       case when sale_waits and payout_waits then 'both' when sale_waits then 'sale' when payout_waits then 'payout' else '' end,
       count(*), sum(case when deposit = 'first' then 1 else 0 end),
       sum(coalesce(sale_amount, 0) / 1000000000), sum(coalesce(sale_amount, 0) % 1000000000),
       sum(coalesce(payout, 0) / 1000000000), sum(coalesce(payout, 0) % 1000000000),
       sum(coalesce(reporting_sale_amount, 0) / 1000000000), sum(coalesce(reporting_sale_amount, 0) % 1000000000),
       sum(coalesce(reporting_payout, 0) / 1000000000), sum(coalesce(reporting_payout, 0) % 1000000000)
from (
    select *,
           (sale_amount is not null and reporting_sale_amount is null and currency not in ('', 'USD')) as sale_waits,
           (payout is not null and reporting_payout is null and payout_currency not in ('', 'USD')) as payout_waits
    from (
        select substr(happened_at, 1, 14) || printf('%02d', substr(happened_at, 15, 2) / 15 * 15) || ':00.000000Z' as period_start,
               event, coalesce(status, '') as status, is_duplicate, deposit,
               coalesce(counted_currency, currency, '') as currency,
               coalesce(counted_payout_currency, payout_currency, '') as payout_currency,
               coalesce(counted_sale_amount_micros, sale_amount_micros) as sale_amount,
               coalesce(counted_payout_micros, payout_micros) as payout,
               coalesce(counted_usd_sale_amount_micros, usd_sale_amount_micros, fx_sale_amount_micros) as reporting_sale_amount,
               coalesce(counted_usd_payout_micros, usd_payout_micros, fx_payout_micros) as reporting_payout
        from (select *, coalesce(conversion_datetime, ts_event, received_at) as happened_at from conversions)
    )
) group by 2, 3, 4, 5, 6, 7, 8;

drop table totals_by_day;
create table totals_by_day (
    slot integer not null,
    period_start text not null,
    event text not null,
    status text not null,
    currency text not null,
    payout_currency text not null,
    is_duplicate integer not null,
    waiting text not null constraint totals_by_day_waiting check (waiting in ('', 'sale', 'payout', 'both')),
    conversions integer not null,
    first_deposits integer not null,
    sale_amount_thousands integer not null,
    sale_amount_micros integer not null,
    payout_thousands integer not null,
    payout_micros integer not null,
    reporting_sale_amount_thousands integer not null,
    reporting_sale_amount_micros integer not null,
    reporting_payout_thousands integer not null,
    reporting_payout_micros integer not null,
    constraint totals_by_day_pk primary key (period_start, event, status, currency, payout_currency, is_duplicate, waiting, slot)
) strict;
insert into totals_by_day (slot, period_start, event, status, currency, payout_currency, is_duplicate, waiting, conversions, first_deposits,
                           sale_amount_thousands, sale_amount_micros, payout_thousands, payout_micros,
                           reporting_sale_amount_thousands, reporting_sale_amount_micros, reporting_payout_thousands, reporting_payout_micros)
select 0, substr(period_start, 1, 11) || '00:00:00.000000Z', event, status, currency, payout_currency, is_duplicate,
       waiting, sum(conversions), sum(first_deposits),
       sum(sale_amount_thousands), sum(sale_amount_micros),
       sum(payout_thousands), sum(payout_micros),
       sum(reporting_sale_amount_thousands), sum(reporting_sale_amount_micros),
       sum(reporting_payout_thousands), sum(reporting_payout_micros)
from totals group by 2, 3, 4, 5, 6, 7, 8;
-- how many conversions wait is asked at every scrape
create index totals_by_day_waiting on totals_by_day (period_start) where waiting <> '';

drop table totals_by_hour;
create table totals_by_hour (
    slot integer not null,
    period_start text not null,
    -- those that count, without refunds and chargebacks; of these, sales, registrations and deposits
    conversions integer not null,
    sales integer not null,
    registrations integer not null,
    deposits integer not null,
    -- those that count
    refunds integer not null,
    chargebacks integer not null,
    -- those that do not: marked as a duplicate, or else rejected
    rejected integer not null,
    duplicates integer not null,
    -- of those that count
    first_deposits integer not null,
    waiting_for_rates integer not null,
    reporting_sale_amount_thousands integer not null,
    reporting_sale_amount_micros integer not null,
    reporting_payout_thousands integer not null,
    reporting_payout_micros integer not null,
    -- of these, what refunds and chargebacks are, and what pending conversions are
    returned_sale_amount_thousands integer not null,
    returned_sale_amount_micros integer not null,
    returned_payout_thousands integer not null,
    returned_payout_micros integer not null,
    pending_sale_amount_thousands integer not null,
    pending_sale_amount_micros integer not null,
    pending_payout_thousands integer not null,
    pending_payout_micros integer not null,
    constraint totals_by_hour_pk primary key (period_start, slot)
) strict;
insert into totals_by_hour (slot, period_start, conversions, sales, registrations, deposits, refunds, chargebacks,
                            rejected, duplicates, first_deposits, waiting_for_rates,
                            reporting_sale_amount_thousands, reporting_sale_amount_micros, reporting_payout_thousands, reporting_payout_micros,
                            returned_sale_amount_thousands, returned_sale_amount_micros, returned_payout_thousands, returned_payout_micros,
                            pending_sale_amount_thousands, pending_sale_amount_micros, pending_payout_thousands, pending_payout_micros)
select 0, substr(period_start, 1, 14) || '00:00.000000Z',
       sum(case when counts and event not in ('refund', 'chargeback') then conversions else 0 end),
       sum(case when counts and event not in ('registration', 'kyc_approved', 'deposit', 'lead', 'install', 'refund', 'chargeback') then conversions else 0 end),
       sum(case when counts and event = 'registration' then conversions else 0 end),
       sum(case when counts and event = 'deposit' then conversions else 0 end),
       sum(case when counts and event = 'refund' then conversions else 0 end),
       sum(case when counts and event = 'chargeback' then conversions else 0 end),
       sum(case when not is_duplicate and status = 'rejected' then conversions else 0 end),
       sum(case when is_duplicate then conversions else 0 end),
       sum(case when counts then first_deposits else 0 end),
       sum(case when counts and waiting <> '' then conversions else 0 end),
       sum(case when counts then reporting_sale_amount_thousands else 0 end),
       sum(case when counts then reporting_sale_amount_micros else 0 end),
       sum(case when counts then reporting_payout_thousands else 0 end),
       sum(case when counts then reporting_payout_micros else 0 end),
       sum(case when counts and event in ('refund', 'chargeback') then reporting_sale_amount_thousands else 0 end),
       sum(case when counts and event in ('refund', 'chargeback') then reporting_sale_amount_micros else 0 end),
       sum(case when counts and event in ('refund', 'chargeback') then reporting_payout_thousands else 0 end),
       sum(case when counts and event in ('refund', 'chargeback') then reporting_payout_micros else 0 end),
       sum(case when counts and status = 'pending' then reporting_sale_amount_thousands else 0 end),
       sum(case when counts and status = 'pending' then reporting_sale_amount_micros else 0 end),
       sum(case when counts and status = 'pending' then reporting_payout_thousands else 0 end),
       sum(case when counts and status = 'pending' then reporting_payout_micros else 0 end)
from (select *, not is_duplicate and status <> 'rejected' as counts from totals) group by 2;
