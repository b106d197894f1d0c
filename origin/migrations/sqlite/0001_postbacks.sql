-- One partner's database. Times are text in UTC of one length, so that their order is the order of time. Amounts are
-- whole micro-units, because SQLite sums integers exactly and decimals not at all; each stands beside itself as the text
-- that a person reads.

-- Every event once: the primary key is what makes a repeat harmless.
create table events (
    event_id text not null constraint events_pk primary key,
    event text not null,
    conversion_id text not null,
    -- what must not differ between two requests of one event id
    fingerprint text not null,
    -- the canonical postback, every value as text
    content text not null,
    received_at text not null
) strict;
create index events_by_conversion on events (conversion_id);

-- Every request that reached a verdict, as it was received: repeats and contradictions too, for disputes.
create table postbacks (
    postback_id integer constraint postbacks_pk primary key,
    event_id text not null,
    verdict text not null constraint postbacks_verdict
        check (verdict in ('created', 'duplicate', 'revised', 'conflict')),
    request_id text not null,
    received_at text not null,
    auth_mode text not null,
    key_id text,
    client_ip text,
    method text not null,
    target text not null,
    -- those that identify sender and signature; never credentials
    headers text not null,
    content_type text,
    body text,
    content text not null,
    ignored text not null,
    warnings text not null
) strict;
create index postbacks_by_event on postbacks (event_id);
create index postbacks_by_time on postbacks (received_at);

-- The business record that events create and revise: what is true now.
create table conversions (
    conversion_id text not null constraint conversions_pk primary key,
    revision integer not null,
    event_id text not null constraint conversions_event references events,
    event text not null,
    click_id text,
    order_id text,
    media_id text,
    sub_id text,
    offer_id text,
    offer_name text,
    account_id text,
    status text,
    ts_event text,
    conversion_datetime text,
    sale_amount_micros integer,
    sale_amount text generated always as (
        case when sale_amount_micros is null then null else
            iif(sale_amount_micros < 0, '-', '') || (abs(sale_amount_micros) / 1000000)
            || printf('.%02d', abs(sale_amount_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(sale_amount_micros) % 10000), '0')
        end) virtual,
    payout_micros integer,
    payout text generated always as (
        case when payout_micros is null then null else
            iif(payout_micros < 0, '-', '') || (abs(payout_micros) / 1000000)
            || printf('.%02d', abs(payout_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(payout_micros) % 10000), '0')
        end) virtual,
    currency text,
    usd_sale_amount_micros integer,
    usd_sale_amount text generated always as (
        case when usd_sale_amount_micros is null then null else
            iif(usd_sale_amount_micros < 0, '-', '') || (abs(usd_sale_amount_micros) / 1000000)
            || printf('.%02d', abs(usd_sale_amount_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(usd_sale_amount_micros) % 10000), '0')
        end) virtual,
    usd_payout_micros integer,
    usd_payout text generated always as (
        case when usd_payout_micros is null then null else
            iif(usd_payout_micros < 0, '-', '') || (abs(usd_payout_micros) / 1000000)
            || printf('.%02d', abs(usd_payout_micros) % 1000000 / 10000)
            || rtrim(printf('%04d', abs(usd_payout_micros) % 10000), '0')
        end) virtual,
    is_ftd integer,
    is_processed integer not null default 0,
    is_duplicate integer not null default 0,
    processing_error text,
    received_at text not null,
    created_at text not null,
    updated_at text not null
) strict;
create index conversions_by_click on conversions (click_id);
create index conversions_by_time on conversions (conversion_datetime);

-- How a conversion came to be what it is: one row per event that changed it, the first included.
create table revisions (
    conversion_id text not null constraint revisions_conversion references conversions,
    revision integer not null,
    event_id text not null constraint revisions_event references events,
    received_at text not null,
    constraint revisions_pk primary key (conversion_id, revision)
) strict;

-- Nonces of signed requests, kept while their signatures could be replayed.
create table nonces (
    nonce text not null constraint nonces_pk primary key,
    seen_at text not null
) strict;
create index nonces_by_time on nonces (seen_at);
