//! Where on the chain a registration stands.

use async_graphql::{Enum, SimpleObject};

use super::scalars::{Hash, Long};

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
    /// In a block that the node calls safe.
    Safe,
    /// In a block that will not be replaced.
    Finalized,
}

impl Finality {
    pub(super) fn named(name: &str) -> Self {
        match name {
            "finalized" => Self::Finalized,
            "safe" => Self::Safe,
            _ => Self::Included,
        }
    }
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
