-- Statistics say what they count. A conversion's sale and payout may be in two currencies, and an amount that waits for an exchange rate is
-- summed apart; so both are part of a kind. Hours count returns, pending amounts and events apart. All totals are made anew from the
-- conversions. What senders state in US dollars has no sum of its own any more: nothing read it.
-- Not backward compatible: stop all older origins before migrating.

drop table totals;
create table totals (
    -- writers add into several rows for one thing, so that they need not wait for each other; readers sum them
    slot                  integer     not null,
    period_start          timestamptz not null,
    event                 text        not null,
    -- empty where the conversion has none
    status                text        not null,
    currency              text        not null,
    payout_currency       text        not null,
    is_duplicate          boolean     not null,
    -- which of the conversion's amounts have no US dollars yet, for want of a rate
    waiting               text        not null constraint totals_waiting check (waiting in ('', 'sale', 'payout', 'both')),
    conversions           bigint      not null,
    first_deposits        bigint      not null,
    sale_amount           numeric     not null,
    payout                numeric     not null,
    reporting_sale_amount numeric     not null,
    reporting_payout      numeric     not null
)
-- room to bring a row up to date in its own page, because each is written again and again
with (fillfactor = 50);
insert into totals (slot, period_start, event, status, currency, payout_currency, is_duplicate, waiting, conversions, first_deposits,
                    sale_amount, payout, reporting_sale_amount, reporting_payout)
select 0, period_start, event, status, currency, payout_currency, is_duplicate,
       case when sale_waits and payout_waits then 'both' when sale_waits then 'sale' when payout_waits then 'payout' else '' end,
       count(*), count(*) filter (where deposit = 'first'),
       sum(coalesce(sale_amount, 0)), sum(coalesce(payout, 0)),
       sum(coalesce(reporting_sale_amount, 0)), sum(coalesce(reporting_payout, 0))
from (
    select *,
           sale_amount is not null and reporting_sale_amount is null and currency not in ('', 'USD') as sale_waits,
           payout is not null and reporting_payout is null and payout_currency not in ('', 'USD') as payout_waits
    from (
        select date_bin('15 minutes', coalesce(conversion_datetime, ts_event, received_at), timestamptz '2000-01-01 00:00+00')
                   as period_start,
               event, coalesce(status, '') as status, is_duplicate, deposit,
               coalesce(counted_currency, currency, '') as currency,
               coalesce(counted_payout_currency, payout_currency, '') as payout_currency,
               coalesce(counted_sale_amount, sale_amount) as sale_amount,
               coalesce(counted_payout, payout) as payout,
               coalesce(counted_usd_sale_amount, usd_sale_amount, fx_sale_amount) as reporting_sale_amount,
               coalesce(counted_usd_payout, usd_payout, fx_payout) as reporting_payout
        from conversions
    ) as counted
) as timed group by 2, 3, 4, 5, 6, 7, 8;
alter table totals add constraint totals_pk
    primary key (period_start, event, status, currency, payout_currency, is_duplicate, waiting, slot);
-- rows of slots are put together when nobody adds to them any more
create index totals_apart on totals (period_start) where slot <> 0;

drop table totals_by_day;
create table totals_by_day (like totals including defaults including constraints)
with (fillfactor = 50);
insert into totals_by_day (slot, period_start, event, status, currency, payout_currency, is_duplicate, waiting, conversions, first_deposits,
                           sale_amount, payout, reporting_sale_amount, reporting_payout)
select 0, date_bin('1 day', period_start, timestamptz '2000-01-01 00:00+00'), event, status, currency, payout_currency, is_duplicate,
       waiting, sum(conversions), sum(first_deposits), sum(sale_amount), sum(payout), sum(reporting_sale_amount), sum(reporting_payout)
from totals group by 2, 3, 4, 5, 6, 7, 8;
alter table totals_by_day add constraint totals_by_day_pk
    primary key (period_start, event, status, currency, payout_currency, is_duplicate, waiting, slot);
create index totals_by_day_apart on totals_by_day (period_start) where slot <> 0;
-- how many conversions wait is asked at every scrape
create index totals_by_day_waiting on totals_by_day (period_start) where waiting <> '';

drop table totals_by_hour;
create table totals_by_hour (
    -- as in totals
    slot                  integer     not null,
    period_start          timestamptz not null,
    -- those that count, without refunds and chargebacks; of these, sales, registrations and deposits
    conversions           bigint      not null,
    sales                 bigint      not null,
    registrations         bigint      not null,
    deposits              bigint      not null,
    -- those that count
    refunds               bigint      not null,
    chargebacks           bigint      not null,
    -- those that do not: marked as a duplicate, or else rejected
    rejected              bigint      not null,
    duplicates            bigint      not null,
    -- of those that count
    first_deposits        bigint      not null,
    waiting_for_rates     bigint      not null,
    reporting_sale_amount numeric     not null,
    reporting_payout      numeric     not null,
    -- of these, what refunds and chargebacks are, and what pending conversions are
    returned_sale_amount  numeric     not null,
    returned_payout       numeric     not null,
    pending_sale_amount   numeric     not null,
    pending_payout        numeric     not null
)
with (fillfactor = 50);
insert into totals_by_hour (slot, period_start, conversions, sales, registrations, deposits, refunds, chargebacks,
                            rejected, duplicates, first_deposits, waiting_for_rates,
                            reporting_sale_amount, reporting_payout, returned_sale_amount, returned_payout, pending_sale_amount, pending_payout)
select 0, date_bin('1 hour', period_start, timestamptz '2000-01-01 00:00+00'),
       coalesce(sum(conversions) filter (where counts and event not in ('refund', 'chargeback')), 0),
       coalesce(sum(conversions) filter (where counts and event not in ('registration', 'kyc_approved', 'deposit', 'lead', 'install', 'refund', 'chargeback')), 0),
       coalesce(sum(conversions) filter (where counts and event = 'registration'), 0),
       coalesce(sum(conversions) filter (where counts and event = 'deposit'), 0),
       coalesce(sum(conversions) filter (where counts and event = 'refund'), 0),
       coalesce(sum(conversions) filter (where counts and event = 'chargeback'), 0),
       coalesce(sum(conversions) filter (where not is_duplicate and status = 'rejected'), 0),
       coalesce(sum(conversions) filter (where is_duplicate), 0),
       coalesce(sum(first_deposits) filter (where counts), 0),
       coalesce(sum(conversions) filter (where counts and waiting <> ''), 0),
       coalesce(sum(reporting_sale_amount) filter (where counts), 0),
       coalesce(sum(reporting_payout) filter (where counts), 0),
       coalesce(sum(reporting_sale_amount) filter (where counts and event in ('refund', 'chargeback')), 0),
       coalesce(sum(reporting_payout) filter (where counts and event in ('refund', 'chargeback')), 0),
       coalesce(sum(reporting_sale_amount) filter (where counts and status = 'pending'), 0),
       coalesce(sum(reporting_payout) filter (where counts and status = 'pending'), 0)
from (select *, not is_duplicate and status <> 'rejected' as counts from totals) as totals group by 2;
alter table totals_by_hour add constraint totals_by_hour_pk primary key (period_start, slot);
create index totals_by_hour_apart on totals_by_hour (period_start) where slot <> 0;
