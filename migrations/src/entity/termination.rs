//! Ends of runs, view `journal.termination`.

use sea_orm::entity::prelude::*;

/// The end of an instance.
#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "termination")]
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
    /// States in all; the paper's contract counts none.
    pub count: Option<i64>,
    /// `succeeded`, `failed`, `timed_out` or `aborted`; the paper's contract does not tell.
    pub outcome: Option<String>,
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
