-- The whole star of one model: each state with its instance, model, transaction, block, client, contract and engine.
--   psql -v model=<model hash> -f warehouse/star.sql
select m.model_hash, m.model_metadata, i.instance_hash, i.instance_metadata, e.engine_name, s.sequence, s.state_hash, s.state_name, s.entered_at, s.verdict,
       y.event_type_name, f.event_index, f.event_item, f.registered_at, f.finality,
       t.transaction_hash, t.transaction_fee_unit, t.transaction_unit_price, t.transaction_fee,
       b.block_nr, b.block_hash, b.block_time, c.client_address, c.client_id, a.chain_id, a.ca_address
from warehouse.f_state f
join warehouse.d_state s on s.state_hash = f.state_hash and s.instance_hash = f.instance_hash and s.issuer_address = f.issuer_address
join warehouse.d_instance i on i.instance_hash = s.instance_hash and i.issuer_address = s.issuer_address
join warehouse.d_model m on m.model_hash = i.model_hash and m.issuer_address = i.issuer_address
join warehouse.d_engine e on e.engine_id = f.engine_id
join warehouse.d_event_type y on y.event_type_id = f.event_type_id
join warehouse.d_transaction t on t.transaction_hash = f.transaction_hash
join warehouse.d_block b on b.block_hash = t.block_hash
join warehouse.d_client c on c.client_address = t.client_address
left join warehouse.d_contract a on a.ca_address = t.ca_address  -- a contract wallet calls the registry from within
where m.model_hash = :'model'
order by f.issuer_address, i.instance_hash, s.sequence;
