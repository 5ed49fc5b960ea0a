-- The journal: every registration, every retraction and every move of what the chain calls safe or final gets the next position. Append-only, but for retracted_by, which closes an entry's validity.
create schema journal;

-- What is followed, how far, and by which writer. Rows, header, cursor and journal change in one transaction. One source a database, so that
-- there is one position.
create table journal.source (
    source_id           smallint primary key generated always as identity,
    chain_id            bigint not null,
    contract            bytea not null check (length(contract) = 20),
    start_block         bigint not null,
    genesis_hash        bytea not null check (length(genesis_hash) = 32),   -- another one is another chain of the same id
    code_hash           bytea not null check (length(code_hash) = 32),      -- keccak256 of the contract's code
    kind                text not null,                                      -- registry or itrex: whose events are read
    writer_epoch        bigint not null default 0,      -- a writer with an older epoch is fenced
    block_number        bigint,                          -- cursor: last block taken
    block_hash          bytea,
    position            bigint not null default 0,       -- last position given
    safe_number         bigint not null default 0,       -- newest of our blocks that the chain calls safe
    finalized_number    bigint not null default 0,       -- likewise finalized
    updated_at          timestamptz not null default now(),
    unique (chain_id, contract)
);

create table journal.block (
    hash          bytea primary key check (length(hash) = 32),
    source_id     smallint not null references journal.source,
    number        bigint not null,
    parent_hash   bytea not null,
    timestamp_s   bigint not null,
    canonical     boolean not null default true
);
create unique index block_canonical on journal.block (source_id, number) where canonical;

-- That its block is there, and an entry's, is the writer's promise, which an audit looks after: Postgres would ask for it row by row, which takes
-- as long as all the rest of an insert.
create table journal.transaction (
    hash                     bytea not null check (length(hash) = 32),
    block_hash               bytea not null,                         -- in journal.block
    sender                   bytea not null,
    recipient                bytea,
    gas_used                 bigint not null,
    effective_gas_price_wei  numeric(39, 0) not null,
    primary key (hash, block_hash)
);

-- What is stored of an entry; journal.entry tells it as consumers get it.
create table journal.record (
    position            bigint primary key,
    source_id           smallint not null,                        -- the block's
    retracts            bigint references journal.record,         -- set on a retraction
    retracted_by        bigint,                                   -- set on what was retracted
    reason              text,
    replaced_by         bytea,
    kind                text not null,
    issuer              bytea check (length(issuer) = 20),
    instance_id         bytea check (length(instance_id) = 32),
    model_id            bytea check (length(model_id) = 32),
    content_id          bytea check (length(content_id) = 32),    -- state id, or fingerprint of a certificate; null in a revocation of all
    sequence            bigint,
    predecessor         bigint,
    batch               bigint,                                   -- sequence of the first state registered with it
    event               jsonb,                                    -- the event as consumers get it; null of a state, of which the columns tell all
    block_number        bigint not null,
    block_hash          bytea not null,                           -- in journal.block
    block_timestamp_s   bigint not null,
    transaction_hash    bytea,
    log_index           integer,                                  -- null if only calldata tells of it
    item_index          integer,
    recorded_at         timestamptz not null default now(),
    -- What the chain says of a block is no event of the contract: block_safe and block_finalized, for all that stands at or below the block.
    constraint record_of_event_or_block check (num_nulls(issuer, transaction_hash, item_index) in (0, 3)),
    constraint record_tells_all check (event is not null or kind = 'state_registered')
);
-- Almost all rows retract nothing, and are states: indexes over them would hold what nobody looks for.
create unique index record_retracts on journal.record (retracts) where retracts is not null;
create index record_kind on journal.record (kind, position) where kind <> 'state_registered';
create unique index record_origin on journal.record (block_number, log_index, item_index) nulls not distinct
    where retracts is null and retracted_by is null and issuer is not null;
create index record_instance on journal.record (instance_id, sequence) where instance_id is not null;
create index record_issuer on journal.record (issuer, position);
create index record_content on journal.record (content_id) where content_id is not null;
create index record_block on journal.record (block_number);

-- States of a log of many, as few bytes and under one index, so that a block of thousands can be read as soon as it has come. They are spread into rows of
-- journal.record, under its indexes, once it is quiet (journal.spread). A state is in one table or the other, never in both.
create table journal.batch (
    position            bigint primary key,                       -- of the first; the others follow
    source_id           smallint not null,
    issuer              bytea not null check (length(issuer) = 20),
    instance_id         bytea not null check (length(instance_id) = 32),
    sequence            bigint not null,                          -- of the first
    state_ids           bytea[] not null,
    predecessors        bigint[] not null,
    block_number        bigint not null,
    block_hash          bytea not null,
    block_timestamp_s   bigint not null,
    transaction_hash    bytea not null,
    log_index           integer not null,
    recorded_at         timestamptz not null default now()
);
-- Hashes do not get shorter by being compressed.
alter table journal.batch alter state_ids set storage external, alter predecessors set storage external;

-- Every entry's columns, whichever table holds them.
create view journal.row as
    select position, source_id, retracts, retracted_by, reason, replaced_by, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, batch,
           event, block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index, recorded_at
    from journal.record
    union all
    select b.position + s.place - 1, b.source_id, null::bigint, null::bigint, null::text, null::bytea, 'state_registered', b.issuer, b.instance_id,
           null::bytea, s.state_id, b.sequence + s.place - 1, s.predecessor, b.sequence, null::jsonb, b.block_number, b.block_hash, b.block_timestamp_s,
           b.transaction_hash, b.log_index, (s.place - 1)::integer, b.recorded_at
    from journal.batch b cross join lateral unnest(b.state_ids, b.predecessors) with ordinality as s (state_id, predecessor, place);

-- Makes rows of the oldest so many batches; returns how many batches it were. What is told is the same before and after, so whoever does it, and
-- whenever, does no harm.
create function journal.spread(batches bigint) returns bigint language sql set search_path = pg_catalog as $$
    with taken as (
        delete from journal.batch where position in (select position from journal.batch order by position limit batches) returning *
    ), spread as (
        insert into journal.record (position, source_id, kind, issuer, instance_id, content_id, sequence, predecessor, batch, block_number, block_hash,
                                    block_timestamp_s, transaction_hash, log_index, item_index, recorded_at)
        select t.position + s.place - 1, t.source_id, 'state_registered', t.issuer, t.instance_id, s.state_id, t.sequence + s.place - 1, s.predecessor,
               t.sequence, t.block_number, t.block_hash, t.block_timestamp_s, t.transaction_hash, t.log_index, (s.place - 1)::integer, t.recorded_at
        from taken t cross join lateral unnest(t.state_ids, t.predecessors) with ordinality as s (state_id, predecessor, place)
    )
    select count(*) from taken
$$;

-- The journal as it is read.
create view journal.entry as
    select position, source_id, retracts, retracted_by, reason, replaced_by, kind, issuer, instance_id, model_id, content_id, sequence, predecessor, batch,
           block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index, recorded_at,
           coalesce(event, jsonb_build_object('kind', kind, 'issuer', '0x' || encode(issuer, 'hex'), 'instance', encode(instance_id, 'hex'),
               'state', encode(content_id, 'hex'), 'sequence', sequence, 'predecessor', predecessor, 'batch', batch)) as event
    from journal.row;

-- Logs that could not be decoded: kept with their reason, so that nothing is lost. What changes gets the next id, by which the relay goes on.
create table journal.quarantine (
    quarantine_id     bigint primary key generated always as identity,
    source_id         smallint not null references journal.source,
    block_hash        bytea not null,
    log_index         integer not null,
    transaction_hash  bytea not null,
    reason            text not null,
    log               jsonb not null,
    recorded_at       timestamptz not null default now(),
    replayed_at       timestamptz,                          -- since when the journal holds what it says
    unique (block_hash, log_index)
);

-- Anybody may bind a certificate with any 64-bit validity; a view that overflows on one would be a view that nobody can read.
create function journal.clamped(number text) returns bigint language sql immutable
    return least(number::numeric, 9223372036854775807)::bigint;

-- What holds now. Views cannot differ from the journal; as of an earlier position P the same rows are those with
-- position <= P and (retracted_by is null or retracted_by > P).
create view journal.applied as
    select e.*,
           -- One source a database. A join with it would keep Postgres from reading pages by the index on positions.
           case when e.block_number <= (select max(finalized_number) from journal.source) then 'finalized'
                when e.block_number <= (select max(safe_number) from journal.source) then 'safe'
                else 'included' end as finality
    from journal.entry e
    where e.retracts is null and e.issuer is not null;

create view journal.model as
    select position, retracted_by, issuer, model_id, block_number, block_hash, block_timestamp_s, transaction_hash, finality
    from journal.applied where kind in ('model_registered', 'itrex_model_registered');

create view journal.instance as
    select i.position, i.retracted_by, i.issuer, i.instance_id, i.model_id, (i.event ->> 'ordinal')::bigint as ordinal,
           i.block_number, i.block_hash, i.block_timestamp_s, i.transaction_hash, i.finality
    from journal.applied i where i.kind in ('instance_registered', 'itrex_instance_registered');

create view journal.termination as
    select position, retracted_by, issuer, instance_id, (event ->> 'count')::bigint as count, event ->> 'outcome' as outcome,
           block_number, block_hash, block_timestamp_s, transaction_hash, finality
    from journal.applied where kind in ('instance_terminated', 'itrex_instance_terminated');

-- The paper's contract numbers nothing: its states are counted here, as the chain holds them.
create function journal.states_before(state_kind text, state_issuer bytea, state_instance bytea, state_position bigint) returns bigint language sql stable as $$
    select count(*) from journal.record
    where kind = state_kind and issuer = state_issuer and instance_id = state_instance and position < state_position
      and retracts is null and (retracted_by is null or retracted_by > state_position)
$$;

create view journal.state as
    select position, retracted_by, issuer, instance_id, content_id as state_id,
           coalesce(sequence, journal.states_before(kind, issuer, instance_id, position)) as sequence, predecessor,
           coalesce(batch, journal.states_before(kind, issuer, instance_id, position)) as batch,
           block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index, finality
    from journal.applied where kind in ('state_registered', 'itrex_state_registered');

-- States that the chain does not tell. Which they are is in the leaves that the issuer's site serves: a verdict tells of those that make the root.
create view journal.states_root as
    select position, retracted_by, issuer, instance_id, (event ->> 'first')::bigint as first, (event ->> 'count')::bigint as count,
           decode(substr(event ->> 'root', 3), 'hex') as root, decode(substr(event ->> 'predecessors_hash', 3), 'hex') as predecessors_hash,
           block_number, block_hash, block_timestamp_s, transaction_hash, finality
    from journal.applied where kind = 'states_root_registered';

create view journal.certificate as
    select c.position, c.retracted_by,
           case c.kind when 'certificate_bound' then c.issuer else decode(substr(c.event ->> 'subject', 3), 'hex') end as subject, c.content_id as fingerprint, c.event ->> 'uri' as uri,
           journal.clamped(c.event ->> 'not_before_s') as not_before_s, journal.clamped(c.event ->> 'not_after_s') as not_after_s,
           c.event ->> 'signature' as signature, r.revocations,
           c.block_number, c.block_hash, c.block_timestamp_s, c.transaction_hash, c.finality
    from journal.applied c
    cross join lateral (
        select coalesce(jsonb_agg(jsonb_build_object('position', e.position, 'retracted_by', e.retracted_by, 'block_number', e.block_number,
                   'from_block', e.event -> 'from_block', 'by', e.event -> 'by') order by e.position), '[]') as revocations
        from journal.entry e
        where c.kind = 'certificate_bound' and e.kind = 'certificate_revoked' and e.issuer = c.issuer
          and (e.content_id = c.content_id or e.content_id is null) and e.retracts is null) r
    where c.kind in ('certificate_bound', 'itrex_certificate_registered');

create view journal.transition_request as
    select position, retracted_by, issuer, instance_id, event ->> 'participant' as participant, sequence,
           event ->> 'payload' as payload, block_number, block_hash, block_timestamp_s, transaction_hash, finality
    from journal.applied where kind = 'transition_requested';

-- Anybody who may read only: analysts, the API.
do $$ begin
    create role runproof_reader nologin;
exception when duplicate_object or unique_violation then null;
end $$;
grant usage on schema journal to runproof_reader;
grant select on all tables in schema journal to runproof_reader;
