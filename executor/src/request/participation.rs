//! Who may request: whom the issuer named in the contract, and who accepted.

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
};
use runproof_contracts::InstanceRegistry::InstanceRegistryInstance;
use runproof_protocol::InstanceId;
use sqlx::PgPool;

/// For what the issuer named an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// For this very run, by hand.
    ForRun,
    /// For all runs, and here for runs of this one's model.
    ForModel,
    /// For all runs in the contract, but here for those of other models.
    ForOtherModels,
    /// Not at all.
    Nowhere,
}

/// An account that the issuer named a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Participation {
    /// The instance that it was named for; zero for all of the issuer's.
    pub scope: B256,
    /// Whether it accepted.
    pub accepted: bool,
}

/// The contract's `Participation.None` and `Participation.Accepted`.
const NONE: u8 = 0;
const ACCEPTED: u8 = 2;

/// The contract knows participants of one run or of all, and not of a model's: that a model was deployed with an account is kept here. An execution
/// whose model was not deployed is one that another one started, as a distributed Map does, or runs a definition that was deployed before: then it counts
/// for what the one that started it, or what is deployed now, was deployed with.
const NAMED_FOR_MODEL: &str = "
    with recursive run as (
        select i.parent_id, i.model_id, m.state_machine_arn is not null as is_deployed,
               decode(convert_from(i.document, 'UTF8')::json ->> 'deployedModel', 'hex') as deployed_model
        from executor.instance i join executor.model m using (model_id) where i.instance_id = $1
        union all
        select i.parent_id, i.model_id, m.state_machine_arn is not null,
               decode(convert_from(i.document, 'UTF8')::json ->> 'deployedModel', 'hex')
        from run join executor.instance i on i.instance_id = run.parent_id join executor.model m on m.model_id = i.model_id
        where not run.is_deployed and run.deployed_model is null
    )
    select exists (select from executor.participant p where p.account = $2
                   and (p.model_id is null or exists (select from run where p.model_id in (run.model_id, run.deployed_model))))";

impl Named {
    /// What contract and database know of `who`.
    ///
    /// # Errors
    /// The node or the database does not answer.
    pub(super) async fn read<P: Provider>(
        registry: &InstanceRegistryInstance<P>,
        database: &PgPool,
        issuer: Address,
        instance: InstanceId,
        who: Address,
    ) -> eyre::Result<Self> {
        let named =
            async |scope| Ok::<_, eyre::Report>(registry.participationOf(issuer, scope, who).call().await? != NONE);
        if named(instance.0).await? {
            return Ok(Self::ForRun);
        }
        if !named(B256::ZERO).await? {
            return Ok(Self::Nowhere);
        }
        let query = sqlx::query_scalar(NAMED_FOR_MODEL).bind(instance.as_slice()).bind(who.as_slice());
        Ok(if query.fetch_one(database).await? { Self::ForModel } else { Self::ForOtherModels })
    }
}

impl Participation {
    /// What the contract knows of `who`; `None` if the issuer named it neither for this instance nor for all.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn read<P: Provider>(
        registry: &InstanceRegistryInstance<P>,
        issuer: Address,
        instance: InstanceId,
        who: Address,
    ) -> Result<Option<Self>, alloy::contract::Error> {
        let mut found: Option<Self> = None;
        for scope in [instance.0, B256::ZERO] {
            let state = registry.participationOf(issuer, scope, who).call().await?;
            if state != NONE && found.is_none_or(|earlier| !earlier.accepted) {
                found = Some(Self { scope, accepted: state == ACCEPTED });
            }
        }
        Ok(found)
    }
}
