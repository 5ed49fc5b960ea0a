//! Verdicts in the order of their revisions: which run is graded how, and by what.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use runproof_protocol::{
    InstanceId, ModelId,
    verdict::{Check, Finding, Status},
};
use serde::Serialize;
use sqlx::{Row, postgres::PgRow, types::Json};
use time::OffsetDateTime;

use super::{Database, Feed, Messages};
use crate::{
    cursor::{bigint, hash, unsigned},
    relay::{
        message::{Attributes, Message, instance_key, rfc3339},
        tail::Tail,
        topic::Topic,
    },
};

/// Feeds [`Topic::Verdicts`].
pub(crate) struct Verdicts {
    database: Database,
    /// Revision up to which the topic is filled.
    revision: u64,
}

impl Verdicts {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, revision: 0 }
    }
}

/// The newest verdict on an instance (`schema/verdict.schema.json`).
#[derive(Debug, Serialize)]
struct Summary {
    revision: u64,
    issuer: Address,
    instance: InstanceId,
    model: ModelId,
    status: String,
    /// The run's own checks, without their evidence.
    checks: BTreeMap<&'static str, Status>,
    /// States by their status.
    states: BTreeMap<String, u64>,
    /// What those checks found that did not pass, in a reader's words.
    problems: Vec<Finding>,
    site: Option<String>,
    journal_position: u64,
    as_of_block: u64,
    as_of_block_hash: B256,
    checked_at: Option<String>,
    trust: String,
}

/// Removed verdicts have no model.
const AFTER: &str = "
    select v.revision, v.issuer, v.instance_id, v.model_id, v.status, v.findings, v.site, v.journal_position, v.as_of_block, v.as_of_block_hash,
           v.checked_at, v.trust,
           (select coalesce(jsonb_object_agg(s.status, s.count), '{}') from (
                select status, count(*) from verdict.state
                where issuer = v.issuer and instance_id = v.instance_id group by status) s) as states
    from verdict.instance v where v.revision > $1
    union all
    select r.revision, r.issuer, r.instance_id, null, null, null, null, null, null, null, null, null, null
    from verdict.removal r where r.revision > $1
    order by revision limit $2";

impl Feed for Verdicts {
    const TOPICS: &'static [Topic] = &[Topic::Verdicts];

    async fn resume(&mut self, tails: &[Option<Tail>]) -> eyre::Result<Result<(), Topic>> {
        let Some(Some(tail)) = tails.first() else { return Ok(Ok(())) };
        let given: i64 =
            sqlx::query_scalar("select last_value from verdict.revision").fetch_one(&self.database.pool).await?;
        self.revision = tail.mark;
        Ok(if tail.mark <= unsigned(given) { Ok(()) } else { Err(Topic::Verdicts) })
    }

    async fn next(&mut self) -> eyre::Result<Option<Messages>> {
        let Database { pool, registry, batch, .. } = &self.database;
        let rows = sqlx::query(AFTER).bind(bigint(self.revision)).bind(i64::from(*batch)).fetch_all(pool).await?;
        let Some(last) = rows.last() else { return Ok(None) };
        let revision = unsigned(last.try_get("revision")?);
        let messages = rows.iter().map(|row| {
            let (issuer, instance) = whose(row)?;
            let summary = summary(row, issuer, instance)?;
            let checked_at: Option<OffsetDateTime> = row.try_get("checked_at")?;
            let attributes = Attributes {
                registry,
                kind: if summary.is_some() { "verdict" } else { "verdict_removed" },
                mark: unsigned(row.try_get("revision")?),
                subject: Some(instance.to_string()),
                block: summary.as_ref().map(|summary| (summary.as_of_block, summary.as_of_block_hash)),
                time_s: checked_at.map(|time| unsigned(time.unix_timestamp())),
            };
            let value = summary.map(|summary| serde_json::to_vec(&summary)).transpose()?;
            Ok(Message::new(Topic::Verdicts, instance_key(issuer, instance), attributes, value))
        });
        let messages = messages.collect::<eyre::Result<Vec<_>>>()?;
        self.revision = revision;
        Ok(Some(Box::new(messages.into_iter().map(Ok))))
    }
}

fn whose(row: &PgRow) -> eyre::Result<(Address, InstanceId)> {
    let (issuer, instance): (&[u8], &[u8]) = (row.try_get("issuer")?, row.try_get("instance_id")?);
    Ok((Address::try_from(issuer)?, instance.try_into()?))
}

/// `None` of a removed verdict.
fn summary(row: &PgRow, issuer: Address, instance: InstanceId) -> eyre::Result<Option<Summary>> {
    let Some(model) = row.try_get::<Option<&[u8]>, _>("model_id")? else { return Ok(None) };
    let Json(findings): Json<Vec<Finding>> = row.try_get("findings")?;
    let Json(states): Json<BTreeMap<String, u64>> = row.try_get("states")?;
    Ok(Some(Summary {
        revision: unsigned(row.try_get("revision")?),
        issuer,
        instance,
        model: model.try_into()?,
        status: row.try_get("status")?,
        checks: findings.iter().map(|finding| (Check::name(finding.check), finding.status)).collect(),
        states,
        problems: findings.into_iter().filter(|finding| finding.status != Status::Passed).collect(),
        site: row.try_get("site")?,
        journal_position: unsigned(row.try_get("journal_position")?),
        as_of_block: unsigned(row.try_get("as_of_block")?),
        as_of_block_hash: hash(row.try_get("as_of_block_hash")?)?,
        checked_at: rfc3339(unsigned(row.try_get::<OffsetDateTime, _>("checked_at")?.unix_timestamp())),
        trust: row.try_get("trust")?,
    }))
}
