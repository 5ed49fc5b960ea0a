//! Verdicts in Postgres: which are due by the journal, and what is written of each.

use alloy::primitives::Address;
use eyre::WrapErr;
use runproof_protocol::{
    InstanceId,
    verdict::{Finding, InputSeen, Verdict},
};
use sqlx::{PgConnection, PgPool, types::Json};
use time::OffsetDateTime;

use crate::worker::Recheck;

/// A run whose verdict is to be made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Due {
    pub(crate) issuer: Address,
    pub(crate) instance: InstanceId,
    /// Last journal entry that concerns it.
    pub(crate) position: i64,
    /// Newest block that holds a registration of it: a verdict as of an earlier one comes too early.
    pub(crate) block_number: i64,
    /// Whether the journal holds it still: a reorganisation may have taken it back.
    pub(crate) registered: bool,
}

type DueRow = (Vec<u8>, Vec<u8>, i64, i64, bool);

impl TryFrom<DueRow> for Due {
    type Error = eyre::Report;
    fn try_from((issuer, instance, position, block_number, registered): DueRow) -> eyre::Result<Self> {
        let issuer = Address::try_from(issuer.as_slice()).wrap_err("an issuer in the journal is no address")?;
        Ok(Self { issuer, instance: instance.as_slice().try_into()?, position, block_number, registered })
    }
}

/// Last position of the journal, and the runs that entries after `since` concern and no verdict takes into account yet.
pub(crate) async fn touched(pool: &PgPool, contract: Address, since: i64) -> eyre::Result<(i64, Vec<Due>)> {
    let last = "select coalesce(max(position), 0) from journal.source where contract = $1";
    let last: i64 = sqlx::query_scalar(last).bind(contract.as_slice()).fetch_one(pool).await?;
    let rows: Vec<DueRow> = sqlx::query_as(TOUCHED)
        .bind(contract.as_slice())
        .bind(since)
        .fetch_all(pool)
        .await
        .wrap_err("reading what the journal changed")?;
    Ok((last, rows.into_iter().map(Due::try_from).collect::<eyre::Result<_>>()?))
}

const TOUCHED: &str = "
    with entry as (
        select * from journal.entry
        where position > $2 and source_id in (select source_id from journal.source where contract = $1)
    ), touched as (
        select issuer, instance_id, max(position) as position,
               max(block_number) filter (where retracts is null and retracted_by is null) as block_number
        from entry where kind in ('instance_registered', 'state_registered', 'states_root_registered', 'instance_terminated',
                                 'itrex_instance_registered', 'itrex_state_registered', 'itrex_instance_terminated')
        group by issuer, instance_id
        union all
        select i.issuer, i.instance_id, max(c.position), max(c.block_number) filter (where c.retracts is null and c.retracted_by is null)
        from entry c join journal.instance i on i.issuer = c.issuer and i.retracted_by is null
        where c.kind in ('certificate_bound', 'certificate_revoked')
        group by i.issuer, i.instance_id
    )
    select t.issuer, t.instance_id, max(t.position), coalesce(max(t.block_number), 0),
           exists (select from journal.instance i where i.issuer = t.issuer and i.instance_id = t.instance_id and i.retracted_by is null)
    from touched t left join verdict.instance v on v.issuer = t.issuer and v.instance_id = t.instance_id
    group by t.issuer, t.instance_id, v.journal_position
    having coalesce(v.journal_position, 0) < max(t.position)
    order by max(t.position)";

/// Runs whose last check is too long ago: certificates, names and sites change without a registration.
pub(crate) async fn stale(pool: &PgPool, recheck: &Recheck) -> eyre::Result<Vec<Due>> {
    let rows: Vec<DueRow> = sqlx::query_as(
        "select v.issuer, v.instance_id, v.journal_position, 0::bigint, true
         from verdict.instance v
         where v.checked_at < now() - make_interval(secs => $1)
           and (v.checked_at < now() - make_interval(secs => $2) or v.status = 'unavailable' or not exists (
                select from journal.termination t
                where t.issuer = v.issuer and t.instance_id = v.instance_id and t.retracted_by is null))
         order by v.checked_at limit $3",
    )
    .bind(recheck.unsettled.as_secs_f64())
    .bind(recheck.settled.as_secs_f64())
    .bind(recheck.at_once)
    .fetch_all(pool)
    .await
    .wrap_err("reading which verdicts are old")?;
    rows.into_iter().map(Due::try_from).collect()
}

/// Replaces a run's verdict and those of its states, in one transaction, and tells whoever listens.
pub(crate) async fn write(pool: &PgPool, verdict: &Verdict, position: i64) -> eyre::Result<()> {
    let mut transaction = pool.begin().await?;
    let revision = write_instance(&mut transaction, verdict, position).await?;
    write_states(&mut transaction, verdict).await?;
    announce(&mut transaction, revision).await?;
    transaction.commit().await.wrap_err("writing a verdict")
}

/// Removes a run that the journal took back.
pub(crate) async fn remove(pool: &PgPool, issuer: Address, instance: InstanceId) -> eyre::Result<()> {
    let mut transaction = pool.begin().await?;
    let removed = sqlx::query("delete from verdict.instance where issuer = $1 and instance_id = $2")
        .bind(issuer.as_slice())
        .bind(instance.as_slice())
        .execute(&mut *transaction)
        .await?;
    if removed.rows_affected() > 0 {
        let revision: i64 =
            sqlx::query_scalar("select nextval('verdict.revision')").fetch_one(&mut *transaction).await?;
        announce(&mut transaction, revision).await?;
    }
    transaction.commit().await.wrap_err("removing a verdict")
}

async fn announce(connection: &mut PgConnection, revision: i64) -> eyre::Result<()> {
    let notify = sqlx::query("select pg_notify('runproof_verdict', $1)").bind(revision.to_string());
    notify.execute(connection).await?;
    Ok(())
}

async fn write_instance(connection: &mut PgConnection, verdict: &Verdict, position: i64) -> eyre::Result<i64> {
    let trust = serde_json::to_value(verdict.trust)?;
    sqlx::query_scalar(
        "insert into verdict.instance (issuer, instance_id, model_id, status, site, as_of_block, as_of_block_hash, checked_at, trust,
                                       findings, journal_position, engine)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
         on conflict (issuer, instance_id) do update set
            model_id = excluded.model_id, status = excluded.status, site = excluded.site, as_of_block = excluded.as_of_block,
            as_of_block_hash = excluded.as_of_block_hash, checked_at = excluded.checked_at, trust = excluded.trust,
            findings = excluded.findings, revision = excluded.revision, journal_position = excluded.journal_position,
            engine = excluded.engine
         returning revision",
    )
    .bind(verdict.issuer.as_slice())
    .bind(verdict.instance.as_slice())
    .bind(verdict.model.as_slice())
    .bind(verdict.status().name())
    .bind(verdict.site.as_deref().map(without_nul))
    .bind(i64::try_from(verdict.as_of.number)?)
    .bind(verdict.as_of.hash.as_slice())
    .bind(OffsetDateTime::from_unix_timestamp(i64::try_from(verdict.checked_at_s)?)?)
    .bind(trust.as_str())
    .bind(Json(storable(&verdict.findings)))
    .bind(position)
    .bind(&verdict.engine)
    .fetch_one(connection)
    .await
    .wrap_err("writing an instance's verdict")
}

/// States in one statement; others, which a reorganisation took back or whose leaves are not served any more, are deleted.
async fn write_states(connection: &mut PgConnection, verdict: &Verdict) -> eyre::Result<()> {
    let states = &verdict.states;
    let sequences = states.iter().map(|state| i64::try_from(state.sequence)).collect::<Result<Vec<_>, _>>()?;
    let ids: Vec<&[u8]> = states.iter().map(|state| state.state.as_slice()).collect();
    let predecessors: Vec<Option<i64>> = states.iter().map(|state| state.predecessor.map(i64::from)).collect();
    let statuses: Vec<&str> = states.iter().map(|state| verdict.state_status(state).name()).collect();
    let names: Vec<Option<String>> = states.iter().map(|state| state.state_name.as_deref().map(without_nul)).collect();
    let entered: Vec<Option<i64>> = states.iter().map(|state| state.entered_at_ms).collect();
    let inputs: Vec<Option<&str>> = states.iter().map(|state| state.input.map(InputSeen::name)).collect();
    let findings: Vec<Json<_>> = states.iter().map(|state| Json(storable(&state.findings))).collect();
    sqlx::query(
        "insert into verdict.state (issuer, instance_id, sequence, state_id, status, state_name, entered_at_ms, findings, predecessor, input)
         select $1, $2, * from unnest($3::bigint[], $4::bytea[], $5::text[], $6::text[], $7::bigint[], $8::jsonb[], $9::bigint[], $10::text[])
         on conflict (issuer, instance_id, sequence) do update set
            state_id = excluded.state_id, status = excluded.status, state_name = excluded.state_name,
            entered_at_ms = excluded.entered_at_ms, findings = excluded.findings, predecessor = excluded.predecessor,
            input = excluded.input",
    )
    .bind(verdict.issuer.as_slice())
    .bind(verdict.instance.as_slice())
    .bind(&sequences)
    .bind(ids)
    .bind(statuses)
    .bind(names)
    .bind(entered)
    .bind(findings)
    .bind(predecessors)
    .bind(inputs)
    .execute(&mut *connection)
    .await
    .wrap_err("writing verdicts of states")?;
    sqlx::query("delete from verdict.state where issuer = $1 and instance_id = $2 and sequence <> all ($3)")
        .bind(verdict.issuer.as_slice())
        .bind(verdict.instance.as_slice())
        .bind(sequences)
        .execute(connection)
        .await
        .wrap_err("deleting verdicts of states taken back")?;
    Ok(())
}

/// Postgres stores no NUL in text or JSON, and what a stranger's site says must not keep a verdict from being stored.
fn storable(findings: &[Finding]) -> Vec<Finding> {
    let clean = |text: &Option<String>| text.as_deref().map(without_nul);
    let stored = |finding: &Finding| Finding {
        expected: clean(&finding.expected),
        found: clean(&finding.found),
        source: without_nul(&finding.source),
        detail: clean(&finding.detail),
        ..finding.clone()
    };
    findings.iter().map(stored).collect()
}

fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
