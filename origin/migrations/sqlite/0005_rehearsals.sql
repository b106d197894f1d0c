-- Where D1 rehearses: it has no rollback that brings anything out, so the last statement of a rehearsal writes its verdict into
-- this table, which refuses it with the verdict in its words. That undoes the whole batch. The table is always empty. The words are
-- spelled out because programs with an older SQLite, which read these files, know no others.
create table rehearsals (verdict text not null) strict;
create trigger rehearsals_are_undone before insert on rehearsals begin
    select case new.verdict
        when 'created' then raise(abort, 'rehearsed: created.')
        when 'duplicate' then raise(abort, 'rehearsed: duplicate.')
        when 'revised' then raise(abort, 'rehearsed: revised.')
        when 'conflict' then raise(abort, 'rehearsed: conflict.')
        else raise(abort, 'a rehearsal without a verdict')
    end;
end;
