-- Verdicts as of the last check; the evidence is in findings (protocol::verdict::Finding).
create schema verdict;
create sequence verdict.revision;

create table verdict.instance (
    issuer             bytea not null,
    instance_id        bytea not null,
    model_id           bytea not null,
    status             text not null check (status in ('passed', 'not_checked', 'unavailable', 'failed')),
    site               text,
    engine             text,                  -- execution engine, read from the instance document; null where that is not known
    as_of_block        bigint not null,
    as_of_block_hash   bytea not null,
    checked_at         timestamptz not null,
    trust              text not null,
    findings           jsonb not null,
    revision           bigint not null default nextval('verdict.revision'),
    journal_position   bigint not null default 0,      -- the journal's entry that the check took into account
    primary key (issuer, instance_id)
);
create index instance_status on verdict.instance (status);
create index instance_revision on verdict.instance (revision);
create index instance_checked_at on verdict.instance (checked_at);

-- Of a state under a root this row is the only one that there is: it is written only if the published leaves make the root.
create table verdict.state (
    issuer             bytea not null,
    instance_id        bytea not null,
    sequence           bigint not null,
    state_id           bytea not null,
    status             text not null check (status in ('passed', 'not_checked', 'unavailable', 'failed')),
    state_name         text,
    entered_at_ms      bigint,
    findings           jsonb not null,
    predecessor        bigint,                -- sequence of the state it was entered from
    input              text check (input in ('published', 'committed', 'disclosed')),  -- what can be known of its input; null where its document could not be read
    primary key (issuer, instance_id, sequence),
    foreign key (issuer, instance_id) references verdict.instance on delete cascade
);
create index state_status on verdict.state (status);
create index state_id on verdict.state (state_id);

-- What was deleted, so that who follows revisions learns of it.
create table verdict.removal (
    issuer             bytea not null,
    instance_id        bytea not null,
    revision           bigint not null default nextval('verdict.revision'),
    primary key (issuer, instance_id)
);
create index removal_revision on verdict.removal (revision);

create function verdict.keep_removal() returns trigger language plpgsql as $$ begin
    insert into verdict.removal (issuer, instance_id) values (old.issuer, old.instance_id)
    on conflict (issuer, instance_id) do update set revision = excluded.revision;
    return null;
end $$;
create trigger keep_removal after delete on verdict.instance for each row execute function verdict.keep_removal();

-- Writers take turns, so that revisions become visible in their order: who has read up to one has missed none before it.
create function verdict.take_turns() returns trigger language plpgsql as $$ begin
    perform pg_advisory_xact_lock('verdict.revision'::regclass::bigint);
    return null;
end $$;
create trigger take_turns before insert or update or delete on verdict.instance for each statement execute function verdict.take_turns();

grant usage on schema verdict to runproof_reader;
grant select on all tables in schema verdict to runproof_reader;
