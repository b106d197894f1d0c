-- What all partners share: who may send and read, what the partner files say, and who changed it.

-- What the partner files came to, as the program that ran last was built with them.
create table tenants (
    tenant     text        not null constraint tenants_pk primary key,
    created_at timestamptz not null
);
create table partners (
    partner             text        not null constraint partners_pk primary key,
    tenant              text        not null constraint partners_tenant references tenants,
    name                text        not null,
    endpoint            text        not null,
    database_name       text        not null,
    is_active           boolean     not null,
    enable_logging      boolean     not null,
    max_daily_requests  bigint      not null,
    data_retention_days bigint      not null,
    -- all of the file, mapping included
    file                jsonb       not null,
    updated_at          timestamptz not null,
    -- the change that it is by, as the audit log has it
    change_id           text        not null
);

-- Tokens and keys. Of the secret only its SHA-256 is kept: it is random and long, and shown once.
create table credentials (
    credential_id text        not null constraint credentials_pk primary key,
    tenant        text        not null,
    -- the one partner that it is for; null: all of the tenant's
    partner       text,
    scope         text        not null constraint credentials_scope check (scope in ('ingest', 'read', 'operate')),
    label         text        not null,
    digest        text        not null constraint credentials_digest unique,
    created_at    timestamptz not null,
    expires_at    timestamptz not null,
    revoked_at    timestamptz,
    -- to the minute or so
    last_used_at  timestamptz,
    -- the one that was made in its place
    replaced_by   text,
    change_id     text        not null
);
create index credentials_by_expiry on credentials (expires_at);

-- What operators did. Rows come and stay.
create table audit_log (
    audit_id  bigint generated always as identity constraint audit_log_pk primary key,
    change_id text        not null,
    at        timestamptz not null,
    -- who: a person at a command line, or an origin by itself
    actor     text        not null,
    -- such as token.create
    action    text        not null,
    -- what it was done to
    subject   text        not null,
    details   jsonb       not null
);
create function refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;
create trigger audit_log_stays before update or delete on audit_log for each row execute function refuse_change();
create trigger audit_log_stays_whole before truncate on audit_log for each statement execute function refuse_change();
