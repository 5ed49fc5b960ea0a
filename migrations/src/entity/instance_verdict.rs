//! Verdicts on runs, table `verdict.instance`.

use sea_orm::entity::prelude::*;

/// The last verdict on an instance.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(schema_name = "verdict", table_name = "instance")]
pub struct Model {
    /// Issuer's address, 20 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub issuer: Vec<u8>,
    /// Instance id, 32 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub instance_id: Vec<u8>,
    /// Model id, 32 bytes.
    pub model_id: Vec<u8>,
    /// `passed`, `not_checked`, `unavailable` or `failed`.
    pub status: String,
    /// The issuer's site.
    pub site: Option<String>,
    /// Execution engine, where the instance document names it.
    pub engine: Option<String>,
    /// Block as of which the chain was read.
    pub as_of_block: i64,
    /// Its hash, 32 bytes.
    pub as_of_block_hash: Vec<u8>,
    /// When the web was read.
    pub checked_at: TimeDateTimeWithTimeZone,
    /// Whom it trusts, `protocol::verdict::Trust`.
    pub trust: String,
    /// List of `protocol::verdict::Finding`.
    pub findings: Json,
    /// Grows with each change.
    pub revision: i64,
    /// The journal's entry that it took into account.
    pub journal_position: i64,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
