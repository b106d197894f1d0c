-- Exchange rates by date (R51): how many units of a currency one euro was worth, as the European Central Bank publishes them.
create table rates (
    rate_date text not null,
    -- ISO 4217; never EUR
    currency text not null,
    -- a decimal, as text
    rate text not null,
    imported_at text not null,
    -- the import that it is by, as the audit log has it
    change_id text not null,
    constraint rates_pk primary key (rate_date, currency)
) strict;
create index rates_by_import on rates (change_id);
