-- A conversion's state is a function of the set of its receipts, applied in the order in which the gateway received them: by the
-- receipt time in milliseconds, then by the request id. What that fold needs stays as long as the event does.
-- Not backward compatible: stop all older origins before migrating.

-- Which conversion the event is about, the request that it entered by, and whether its sender named the event or a default did.
alter table events add column conversion_key text;
alter table events add column request_id text collate "C" not null default '';
alter table events add column names_event boolean not null default true;
update events set conversion_key = made.conversion_key
from (select event_id, min(conversion_key) as conversion_key from revisions group by event_id) as made
where made.event_id = events.event_id;
update events set conversion_key = coalesce(
    (select min(conversions.conversion_key) from conversions
     where conversions.conversion_id = events.conversion_id and conversions.event = events.event),
    (select min(conversions.conversion_key) from conversions where conversions.conversion_id = events.conversion_id),
    conversion_id)
where conversion_key is null;
alter table events alter column conversion_key set not null;
update events set names_event = false where event = 'conversion';
update events set request_id = entered.request_id from postbacks as entered
where entered.event_id = events.event_id and entered.received_at = events.received_at
    and entered.verdict not in ('duplicate', 'conflict');
drop index events_by_conversion;
create index events_by_key on events (conversion_key);

-- Further receipts of events that were known: a repeat keeps a duplicate window open, may be a return to an earlier state, and may turn out
-- to be the first receipt. One request delivered twice is one receipt.
create table repeats (
    event_id    text        not null constraint repeats_event references events,
    request_id  text        collate "C" not null,
    received_at timestamptz not null,
    receipt_id  text        not null,
    constraint repeats_pk primary key (event_id, request_id)
);
insert into repeats (event_id, request_id, received_at, receipt_id)
select distinct on (again.event_id, again.request_id) again.event_id, again.request_id, again.received_at, again.receipt_id
from postbacks as again join events on events.event_id = again.event_id
where again.verdict = 'duplicate' and again.request_id <> events.request_id
order by again.event_id, again.request_id, again.received_at;

-- Of several events that name the same link, the first one received stays; the request id decides between equal times.
alter table links add column request_id text collate "C" not null default '';
update links set request_id = coalesce(
    (select events.request_id from events where events.event_id = links.event_id and events.received_at = links.linked_at), '');

-- Conversions that have to be folded again, because a receipt was stored behind one that came later.
create table rebuilds (
    conversion_key text        not null constraint rebuilds_pk primary key,
    -- grows with each receipt that is stored meanwhile: a fold of fewer receipts is not written
    generation     bigint      not null,
    due_at         timestamptz not null,
    attempts       integer     not null default 0,
    last_error     text
);
create index rebuilds_due on rebuilds (due_at);

-- The last receipt about a conversion: when it came, in Unix milliseconds, its request and its event; and the request of the first. They
-- are ordered by their bytes.
alter table conversions rename column last_received_s to last_received_ms;
update conversions set last_received_ms = last_received_ms * 1000;
alter table conversions add column last_request_id text collate "C" not null default '';
alter table conversions add column last_event_id text collate "C" not null default '';
alter table conversions add column first_request_id text collate "C" not null default '';
-- Sale and payout are two statements of money, each with a currency of its own.
alter table conversions add column payout_currency text;
update conversions set payout_currency = currency where payout is not null;
update conversions set currency = null where sale_amount is null;
-- a later notice said one form of an amount alone, local or dollars, so the other form no longer holds
alter table conversions add column is_sale_amount_dropped boolean not null default false;
alter table conversions add column is_payout_dropped boolean not null default false;
-- a known event came again after its sender's retries and revised the conversion
alter table conversions add column is_returned boolean not null default false;
-- of a refund or chargeback: the event id of the sale, as its sender names it
alter table conversions add column original_event_id text;
create index conversions_by_original on conversions (original_event_id) where original_event_id is not null;
-- What goes back of a sale, by its conversion id and by what was found.
create index conversions_returns on conversions (conversion_id) where event in ('refund', 'chargeback');
create index conversions_by_refund_of on conversions (refund_of) where refund_of is not null;
-- Of a refund or chargeback, evaluated: what it counts for in the balance of its sale.
alter table conversions add column counted_sale_amount numeric
    constraint conversions_counted_sale_amount check (scale(counted_sale_amount) <= 6);
alter table conversions add column counted_payout numeric
    constraint conversions_counted_payout check (scale(counted_payout) <= 6);
alter table conversions add column counted_currency text;
alter table conversions add column counted_payout_currency text;
alter table conversions add column counted_usd_sale_amount numeric
    constraint conversions_counted_usd_sale_amount check (scale(counted_usd_sale_amount) <= 6);
alter table conversions add column counted_usd_payout numeric
    constraint conversions_counted_usd_payout check (scale(counted_usd_payout) <= 6);
-- of a sale, evaluated: chargebacks left nothing of it
alter table conversions add column is_charged_back boolean not null default false;

-- An account's deposits: by when they happened, then by receipt. One that was charged back may no longer count.
drop index conversions_by_deposit;
alter table conversions drop constraint conversions_deposit;
alter table conversions add constraint conversions_deposit check (deposit in ('first', 'repeat', 'too_small', 'bonus', 'zero',
    'no_amount', 'no_account', 'rejected', 'undecided', 'reversed', 'duplicate'));
create index conversions_by_deposit on conversions
    (account_id, coalesce(conversion_datetime, ts_event, received_at), received_at, first_request_id, conversion_key, occurrence)
    where deposit in ('first', 'repeat');

-- Each revision keeps what the conversion stated behind it: its money delta is the difference to the revision before. It is booked when
-- it was received, and effective when its event happened.
alter table revisions add column effective_at timestamptz;
alter table revisions add column status text;
alter table revisions add column sale_amount numeric;
alter table revisions add column currency text;
alter table revisions add column usd_sale_amount numeric;
alter table revisions add column payout numeric;
alter table revisions add column payout_currency text;
alter table revisions add column usd_payout numeric;
alter table revisions add column is_return boolean not null default false;
