-- Each model's runs: how many states, when the first and the last were registered.
--   psql -f warehouse/runs.sql
select i.model_hash, i.instance_hash, i.issuer_address, count(*) as states, min(f.registered_at) as first_state, max(f.registered_at) as last_state
from warehouse.f_state f
join warehouse.d_instance i on i.instance_hash = f.instance_hash and i.issuer_address = f.issuer_address
group by i.model_hash, i.instance_hash, i.issuer_address
order by first_state, i.instance_hash;
