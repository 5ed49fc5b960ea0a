//! Where on the chain a registration stands.

use async_graphql::{Context, Enum, Result, SimpleObject};
use runproof_migrations::entity::entry;
use sea_orm::{ColumnTrait, DatabaseConnection, DbErr, QueryFilter, QueryOrder, QuerySelect};

use super::{
    failure::unavailable,
    loaders::{Batched, LevelsAt},
    scalars::{Hash, Long},
    snapshot::Journaled,
};

/// A block of the chain.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct Block {
    /// Height.
    pub number: Long,
    /// Hash.
    pub hash: Hash,
    /// Its time, Unix seconds.
    pub timestamp_s: Long,
}

/// How firmly the chain holds a block, by the node's own tags.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub(crate) enum Finality {
    /// In a block, which may still be replaced.
    Included,
    /// In a block at or below one that the node calls safe.
    Safe,
    /// In a block that will not be replaced.
    Finalized,
}

/// The newest safe and the newest finalized block, 0 before the first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Levels {
    pub safe: i64,
    pub finalized: i64,
}

impl Levels {
    /// How firmly a block is held.
    pub(super) fn of(self, block_number: i64) -> Finality {
        match block_number {
            _ if block_number <= self.finalized => Finality::Finalized,
            _ if block_number <= self.safe => Finality::Safe,
            _ => Finality::Included,
        }
    }
}

/// How firmly a block is held as of a position.
pub(super) async fn finality(context: &Context<'_>, as_of: i64, block: &Block) -> Result<Finality> {
    let levels = context.data::<Batched>()?.load_one(LevelsAt(as_of)).await.map_err(unavailable)?;
    Ok(levels.unwrap_or_default().of(block.number.0))
}

/// What the journal said by a position. Levels only grow, so the newest word that stands is the highest.
pub(super) async fn levels(database: &DatabaseConnection, as_of: i64) -> Result<Levels, DbErr> {
    let newest = async |kind: &str| {
        let found = entry::Entity::held(as_of)
            .filter(entry::Column::Retracts.is_null())
            .filter(entry::Column::Kind.eq(kind))
            .order_by_desc(entry::Column::Position)
            .select_only()
            .column(entry::Column::BlockNumber)
            .into_tuple::<i64>()
            .one(database)
            .await?;
        Ok::<_, DbErr>(found.unwrap_or(0))
    };
    Ok(Levels { safe: newest("block_safe").await?, finalized: newest("block_finalized").await? })
}

/// The place of a row of the journal's views.
macro_rules! block_of {
    ($row:expr) => {
        $crate::schema::place::Block {
            number: $crate::schema::scalars::Long($row.block_number),
            hash: $crate::schema::scalars::Hash($row.block_hash.clone()),
            timestamp_s: $crate::schema::scalars::Long($row.block_timestamp_s),
        }
    };
}
pub(super) use block_of;
