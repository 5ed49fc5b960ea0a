-- The paper's star as views over the journal, so that it can never differ from it: what holds now, nothing retracted, canonical blocks alone.
-- The paper's columns come first, by its names; ours follow. Hashes of content are 64 hex digits, hashes and addresses of the chain 0x and lower case.
-- An id belongs to its issuer's namespace: join models, instances and states on their hash AND issuer_address, else a stranger's
-- registration of the same content shows up in one's own analysis.
create schema warehouse;

create view warehouse.d_engine as
    select engine_id,
           case engine_id when 'aws-step-functions' then 'AWS Step Functions' when 'unknown' then 'not known' else engine_id end as engine_name
    from (select distinct engine as engine_id from verdict.instance where engine is not null union select 'unknown') engines;

create view warehouse.d_event_type as
    select * from (values (1, 'Register Model'), (2, 'Register Instance'), (3, 'Register State'), (4, 'Register Transition'))
        as types (event_type_id, event_type_name);

create view warehouse.d_block as
    select '0x' || encode(hash, 'hex') as block_hash, number as block_nr, timestamp_s as block_timestamp, to_timestamp(timestamp_s) as block_time
    from journal.block where canonical;

-- Who created the contract lies before its first log, which is where the journal begins: deployment_address is not known from it.
create view warehouse.d_contract as
    select '0x' || encode(contract, 'hex') as ca_address, null::text as deployment_address, chain_id from journal.source;

-- transaction_fee_unit is gas used, transaction_unit_price wei per gas, transaction_fee wei.
create view warehouse.d_transaction as
    select '0x' || encode(t.hash, 'hex') as transaction_hash, '0x' || encode(t.sender, 'hex') as client_address,
           '0x' || encode(t.recipient, 'hex') as ca_address, '0x' || encode(t.block_hash, 'hex') as block_hash,
           t.gas_used as transaction_fee_unit, t.gas_used * t.effective_gas_price_wei as transaction_fee,
           t.effective_gas_price_wei as transaction_unit_price
    from journal.transaction t join journal.block b on b.hash = t.block_hash where b.canonical;

-- Issuers and senders; client_id is the server that the newest unrevoked certificate names.
create view warehouse.d_client as
    select '0x' || encode(address, 'hex') as client_address,
           (select c.uri from journal.certificate c
            where c.subject = address and c.retracted_by is null and not c.revocations @? '$[*] ? (@.retracted_by == null)'
            order by c.position desc limit 1) as client_id
    from (select issuer as address from journal.applied where retracted_by is null
          union select t.sender from journal.transaction t join journal.block b on b.hash = t.block_hash where b.canonical) clients;

-- What is registered now, with the keys that all facts share.
create view warehouse.registration as
    select a.kind, a.content_id, a.instance_id, a.model_id, a.sequence, a.predecessor, a.event,
           '0x' || encode(a.issuer, 'hex') as issuer_address, a.issuer, '0x' || encode(a.transaction_hash, 'hex') as transaction_hash,
           a.log_index as event_index, a.item_index as event_item, a.block_timestamp_s as "timestamp",
           to_timestamp(a.block_timestamp_s) as registered_at, a.finality, a.position,
           coalesce(v.engine, 'unknown') as engine_id
    from journal.applied a
    left join verdict.instance v on v.issuer = a.issuer and v.instance_id = a.instance_id
    where a.retracted_by is null;

create view warehouse.d_model as
    select encode(model_id, 'hex') as model_hash, event as model_metadata, issuer_address
    from warehouse.registration where kind in ('model_registered', 'itrex_model_registered');

create view warehouse.d_instance as
    select encode(i.instance_id, 'hex') as instance_hash, encode(i.model_id, 'hex') as model_hash,
           i.event || jsonb_build_object('states', t.count, 'outcome', t.outcome) as instance_metadata, i.issuer_address, i.engine_id
    from warehouse.registration i
    left join journal.termination t on t.issuer = i.issuer and t.instance_id = i.instance_id and t.retracted_by is null
    where i.kind in ('instance_registered', 'itrex_instance_registered');

-- States that the chain tells, and those under roots that a verdict knows, since published leaves make the root.
create view warehouse.state as
    select content_id, issuer, instance_id, sequence, predecessor, issuer_address, transaction_hash, event_index, event_item, "timestamp", registered_at,
           finality, engine_id
    from warehouse.registration where kind in ('state_registered', 'itrex_state_registered')
    union all
    select v.state_id, r.issuer, r.instance_id, v.sequence, v.predecessor, r.issuer_address, r.transaction_hash, r.event_index,
           (v.sequence - (r.event ->> 'first')::bigint)::integer, r."timestamp", r.registered_at, r.finality, r.engine_id
    from warehouse.registration r
    -- A verdict from before the registration knows of other states, if of any.
    join verdict.instance i on i.issuer = r.issuer and i.instance_id = r.instance_id and i.journal_position >= r.position
    join verdict.state v on v.issuer = r.issuer and v.instance_id = r.instance_id and v.sequence >= (r.event ->> 'first')::bigint
                        and v.sequence < (r.event ->> 'first')::bigint + (r.event ->> 'count')::bigint
    where r.kind = 'states_root_registered';

create view warehouse.d_state as
    select encode(s.content_id, 'hex') as state_hash, encode(s.instance_id, 'hex') as instance_hash, s.issuer_address, s.sequence,
           v.state_name, to_timestamp(v.entered_at_ms / 1000.0) as entered_at, v.status as verdict
    from warehouse.state s
    left join verdict.state v on v.issuer = s.issuer and v.instance_id = s.instance_id and v.sequence = s.sequence and v.state_id = s.content_id;

create view warehouse.f_model as
    select encode(model_id, 'hex') as model_hash, transaction_hash, 1 as event_type_id, event_index, "timestamp", registered_at,
           issuer_address, finality
    from warehouse.registration where kind in ('model_registered', 'itrex_model_registered');

create view warehouse.f_instance as
    select encode(instance_id, 'hex') as instance_hash, transaction_hash, 2 as event_type_id, event_index, "timestamp", registered_at,
           issuer_address, engine_id, finality
    from warehouse.registration where kind in ('instance_registered', 'itrex_instance_registered');

create view warehouse.f_state as
    select encode(content_id, 'hex') as state_hash, transaction_hash, 3 as event_type_id, event_index, "timestamp", registered_at,
           encode(instance_id, 'hex') as instance_hash, sequence, event_item, issuer_address, engine_id, finality
    from warehouse.state;

-- States that the chain does not tell, by the root of the Merkle tree over them.
create view warehouse.f_states_root as
    select event ->> 'root' as root_hash, transaction_hash, event_index, "timestamp", registered_at, encode(instance_id, 'hex') as instance_hash,
           (event ->> 'first')::bigint as first_sequence, (event ->> 'count')::bigint as state_count, issuer_address, engine_id, finality
    from warehouse.registration where kind = 'states_root_registered';

-- A transition is a state's link to the one it was entered from, registered with it; of the paper's contract, what somebody registered as one.
create view warehouse.f_transition as
    select encode(pre.content_id, 'hex') as pre_state_hash, encode(post.content_id, 'hex') as post_state_hash, post.transaction_hash,
           4 as event_type_id, post.event_index, post."timestamp", post.registered_at, encode(post.instance_id, 'hex') as instance_hash,
           pre.sequence as pre_sequence, post.sequence as post_sequence, post.event_item, post.issuer_address, post.engine_id, post.finality
    from warehouse.state post
    join warehouse.state pre on pre.issuer = post.issuer and pre.instance_id = post.instance_id and pre.sequence = post.predecessor
    union all
    select event ->> 'from_state', event ->> 'to_state', transaction_hash, 4, event_index, "timestamp", registered_at,
           encode(instance_id, 'hex'), null, null, event_item, issuer_address, engine_id, finality
    from warehouse.registration where kind = 'itrex_transition_registered';

grant usage on schema warehouse to runproof_reader;
grant select on all tables in schema warehouse to runproof_reader;
