-- Every click on an offer's link, once: the primary key is what makes a repeated batch harmless. Clicks are no postbacks: they
-- say where a visitor came from, and a conversion that names one by its click_id says what became of it.
create table clicks (
    click_id        text        not null constraint clicks_pk primary key,
    -- the offer's code in the partner's file
    offer           text        not null,
    clicked_at      timestamptz not null,
    sub_id          text,
    media_id        text,
    -- ISO 3166, two capitals
    geo             text,
    device          text,
    -- a page without query and fragment
    referrer        text,
    consent_version text,
    -- parameters by their whole names, such as {"utm_source": "mail"}
    utm             jsonb       not null,
    received_at     timestamptz not null
);
create index clicks_by_time on clicks (clicked_at);
