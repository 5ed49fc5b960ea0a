-- Who ran what, on which execution engine, at what cost.
--   psql -f warehouse/clients-and-engines.sql
with spent as (  -- a transaction may register many states: its fee counts once
    select distinct f.issuer_address, f.engine_id, t.transaction_hash, t.transaction_fee_unit, t.transaction_fee
    from warehouse.f_state f join warehouse.d_transaction t on t.transaction_hash = f.transaction_hash
), fees as (
    select issuer_address, engine_id, count(*) as transactions, sum(transaction_fee_unit) as gas, sum(transaction_fee) as fee_wei
    from spent group by issuer_address, engine_id
)
select c.client_address, c.client_id, e.engine_name, count(distinct f.instance_hash) as instances, count(*) as states,
       min(f.registered_at) as first_state, max(f.registered_at) as last_state, s.transactions, s.gas, s.fee_wei
from warehouse.f_state f
join warehouse.d_client c on c.client_address = f.issuer_address
join warehouse.d_engine e on e.engine_id = f.engine_id
join fees s on s.issuer_address = f.issuer_address and s.engine_id = f.engine_id
group by c.client_address, c.client_id, e.engine_name, s.transactions, s.gas, s.fee_wei
order by c.client_address, e.engine_name;
