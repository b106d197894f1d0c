-- Whose click it was: which account and which installation of an application an event named together with a click. The first event
-- that says so stays.
create table links (
    click_id text not null,
    kind text not null constraint links_kind check (kind in ('account', 'install')),
    linked_id text not null,
    event_id text not null constraint links_event references events,
    linked_at text not null,
    constraint links_pk primary key (click_id, kind, linked_id)
) strict;
create index links_by_linked on links (kind, linked_id);
