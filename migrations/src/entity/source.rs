//! What is followed and how far, table `journal.source`.

use sea_orm::entity::prelude::*;

/// One contract on one chain.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "source")]
pub struct Model {
    /// Its number here.
    #[sea_orm(primary_key)]
    pub source_id: i16,
    /// EIP-155 chain id.
    pub chain_id: i64,
    /// Contract's address, 20 bytes.
    pub contract: Vec<u8>,
    /// Last block taken.
    pub block_number: Option<i64>,
    /// Its hash, 32 bytes.
    pub block_hash: Option<Vec<u8>>,
    /// Last position given.
    pub position: i64,
    /// Newest of the journal's blocks that the chain calls safe.
    pub safe_number: i64,
    /// Newest of the journal's blocks that the chain calls finalized.
    pub finalized_number: i64,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
