-- The executor's progress and the documents that its site serves. Written by the executor alone; a crash at any point resumes from here.
create schema executor;

create table executor.model (
    model_id           bytea primary key check (length(model_id) = 32),
    name               text not null,
    document           bytea not null,                 -- as published: SHA-256 of it is the id
    selection          text not null check (selection in ('tasks', 'all')),
    privacy            text not null check (privacy in ('published', 'committed')),  -- of its states' inputs
    state_machine_arn  text,                           -- null for an imported model
    created_at         timestamptz not null default now()
);
create unique index model_arn on executor.model (state_machine_arn) where state_machine_arn is not null;

create table executor.instance (
    instance_id     bytea primary key check (length(instance_id) = 32),
    model_id        bytea not null references executor.model,
    execution_arn   text,                              -- null for an imported run
    parent_id       bytea references executor.instance,  -- whose state started it, if one did
    map_run_arn     text,                              -- the Map Run that did
    redrives        integer not null default 0,        -- each redrive of an execution begins an instance that continues the one before
    document        bytea not null,
    privacy         text not null check (privacy in ('published', 'committed')),  -- of its states' inputs, decided when it was sighted
    follows_event_id bigint not null default 0,        -- last event of the instance that it continues
    last_event_id   bigint not null default 0,         -- checkpoint in the execution's history
    ended_as        text check (ended_as in ('succeeded', 'failed', 'timed_out', 'aborted')),  -- null while it runs
    ended_at        timestamptz,                       -- when that was captured
    events_hash     bytea check (length(events_hash) = 32),  -- SHA-256 of /<instance>/events.json, once it has ended
    ordinal         bigint,                            -- given by the contract
    started_at      timestamptz not null,
    created_at      timestamptz not null default now(),
    unique (execution_arn, redrives)
);
create index instance_parent on executor.instance (parent_id) where parent_id is not null;
create index instance_map_run on executor.instance (map_run_arn) where map_run_arn is not null;

-- All instances of an execution, and of those that it started, directly or not.
create function executor.family(root text) returns setof bytea language sql stable as $$
    with recursive family as (
        select instance_id from executor.instance where execution_arn = root
        union
        select child.instance_id from executor.instance child join family on child.parent_id = family.instance_id
    )
    select instance_id from family
$$;

-- Map Runs and executions that an instance's history tells to have been started. Stored with the event that tells it.
create table executor.started (
    arn          text primary key,
    instance_id  bytea not null references executor.instance,
    event_id     bigint not null,                      -- with which the state that started it was entered
    model_id     bytea references executor.model,      -- what all executions of a Map Run run; null while that is not known
    complete     boolean not null default false        -- of a Map Run: it has ended, and each of its executions is an instance
);

-- All that the history told, states or not: exits, failures, retries.
create table executor.history_event (
    instance_id   bytea not null references executor.instance,
    event_id      bigint not null,
    event         json not null,                       -- protocol::history::HistoryEvent; json, for jsonb refuses \u0000. With the salt of a
                                                       -- private input: it is nowhere else, and without it the commitment cannot be opened
    openings      json,                                -- protocol::commitment::Opening[]: of what a private run's part only commits to
    part          text not null,                       -- the bytes that it adds to /<instance>/events.json: the document is stored once
    document_len  bigint not null,
    primary key (instance_id, event_id)
);

create table executor.state (
    instance_id     bytea not null references executor.instance,
    sequence        bigint not null,
    state_id        bytea not null check (length(state_id) = 32),
    event_id        bigint not null,
    name            text not null,
    entered_at_ms   bigint not null,
    predecessor     bigint,
    part            text not null,                     -- the bytes that it adds to the trace: the trace is stored once
    trace_len       bigint not null,
    primary key (instance_id, sequence)
);
create index state_id on executor.state (state_id);

-- Private states whose inputs the site tells: by the event's salt.
create table executor.disclosure (
    instance_id   bytea not null,
    sequence      bigint not null,
    disclosed_at  timestamptz not null default now(),
    is_published  boolean not null default false,      -- where executor.publication says
    primary key (instance_id, sequence),
    foreign key (instance_id, sequence) references executor.state
);

-- Each transaction is stored, signed, before it is sent, so that it can be sent again after a crash or a reorganisation.
create table executor.transaction (
    transaction_id      bigint primary key generated always as identity,
    sender              bytea not null,
    nonce               bigint not null,
    hash                bytea not null unique,
    raw                 bytea not null,
    status              text not null default 'signed' check (status in ('signed', 'included', 'reverted', 'abandoned')),
    block_number        bigint,
    block_hash          bytea,
    block_timestamp_s   bigint,
    gas_used            bigint,
    final               boolean not null default false, -- its block is final, and was compared with the chain then
    created_at          timestamptz not null default now()
);
create unique index transaction_nonce on executor.transaction (sender, nonce) where status in ('signed', 'included');

-- Who leads with a key: what is signed under an earlier epoch is not stored.
create table executor.leader (
    sender  bytea primary key check (length(sender) = 20),
    epoch   bigint not null
);

-- What a transaction registers. Rows of the protocol exist from here on, before the transaction is sent.
create table executor.registration (
    transaction_id  bigint not null references executor.transaction on delete cascade,
    kind            text not null check (kind in ('model', 'instance', 'states', 'termination', 'participant')),
    model_id        bytea,
    instance_id     bytea,
    first           bigint,                            -- of states
    count           bigint,                            -- of states in the batch, or sealed by the termination
    account         bytea,                             -- a participant
    is_published    boolean not null default false     -- its documents stand where executor.publication says
);
create index registration_instance on executor.registration (instance_id);
create index registration_transaction on executor.registration (transaction_id);

-- What live transactions (signed or included) register of an instance. A transaction may be lost between two that are not: by another one with its
-- nonce that registers the same, or given up too early.
create view executor.live as
select live.instance_id, live.begun, live.terminated,
       coalesce(prefix.count, 0) as count,                                        -- of states, from the first on without a gap
       coalesce(upper(live.states), 0) > coalesce(prefix.count, 0) as has_gap     -- later ones are registered too
from (
    select r.instance_id,
           bool_or(r.kind = 'instance') as begun,
           bool_or(r.kind = 'termination') as terminated,
           range_agg(int8range(r.first, r.first + r.count)) filter (where r.kind = 'states') as states
    from executor.registration r join executor.transaction t using (transaction_id)
    where r.instance_id is not null and t.status in ('signed', 'included')
    group by r.instance_id
) live
left join lateral (select upper(part) as count from unnest(live.states) part where lower(part) = 0) prefix on true;

-- Who may request transitions of a model's runs; granted in the contract, which knows only one run or all.
create table executor.participant (
    model_id   bytea references executor.model,        -- null: of all models
    account    bytea not null check (length(account) = 20),
    unique nulls not distinct (model_id, account)
);

-- Tasks that wait for a client. The token is what AWS takes as proof of the right to complete it.
create table executor.waiting_task (
    token          text primary key,
    execution_arn  text not null,
    state_name     text not null,
    entered_at_ms  bigint not null,
    received_at    timestamptz not null default now(),
    completed_at   timestamptz,                        -- null while it waits, as far as is known
    gone           text                                -- what AWS said, if no request completed it
);
create index waiting_task_state on executor.waiting_task (execution_arn, state_name);

-- Each request for a transition of who may ask, and what became of it. An accepted one holds the token of the task
-- before AWS is told to complete it, so that a crash between the two is made good, and no task is completed by two requests.
create table executor.transition_request (
    request_id     bigint primary key generated always as identity,
    channel        text not null check (channel in ('chain', 'https')),
    requester      bytea not null check (length(requester) = 20),
    instance_id    bytea not null check (length(instance_id) = 32),
    sequence       bigint not null,
    payload_hash   bytea not null check (length(payload_hash) = 32),
    payload        text not null,                      -- empty if it is not JSON or too long
    origin         text not null unique,               -- log, or digest and signer: the same request is decided once
    block_number   bigint,                             -- of the log
    deadline_s     bigint,                             -- of a signed one
    signature      bytea check (length(signature) = 65),  -- EIP-712, of a signed one
    received_at    timestamptz not null default now(),
    decision       text not null default 'undecided' check (decision in ('undecided', 'accepted', 'refused')),
    reason         text,
    token          text unique references executor.waiting_task check ((token is not null) = (decision = 'accepted')),
    decided_at     timestamptz
);
create index transition_request_undecided on executor.transition_request (request_id) where decision = 'undecided';

-- The folder or bucket in which documents are stored for a static host; no row: none. Where another one is set, everything is to be published again.
create table executor.publication (
    one  boolean primary key default true check (one),
    url  text not null
);

-- Of what the documents have changed since they were stored there: marked with the change, unmarked when they stand.
create sequence executor.change;
create table executor.unpublished (
    kind    text not null check (kind in ('model', 'instance', 'requests')),
    id      bytea not null,                            -- of the model or instance
    change  bigint not null,
    primary key (kind, id)
);
create index unpublished_change on executor.unpublished (change);

create function executor.mark_unpublished(what text, ids bytea[]) returns void language sql as $$
    insert into executor.unpublished (kind, id, change)
    select what, id, nextval('executor.change') from (select distinct unnest(ids) as id order by 1) changed
    where exists (select from executor.publication)
    on conflict (kind, id) do update set change = excluded.change
$$;

create function executor.document_changed() returns trigger language plpgsql as $$
begin
    case tg_table_name
        when 'model' then
            perform executor.mark_unpublished('model', array[new.model_id]);
        when 'transaction' then
            perform executor.mark_unpublished('instance', array(
                select instance_id from executor.registration where transaction_id = new.transaction_id and instance_id is not null));
        when 'transition_request' then  -- on chain, participants of all runs may ask for what is no instance
            perform executor.mark_unpublished('requests', array(
                select instance_id from executor.instance where instance_id = new.instance_id));
        else
            perform executor.mark_unpublished('instance', array[new.instance_id]);
    end case;
    return null;
end
$$;
create trigger document_changed after insert on executor.model for each row execute function executor.document_changed();
create trigger document_changed after insert on executor.registration for each row when (new.instance_id is not null)
    execute function executor.document_changed();
create trigger document_changed after update on executor.transaction for each row
    when ((old.status, old.block_number, old.block_timestamp_s) is distinct from (new.status, new.block_number, new.block_timestamp_s))
    execute function executor.document_changed();
create trigger document_changed after insert on executor.disclosure for each row execute function executor.document_changed();
create trigger document_changed after insert or update on executor.transition_request for each row execute function executor.document_changed();
