-- Where D1 rehearses: it has no rollback that brings anything out, so the last statement of a rehearsal writes its outcome into
-- this table, which refuses it with the outcome as its words. That undoes the whole batch. The table is always empty.
create table rehearsals (outcome text not null) strict;
create trigger rehearsals_are_undone before insert on rehearsals begin
    select raise(abort, 'rehearsed ' || new.outcome);
end;
