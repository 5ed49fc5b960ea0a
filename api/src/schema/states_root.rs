//! States that were registered by the root of a Merkle tree.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use runproof_migrations::entity::{instance_verdict, state_verdict, states_root};
use sea_orm::{ColumnTrait, DatabaseConnection, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use super::{
    failure::unavailable,
    loaders::{Batched, RunKey, RunVerdict},
    paging,
    place::{self, Block, Finality, block_of},
    scalars::{ContentId, Hash, Long, Position},
    verdict::StateVerdict,
};

/// A Merkle root (RFC 9162, Keccak-256) over the ids of states that the chain does not tell: the issuer's site serves them.
#[derive(Debug, SimpleObject)]
#[graphql(complex)]
pub(crate) struct StatesRoot {
    /// Place of the first of the states in the run, from 0.
    first: Long,
    /// How many states.
    count: Long,
    /// The root.
    root: Hash,
    /// Keccak-256 of the states' predecessors, as the contract encodes them.
    predecessors_hash: Hash,
    /// Place in the journal.
    position: Position,
    /// Block of its registration.
    block: Block,
    /// Transaction of its registration.
    transaction_hash: Hash,
    #[graphql(skip)]
    run: RunKey,
    #[graphql(skip)]
    as_of: i64,
}

/// A state under a root: known by leaves that make it.
#[derive(Debug, SimpleObject)]
pub(crate) struct LeafState {
    /// Place in the run, from 0.
    sequence: Long,
    /// SHA-256 of the run's trace up to and including this state.
    state_id: ContentId,
    /// Place of the state that it was entered from; null if there is none.
    predecessor: Option<Long>,
    /// Its name, if its document could be read and hashes to its id.
    state_name: Option<String>,
    /// When it was entered, milliseconds since the Unix epoch, from the same document.
    entered_at_ms: Option<Long>,
    /// The last verdict on it.
    verdict: StateVerdict,
}

#[ComplexObject]
impl StatesRoot {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
    }

    /// The states, in order, after the one with this place: those that the last verdict knows, by leaves that make the root. None if the
    /// site does not serve them, or others.
    #[graphql(complexity = "paging::cost(first, None, child_complexity)")]
    async fn states(&self, context: &Context<'_>, first: Option<i32>, after: Option<Long>) -> Result<Vec<LeafState>> {
        use state_verdict::Column;
        let verdict = context.data::<Batched>()?.load_one(RunVerdict(self.run.clone())).await.map_err(unavailable)?;
        // One from before the registration knows of other states, if of any.
        let Some(verdict) = verdict.filter(|verdict| verdict.journal_position >= self.position.0) else {
            return Ok(Vec::new());
        };
        let begin = after.map_or(self.first.0, |after| self.first.0.max(after.0.saturating_add(1)));
        let rows = state_verdict::Entity::find()
            .filter(Column::Issuer.eq(self.run.issuer.clone()))
            .filter(Column::InstanceId.eq(self.run.instance.clone()))
            .filter(Column::Sequence.gte(begin))
            .filter(Column::Sequence.lt(self.first.0.saturating_add(self.count.0)))
            .order_by_asc(Column::Sequence)
            .limit(paging::length_or_usual(first)?)
            .all(context.data::<DatabaseConnection>()?)
            .await
            .map_err(unavailable)?;
        rows.into_iter().map(|row| LeafState::new(row, verdict.clone())).collect()
    }
}

impl LeafState {
    fn new(row: state_verdict::Model, run: instance_verdict::Model) -> Result<Self> {
        Ok(Self {
            sequence: Long(row.sequence),
            state_id: ContentId(row.state_id.clone()),
            predecessor: row.predecessor.map(Long),
            state_name: row.state_name.clone(),
            entered_at_ms: row.entered_at_ms.map(Long),
            verdict: StateVerdict::new(row, run)?,
        })
    }
}

impl StatesRoot {
    pub(super) fn new(row: states_root::Model, as_of: i64) -> Self {
        Self {
            block: block_of!(row),
            first: Long(row.first),
            count: Long(row.count),
            root: Hash(row.root),
            predecessors_hash: Hash(row.predecessors_hash),
            position: Position(row.position),
            transaction_hash: Hash(row.transaction_hash),
            run: RunKey { issuer: row.issuer, instance: row.instance_id },
            as_of,
        }
    }
}
