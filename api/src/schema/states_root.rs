//! States that were registered by the root of a Merkle tree.

use async_graphql::{ComplexObject, Context, Result, SimpleObject};
use runproof_migrations::entity::states_root;

use super::{
    place::{self, Block, Finality, block_of},
    scalars::{Hash, Long, Position},
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
    as_of: i64,
}

#[ComplexObject]
impl StatesRoot {
    /// How firmly the chain holds that block, as of the answer's position.
    async fn finality(&self, context: &Context<'_>) -> Result<Finality> {
        place::finality(context, self.as_of, &self.block).await
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
            as_of,
        }
    }
}
