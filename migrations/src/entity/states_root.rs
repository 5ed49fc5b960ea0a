//! States that were registered by their root, view `journal.states_root`.

use sea_orm::entity::prelude::*;

/// A Merkle root over states that the chain does not tell.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "states_root")]
pub struct Model {
    /// Place in the journal.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// Position of the retraction, if it was taken back.
    pub retracted_by: Option<i64>,
    /// Issuer's address, 20 bytes.
    pub issuer: Vec<u8>,
    /// Instance id, 32 bytes.
    pub instance_id: Vec<u8>,
    /// Sequence number of the first state, from 0.
    pub first: i64,
    /// How many states.
    pub count: i64,
    /// The root, 32 bytes.
    pub root: Vec<u8>,
    /// Keccak-256 of their predecessors, 32 bytes.
    pub predecessors_hash: Vec<u8>,
    /// Block of the registration.
    pub block_number: i64,
    /// Its hash, 32 bytes.
    pub block_hash: Vec<u8>,
    /// Its time, Unix seconds.
    pub block_timestamp_s: i64,
    /// Transaction of the registration, 32 bytes.
    pub transaction_hash: Vec<u8>,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
