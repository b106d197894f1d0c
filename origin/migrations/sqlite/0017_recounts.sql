-- The recounts of the nights: each night one origin recounts what changed and a part of the rest, and leaves here how far it came and what
-- it found.
create table recounts (
    -- the date of the night in UTC
    day text not null constraint recounts_pk primary key,
    -- the origin that does it has it until then; another one goes on from where it came to
    lease_id text not null,
    leased_until text not null,
    -- how far it came, and how many differences it found
    progress text not null,
    finished_at text
) strict;
