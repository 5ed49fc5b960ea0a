//! States that runs entered.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use runproof_migrations::entity::{state, state_verdict};

use super::{
    failure::unavailable,
    instance::Instance,
    loaders::{Batched, InstanceAt, RunKey, RunVerdict, StateAt, StateVerdictOf},
    place::{self, Block, Finality, block_of},
    scalars::{Address, ContentId, Hash, Long, Position},
    verdict::StateVerdict,
};

/// A state that a run entered.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct State {
    /// SHA-256 of the run's trace up to and including this state.
    state_id: ContentId,
    /// Who issued it.
    issuer: Address,
    /// The run.
    instance_id: ContentId,
    /// Place in the run, from 0. The paper's contract numbers none: its states are counted in the chain's order.
    sequence: Long,
    /// Place in the journal.
    position: Position,
    /// Block of its registration.
    block: Block,
    /// Transaction of its registration.
    transaction_hash: Hash,
    #[graphql(skip)]
    predecessor: Option<i64>,
    #[graphql(skip)]
    as_of: i64,
}

#[ComplexObject]
impl State {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
    }

    /// The run.
    async fn instance(&self, context: &Context<'_>) -> Result<Option<Instance>> {
        let row = context.data::<Batched>()?.load_one(InstanceAt(self.as_of, self.key())).await.map_err(unavailable)?;
        Ok(row.map(|row| Instance::new(row, self.as_of)))
    }

    /// The state that it was entered from; null for the first.
    async fn predecessor(&self, context: &Context<'_>) -> Result<Option<State>> {
        let Some(predecessor) = self.predecessor else { return Ok(None) };
        let key = StateAt(self.as_of, self.key(), predecessor);
        let row = context.data::<Batched>()?.load_one(key).await.map_err(unavailable)?;
        Ok(row.map(|row| State::new(row, self.as_of)))
    }

    /// Its name, if its document could be read and hashes to its id.
    async fn state_name(&self, context: &Context<'_>) -> Result<Option<String>> {
        Ok(self.checked(context).await?.and_then(|row| row.state_name))
    }

    /// When it was entered, milliseconds since the Unix epoch, from the same document.
    async fn entered_at_ms(&self, context: &Context<'_>) -> Result<Option<Long>> {
        Ok(self.checked(context).await?.and_then(|row| row.entered_at_ms).map(Long))
    }

    /// The last verdict on it; null if it was not checked yet.
    async fn verdict(&self, context: &Context<'_>) -> Result<Option<StateVerdict>> {
        let Some(checked) = self.checked(context).await? else { return Ok(None) };
        let run = context.data::<Batched>()?.load_one(RunVerdict(self.key())).await.map_err(unavailable)?;
        run.map(|run| StateVerdict::new(checked, run)).transpose()
    }
}

impl State {
    pub(super) fn new(row: state::Model, as_of: i64) -> Self {
        Self {
            block: block_of!(row),
            state_id: ContentId(row.state_id),
            issuer: Address(row.issuer),
            instance_id: ContentId(row.instance_id),
            sequence: Long(row.sequence),
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            predecessor: row.predecessor,
            as_of,
        }
    }

    fn key(&self) -> RunKey {
        RunKey { issuer: self.issuer.0.clone(), instance: self.instance_id.0.clone() }
    }

    /// What was found out about this very state: after a reorganisation another may stand in its place.
    async fn checked(&self, context: &Context<'_>) -> Result<Option<state_verdict::Model>> {
        let key = StateVerdictOf(self.key(), self.sequence.0);
        let row = context.data::<Batched>()?.load_one(key).await.map_err(unavailable)?;
        Ok(row.filter(|row| row.state_id == self.state_id.0))
    }
}
