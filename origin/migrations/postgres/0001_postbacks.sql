-- One partner's database. Times are instants; amounts are exact decimals whose scale is kept, so that 10.50 stays 10.50.

-- Every event once: the primary key is what makes a repeat harmless.
create table events (
    event_id      text        not null constraint events_pk primary key,
    event         text        not null,
    conversion_id text        not null,
    -- what must not differ between two requests of one event id
    fingerprint   text        not null,
    -- the canonical postback, every value as text
    content       jsonb       not null,
    received_at   timestamptz not null
);
create index events_by_conversion on events (conversion_id);

-- Every request that reached a verdict, as it was received: repeats and contradictions too, for disputes.
create table postbacks (
    postback_id  bigint generated always as identity constraint postbacks_pk primary key,
    event_id     text        not null,
    verdict      text        not null constraint postbacks_verdict
                 check (verdict in ('created', 'duplicate', 'revised', 'conflict')),
    request_id   text        not null,
    received_at  timestamptz not null,
    auth_mode    text        not null,
    key_id       text,
    client_ip    text,
    method       text        not null,
    target       text        not null,
    -- those that identify sender and signature; never credentials
    headers      jsonb       not null,
    content_type text,
    body         text,
    content      jsonb       not null,
    ignored      jsonb       not null,
    warnings     jsonb       not null
);
create index postbacks_by_event on postbacks (event_id);
create index postbacks_by_time on postbacks (received_at);

-- The business record that events create and revise: what is true now.
create table conversions (
    conversion_id       text        not null constraint conversions_pk primary key,
    revision            integer     not null,
    event_id            text        not null constraint conversions_event references events,
    event               text        not null,
    click_id            text,
    order_id            text,
    media_id            text,
    sub_id              text,
    offer_id            text,
    offer_name          text,
    account_id          text,
    status              text,
    ts_event            timestamptz,
    conversion_datetime timestamptz,
    sale_amount         numeric     constraint conversions_sale_amount check (scale(sale_amount) <= 6),
    payout              numeric     constraint conversions_payout check (scale(payout) <= 6),
    currency            text,
    usd_sale_amount     numeric     constraint conversions_usd_sale_amount check (scale(usd_sale_amount) <= 6),
    usd_payout          numeric     constraint conversions_usd_payout check (scale(usd_payout) <= 6),
    is_ftd              boolean,
    is_processed        boolean     not null default false,
    is_duplicate        boolean     not null default false,
    processing_error    text,
    received_at         timestamptz not null,
    created_at          timestamptz not null,
    updated_at          timestamptz not null
);
create index conversions_by_click on conversions (click_id);
create index conversions_by_time on conversions (conversion_datetime);

-- How a conversion came to be what it is: one row per event that changed it, the first included.
create table revisions (
    conversion_id text        not null constraint revisions_conversion references conversions,
    revision      integer     not null,
    event_id      text        not null constraint revisions_event references events,
    received_at   timestamptz not null,
    constraint revisions_pk primary key (conversion_id, revision)
);

-- Nonces of signed requests, kept while their signatures could be replayed.
create table nonces (
    nonce   text        not null constraint nonces_pk primary key,
    seen_at timestamptz not null
);
create index nonces_by_time on nonces (seen_at);
