-- What all partners share: who may send and read, what the partner files say, and who changed it. Times are text of one length.

-- What the partner files came to, as the program that ran last was built with them.
create table tenants (
    tenant     text not null constraint tenants_pk primary key,
    created_at text not null
);
create table partners (
    partner             text    not null constraint partners_pk primary key,
    tenant              text    not null constraint partners_tenant references tenants,
    name                text    not null,
    endpoint            text    not null,
    database_name       text    not null,
    is_active           integer not null,
    enable_logging      integer not null,
    max_daily_requests  integer not null,
    data_retention_days integer not null,
    -- all of the file, mapping included
    file                text    not null,
    updated_at          text    not null,
    -- the change that it is by, as the audit log has it
    change_id           text    not null
);

-- Tokens and keys. Of the secret only its SHA-256 is kept: it is random and long, and shown once.
create table credentials (
    credential_id text not null constraint credentials_pk primary key,
    tenant        text not null,
    -- the one partner that it is for; null: all of the tenant's
    partner       text,
    scope         text not null constraint credentials_scope check (scope in ('ingest', 'read', 'operate')),
    label         text not null,
    digest        text not null constraint credentials_digest unique,
    created_at    text not null,
    expires_at    text not null,
    revoked_at    text,
    -- to the minute or so
    last_used_at  text,
    -- the one that was made in its place
    replaced_by   text,
    change_id     text not null
);
create index credentials_by_expiry on credentials (expires_at);

-- What operators did. Rows come and stay.
create table audit_log (
    audit_id  integer not null constraint audit_log_pk primary key autoincrement,
    change_id text    not null,
    at        text    not null,
    -- who: a person at a command line, or an origin by itself
    actor     text    not null,
    -- such as token.create
    action    text    not null,
    -- what it was done to
    subject   text    not null,
    details   text    not null
);
create trigger audit_log_is_not_updated before update on audit_log
begin
    select raise(abort, 'the audit log is append-only');
end;
-- `insert or replace` deletes without a trigger
create trigger audit_log_is_not_replaced before insert on audit_log
when exists (select 1 from audit_log where audit_log.audit_id = new.audit_id)
begin
    select raise(abort, 'the audit log is append-only');
end;
create trigger audit_log_is_not_deleted before delete on audit_log
begin
    select raise(abort, 'the audit log is append-only');
end;
