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

-- The journal as it is read.
create view journal.entry as
    select position, source_id, retracts, retracted_by, reason, replaced_by, kind, issuer, instance_id, model_id, content_id, sequence, predecessor,
           block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index, recorded_at,
           coalesce(event, jsonb_build_object('kind', kind, 'issuer', '0x' || encode(issuer, 'hex'), 'instance', encode(instance_id, 'hex'),
               'state', encode(content_id, 'hex'), 'sequence', sequence, 'predecessor', predecessor, 'batch', batch)) as event
    from journal.record;

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
           case when e.block_number <= s.finalized_number then 'finalized'
                when e.block_number <= s.safe_number then 'safe'
                else 'included' end as finality
    from journal.entry e join journal.source s using (source_id)
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
create view journal.state as
    select position, retracted_by, issuer, instance_id, content_id as state_id, sequence, predecessor,
           (event ->> 'batch')::bigint as batch, block_number, block_hash, block_timestamp_s, transaction_hash, log_index, item_index, finality
    from journal.applied where kind = 'state_registered'
    union all
    select s.position, s.retracted_by, s.issuer, s.instance_id, s.content_id, n.before, null, n.before,
           s.block_number, s.block_hash, s.block_timestamp_s, s.transaction_hash, s.log_index, s.item_index, s.finality
    from journal.applied s cross join lateral (
        select count(*) as before from journal.applied p
        where p.kind = s.kind and p.issuer = s.issuer and p.instance_id = s.instance_id and p.position < s.position
          and (p.retracted_by is null or p.retracted_by > s.position)) n
    where s.kind = 'itrex_state_registered';

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
