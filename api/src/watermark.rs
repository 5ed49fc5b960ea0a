//! How far the journal has come, and on which chain.

use async_graphql::SimpleObject;
use runproof_migrations::entity::source;
use sea_orm::{DatabaseConnection, DbErr, EntityTrait, QueryOrder};

use crate::schema::{
    place::Levels,
    scalars::{Address, Hash, Long, Position},
};

/// How far the journal has come: every answer and every frame names it.
#[derive(Debug, Clone, PartialEq, Eq, SimpleObject)]
pub(crate) struct Watermark {
    /// Last position of the journal; 0 if nothing was registered yet.
    pub position: Position,
    /// Last block that was taken.
    pub block_number: Option<Long>,
    /// Its hash.
    pub block_hash: Option<Hash>,
    /// EIP-155 chain id.
    pub chain_id: Long,
    /// The registry contract.
    pub contract: Address,
    /// Newest block of the journal that the chain calls safe, 0 before the first.
    pub safe: Long,
    /// Newest block of the journal that the chain calls finalized, 0 before the first.
    pub finalized: Long,
}

impl Watermark {
    /// What is safe and final.
    pub(crate) fn levels(&self) -> Levels {
        Levels { safe: self.safe.0, finalized: self.finalized.0 }
    }
}

impl From<source::Model> for Watermark {
    fn from(row: source::Model) -> Self {
        Self {
            position: Position(row.position),
            block_number: row.block_number.map(Long),
            block_hash: row.block_hash.map(Hash),
            chain_id: Long(row.chain_id),
            contract: Address(row.contract),
            safe: Long(row.safe_number),
            finalized: Long(row.finalized_number),
        }
    }
}

/// Reads it; `None` before the indexer's first start.
pub(crate) async fn read(database: &DatabaseConnection) -> Result<Option<Watermark>, DbErr> {
    let row = source::Entity::find().order_by_asc(source::Column::SourceId).one(database).await?;
    Ok(row.map(Watermark::from))
}
