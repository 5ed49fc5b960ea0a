//! States entered, view `journal.state`.

use sea_orm::entity::prelude::*;

/// A registered state.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "state")]
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
    /// State id, 32 bytes.
    pub state_id: Vec<u8>,
    /// Place in the run, from 0.
    pub sequence: i64,
    /// Sequence number of the state it was entered from.
    pub predecessor: Option<i64>,
    /// Sequence number of the first state of its batch.
    pub batch: i64,
    /// Block of the registration.
    pub block_number: i64,
    /// Its hash, 32 bytes.
    pub block_hash: Vec<u8>,
    /// Its time, Unix seconds.
    pub block_timestamp_s: i64,
    /// Transaction of the registration, 32 bytes.
    pub transaction_hash: Vec<u8>,
    /// Place of the log in the block; `None` if only calldata tells of it.
    pub log_index: Option<i32>,
    /// Place in the log's batch.
    pub item_index: i32,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
