-- One run's states in the order in which they were entered.
--   psql -v model=<model hash> -v instance=<instance hash> -f warehouse/states.sql
select y.event_type_name, f.state_hash, f."timestamp", b.block_nr, t.client_address, t.transaction_hash
from warehouse.f_state f
join warehouse.d_instance i on i.instance_hash = f.instance_hash and i.issuer_address = f.issuer_address
join warehouse.d_event_type y on y.event_type_id = f.event_type_id
join warehouse.d_transaction t on t.transaction_hash = f.transaction_hash
join warehouse.d_block b on b.block_hash = t.block_hash
where i.model_hash = :'model' and i.instance_hash = :'instance'
order by f.issuer_address, f.sequence;
