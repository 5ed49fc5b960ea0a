//! Instances: runs of models.

use async_graphql::{ComplexObject, Context, Enum, Result, SimpleObject};
use runproof_migrations::entity::{instance, state, states_root, termination};
use sea_orm::{ColumnTrait, DatabaseConnection, QueryFilter};

use super::{
    failure::unavailable,
    loaders::{Batched, CountAt, ModelAt, RunKey, RunVerdict, TerminationAt},
    model::Model,
    paging::{self, Page, Window},
    place::{self, Block, Finality, block_of},
    scalars::{Address, ContentId, Hash, Long, Position},
    snapshot::Journaled,
    state::State,
    states_root::StatesRoot,
    verdict::InstanceVerdict,
};

/// One run of a model.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Instance {
    /// SHA-256 of the document that describes the run at its start.
    instance_id: ContentId,
    /// Who issued it.
    issuer: Address,
    /// What it runs.
    model_id: ContentId,
    /// Place among the issuer's instances, from 0; null with the paper's contract, which counts none.
    ordinal: Option<Long>,
    /// Place in the journal.
    position: Position,
    /// Block of its registration.
    block: Block,
    /// Transaction of its registration.
    transaction_hash: Hash,
    #[graphql(skip)]
    as_of: i64,
}

#[ComplexObject]
impl Instance {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
    }

    /// The model that it runs; null if its issuer did not register it.
    async fn model(&self, context: &Context<'_>) -> Result<Option<Model>> {
        let key = ModelAt(self.as_of, self.issuer.0.clone(), self.model_id.0.clone());
        let row = context.data::<Batched>()?.load_one(key).await.map_err(unavailable)?;
        Ok(row.map(|row| Model::new(row, self.as_of)))
    }

    /// The states that it entered and the chain tells, in order. Those that `roots` stand for are not among them.
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn states(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<State>> {
        let window = Window::new(first, after, last, before)?;
        let select = state::Entity::held(self.as_of)
            .filter(state::Column::Issuer.eq(self.issuer.0.clone()))
            .filter(state::Column::InstanceId.eq(self.instance_id.0.clone()));
        let database = context.data::<DatabaseConnection>()?;
        paging::read(database, select, window, self.as_of, |row| State::new(row, self.as_of)).await
    }

    /// Merkle roots over states that the chain does not tell, in order.
    #[graphql(complexity = "paging::cost(first, last, child_complexity)")]
    async fn roots(
        &self,
        context: &Context<'_>,
        first: Option<i32>,
        after: Option<String>,
        last: Option<i32>,
        before: Option<String>,
    ) -> Result<Page<StatesRoot>> {
        let window = Window::new(first, after, last, before)?;
        let select = states_root::Entity::held(self.as_of)
            .filter(states_root::Column::Issuer.eq(self.issuer.0.clone()))
            .filter(states_root::Column::InstanceId.eq(self.instance_id.0.clone()));
        let database = context.data::<DatabaseConnection>()?;
        paging::read(database, select, window, self.as_of, |row| StatesRoot::new(row, self.as_of)).await
    }

    /// How many states it has entered, those that `roots` stand for included.
    async fn state_count(&self, context: &Context<'_>) -> Result<Long> {
        let count = context.data::<Batched>()?.load_one(CountAt(self.as_of, self.key())).await.map_err(unavailable)?;
        Ok(Long(count.unwrap_or(0)))
    }

    /// How it ended; null while it runs.
    async fn termination(&self, context: &Context<'_>) -> Result<Option<Termination>> {
        let row =
            context.data::<Batched>()?.load_one(TerminationAt(self.as_of, self.key())).await.map_err(unavailable)?;
        Ok(row.map(|row| Termination::new(row, self.as_of)))
    }

    /// The last verdict on it; null if it was not checked yet.
    async fn verdict(&self, context: &Context<'_>) -> Result<Option<InstanceVerdict>> {
        let row = context.data::<Batched>()?.load_one(RunVerdict(self.key())).await.map_err(unavailable)?;
        row.map(|row| InstanceVerdict::new(row, self.as_of)).transpose()
    }
}

impl Instance {
    pub(super) fn new(row: instance::Model, as_of: i64) -> Self {
        Self {
            block: block_of!(row),
            instance_id: ContentId(row.instance_id),
            issuer: Address(row.issuer),
            model_id: ContentId(row.model_id),
            ordinal: row.ordinal.map(Long),
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            as_of,
        }
    }

    fn key(&self) -> RunKey {
        RunKey { issuer: self.issuer.0.clone(), instance: self.instance_id.0.clone() }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "runproof_protocol::head::Outcome")]
pub(crate) enum Outcome {
    /// It reached its end.
    Succeeded,
    /// It failed.
    Failed,
    /// It exceeded its time.
    TimedOut,
    /// It was stopped.
    Aborted,
}

/// The sealed end of a run.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct Termination {
    /// States in all; null with the paper's contract, which counts none.
    count: Option<Long>,
    /// How it ended; null with the paper's contract, which does not tell.
    outcome: Option<Outcome>,
    /// Place in the journal.
    position: Position,
    /// Block of its registration.
    block: Block,
    /// Transaction of its registration.
    transaction_hash: Hash,
    #[graphql(skip)]
    as_of: i64,
}

#[ComplexObject]
impl Termination {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
    }
}

impl Termination {
    fn new(row: termination::Model, as_of: i64) -> Self {
        let outcome: Option<runproof_protocol::head::Outcome> =
            row.outcome.as_ref().and_then(|name| serde_json::from_value(name.as_str().into()).ok());
        Self {
            block: block_of!(row),
            count: row.count.map(Long),
            outcome: outcome.map(Outcome::from),
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            as_of,
        }
    }
}
