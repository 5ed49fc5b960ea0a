-- What a row of the journal says besides its event is taken from the event and from retractions, to be searched by. This takes it from there
-- anew, without the chain; returns how many rows differed. Readers go on, and see all of it at once.
create function journal.rebuild() returns bigint language plpgsql set search_path = pg_catalog as $$
declare
    rebuilt bigint;
begin
    -- A writer moves the cursor first of all, so that it waits here, and nothing is retracted meanwhile.
    perform from journal.source for update;
    update journal.entry e
    set (kind, issuer, instance_id, model_id, content_id, sequence, predecessor, retracted_by)
      = (d.kind, d.issuer, d.instance_id, d.model_id, d.content_id, d.sequence, d.predecessor, d.retracted_by)
    from (
        select o.position, o.event ->> 'kind' as kind,
               decode(substr(coalesce(o.event ->> 'issuer', o.event ->> 'subject'), 3), 'hex') as issuer,
               decode(o.event ->> 'instance', 'hex') as instance_id, decode(o.event ->> 'model', 'hex') as model_id,
               decode(coalesce(o.event ->> 'state', o.event ->> 'fingerprint'), 'hex') as content_id,
               (o.event ->> 'sequence')::bigint as sequence, (o.event ->> 'predecessor')::bigint as predecessor,
               r.position as retracted_by
        from journal.entry o left join journal.entry r on r.retracts = o.position) d
    where d.position = e.position
      and (e.kind, e.issuer, e.instance_id, e.model_id, e.content_id, e.sequence, e.predecessor, e.retracted_by)
          is distinct from (d.kind, d.issuer, d.instance_id, d.model_id, d.content_id, d.sequence, d.predecessor, d.retracted_by);
    get diagnostics rebuilt = row_count;
    return rebuilt;
end $$;
