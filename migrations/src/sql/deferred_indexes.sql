-- Indexes of a fresh journal are built after its load. What is dropped is remembered as the statement that makes it again, in the same transaction.
create table journal.deferred (
    ordinal    integer primary key generated always as identity,
    statement  text not null
);

-- Drops all indexes and references of an empty journal but the one by position. False if there are entries, or if this role may not.
create function journal.defer_indexes() returns boolean language plpgsql set search_path = pg_catalog as $$
declare
    tables constant regclass[] := array['journal.record', 'journal.transaction'];
    one record;
begin
    if exists (select from pg_class where oid = any (tables) and not pg_has_role(relowner, 'usage')) then
        return false;
    end if;
    lock table journal.record, journal.transaction in access exclusive mode;
    if exists (select from journal.record) or exists (select from journal.deferred) then
        return false;
    end if;
    for one in
        select 1 as place, pg_get_indexdef(i.indexrelid) as make, format('drop index journal.%I', c.relname) as remove
        from pg_index i join pg_class c on c.oid = i.indexrelid
        where i.indrelid = any (tables) and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
        union all
        select case k.contype when 'f' then 3 else 2 end,
               format('alter table journal.%I add constraint %I %s', c.relname, k.conname, pg_get_constraintdef(k.oid)),
               format('alter table journal.%I drop constraint %I', c.relname, k.conname)
        from pg_constraint k join pg_class c on c.oid = k.conrelid
        where k.conrelid = any (tables) and k.contype in ('p', 'u', 'f') and k.conname <> 'record_pkey'
        order by place, make
    loop
        insert into journal.deferred (statement) values (one.make);
        execute one.remove;
    end loop;
    return true;
end $$;

-- Makes the next again of what was dropped, unless somebody else does; false if there is none. Two at a time keep two cores busy.
create function journal.restore_next() returns boolean language plpgsql
    set search_path = pg_catalog set maintenance_work_mem = '256MB' as $$
declare
    next record;
begin
    select ordinal, statement into next from journal.deferred order by ordinal limit 1 for update skip locked;
    if not found then
        return false;
    end if;
    execute next.statement;
    delete from journal.deferred where ordinal = next.ordinal;
    return true;
end $$;

-- Makes all of it again, one after another; returns how many.
create function journal.restore_indexes() returns integer language plpgsql set search_path = pg_catalog as $$
declare
    made integer := 0;
begin
    while journal.restore_next() loop
        made := made + 1;
    end loop;
    return made;
end $$;
