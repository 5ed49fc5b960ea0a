-- What a row of the journal says besides its event is taken from the event and from retractions, to be searched by. This takes it from there
-- anew, without the chain; returns how many rows differed. Readers go on, and see all of it at once.
create function journal.rebuild() returns bigint language plpgsql set search_path = pg_catalog as $$
declare
    rebuilt bigint;
    levels bigint;
begin
    -- A writer moves the cursor first of all, so that it waits here, and nothing is retracted meanwhile.
    perform from journal.source for update;
    perform journal.spread(9223372036854775807);
    update journal.record e
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
    -- The levels are what the promotions that stand say, or above them where there is nothing to promote. A writer holds what it read of them: it
    -- is fenced, and reads them again.
    update journal.source s
    set safe_number = t.safe, finalized_number = t.finalized, writer_epoch = s.writer_epoch + 1
    from (
        select o.source_id, coalesce(max(e.block_number) filter (where e.kind = 'block_safe'), 0) as safe,
               coalesce(max(e.block_number) filter (where e.kind = 'block_finalized'), 0) as finalized
        from journal.source o left join journal.entry e
          on e.source_id = o.source_id and e.kind in ('block_safe', 'block_finalized') and e.retracts is null and e.retracted_by is null
        group by o.source_id) t
    where t.source_id = s.source_id
      and (greatest(s.safe_number, s.finalized_number) > greatest(t.safe, t.finalized, coalesce(s.block_number, 0))
           or exists (
               select from journal.applied a
               where a.source_id = s.source_id and a.retracted_by is null
                 and a.finality <> case when a.block_number <= t.finalized then 'finalized'
                                        when a.block_number <= t.safe then 'safe' else 'included' end));
    get diagnostics levels = row_count;
    return rebuilt + levels;
end $$;
