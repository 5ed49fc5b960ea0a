//! Verdicts with their evidence. They are always the last ones given, whatever position the rest is read at.

use async_graphql::{ComplexObject, Context, Enum, Result, SimpleObject};
use runproof_migrations::entity::{instance_verdict, state_verdict};
use runproof_protocol::verdict as protocol;
use sea_orm::DbErr;
use time::format_description::well_known::Rfc3339;

use super::{
    failure::unavailable,
    instance::Instance,
    loaders::{Batched, InstanceAt, RunKey},
    scalars::{Address, ContentId, Hash, Long},
};

/// What was checked: the paper's five checks, then ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "protocol::Check")]
pub(crate) enum Check {
    /// The state's id is registered in the contract.
    StateExists,
    /// Model and instance are registered in the contract.
    ModelAndInstanceExist,
    /// The issuer's address leads by ENS to a name, a server, and back.
    IssuerKnown,
    /// The certificate that the server presented is bound in the contract.
    CertificateKnown,
    /// That binding's signature recovers to the issuer's address.
    ProtocolLinked,
    /// Published bytes hash to their ids.
    Content,
    /// The published history folds to the head on the chain.
    Completeness,
}

/// Outcome of a check, from best to worst; of several checks the worst counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "protocol::Status")]
pub(crate) enum VerdictStatus {
    /// It holds.
    Passed,
    /// Something that it rests on failed, or it was not checked yet.
    NotChecked,
    /// A source could not be reached: nothing is known.
    Unavailable,
    /// It does not hold.
    Failed,
}

impl VerdictStatus {
    /// The name in SQL.
    pub(super) fn name(self) -> &'static str {
        protocol::Status::from(self).name()
    }

    fn named(name: &str) -> Self {
        match name {
            "passed" => Self::Passed,
            "unavailable" => Self::Unavailable,
            "failed" => Self::Failed,
            _ => Self::NotChecked,
        }
    }
}

/// One check's result with its evidence.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct Finding {
    /// What was checked.
    check: Check,
    /// What a pass means, in plain words.
    meaning: &'static str,
    /// The result.
    status: VerdictStatus,
    /// What should be there.
    expected: Option<String>,
    /// What was there.
    found: Option<String>,
    /// Where it was read: a URL, a view of the contract, an ENS name.
    source: String,
    /// One sentence, where expected and found do not say it all.
    detail: Option<String>,
}

fn findings(stored: serde_json::Value) -> Result<Vec<Finding>> {
    let findings: Vec<protocol::Finding> =
        serde_json::from_value(stored).map_err(|error| unavailable(DbErr::Json(error.to_string())))?;
    Ok(findings
        .into_iter()
        .map(|finding| Finding {
            check: finding.check.into(),
            meaning: finding.check.meaning(),
            status: finding.status.into(),
            expected: finding.expected,
            found: finding.found,
            source: finding.source,
            detail: finding.detail,
        })
        .collect())
}

/// The block as of which a verdict read the chain.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct VerdictBlock {
    /// Height.
    number: Long,
    /// Hash.
    hash: Hash,
}

/// The last verdict on an instance as a whole.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct InstanceVerdict {
    /// Who issued the instance.
    issuer: Address,
    /// The instance.
    instance_id: ContentId,
    /// The worst of all its checks and all its states.
    status: VerdictStatus,
    /// The issuer's site, if one was found.
    site: Option<String>,
    /// The execution engine, where the instance document names it.
    engine: Option<String>,
    /// The chain was read as of this block.
    as_of_block: VerdictBlock,
    /// When the web was read, RFC 3339 in UTC.
    checked_at: String,
    /// Whom it trusts: `one_node`, one node's word for the block's header.
    trust: String,
    /// Checks that concern the instance as a whole, and so each of its states.
    findings: Vec<Finding>,
    /// Grows with each change of any verdict.
    revision: Long,
    #[graphql(skip)]
    as_of: i64,
}

#[ComplexObject]
impl InstanceVerdict {
    /// The instance itself; null if its registration was taken back since.
    async fn instance(&self, context: &Context<'_>) -> Result<Option<Instance>> {
        let key = RunKey { issuer: self.issuer.0.clone(), instance: self.instance_id.0.clone() };
        let row = context.data::<Batched>()?.load_one(InstanceAt(self.as_of, key)).await.map_err(unavailable)?;
        Ok(row.map(|row| Instance::new(row, self.as_of)))
    }
}

impl InstanceVerdict {
    pub(super) fn new(row: instance_verdict::Model, as_of: i64) -> Result<Self> {
        Ok(Self {
            issuer: Address(row.issuer),
            instance_id: ContentId(row.instance_id),
            status: VerdictStatus::named(&row.status),
            site: row.site,
            engine: row.engine,
            as_of_block: VerdictBlock { number: Long(row.as_of_block), hash: Hash(row.as_of_block_hash) },
            checked_at: row.checked_at.to_offset(time::UtcOffset::UTC).format(&Rfc3339).map_err(unavailable)?,
            trust: row.trust,
            findings: findings(row.findings)?,
            revision: Long(row.revision),
            as_of,
        })
    }
}

/// What everybody can know of a state's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "protocol::InputSeen")]
pub(crate) enum InputSeen {
    /// The trace tells it.
    Published,
    /// The trace commits to it, and it is not disclosed, or what was disclosed could not be confirmed.
    Committed,
    /// The trace commits to it, and what was disclosed is that.
    Disclosed,
}

fn input_seen(stored: &str) -> Option<InputSeen> {
    protocol::InputSeen::ALL.into_iter().find(|seen| seen.name() == stored).map(InputSeen::from)
}

/// The last verdict on a state.
#[derive(Debug, SimpleObject)]
pub(crate) struct StateVerdict {
    /// The worst of its own checks and those of the instance.
    status: VerdictStatus,
    /// Its own checks, then those of the instance.
    findings: Vec<Finding>,
    /// What everybody can know of its input; null where its document could not be read.
    input: Option<InputSeen>,
    /// The chain was read as of this block.
    as_of_block: VerdictBlock,
    /// When the web was read, RFC 3339 in UTC.
    checked_at: String,
}

impl StateVerdict {
    pub(super) fn new(state: state_verdict::Model, instance: instance_verdict::Model) -> Result<Self> {
        let instance = InstanceVerdict::new(instance, 0)?;
        let mut findings = findings(state.findings)?;
        findings.extend(instance.findings);
        Ok(Self {
            status: VerdictStatus::named(&state.status),
            findings,
            input: state.input.as_deref().and_then(input_seen),
            as_of_block: instance.as_of_block,
            checked_at: instance.checked_at,
        })
    }
}
