//! Verdicts on states, table `verdict.state`.

use sea_orm::entity::prelude::*;

/// The last verdict on a state.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(schema_name = "verdict", table_name = "state")]
pub struct Model {
    /// Issuer's address, 20 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub issuer: Vec<u8>,
    /// Instance id, 32 bytes.
    #[sea_orm(primary_key, auto_increment = false)]
    pub instance_id: Vec<u8>,
    /// Place in the run, from 0.
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    /// State id, 32 bytes.
    pub state_id: Vec<u8>,
    /// `passed`, `not_checked`, `unavailable` or `failed`.
    pub status: String,
    /// Its name, from its document.
    pub state_name: Option<String>,
    /// When it was entered, milliseconds since the Unix epoch, from its document.
    pub entered_at_ms: Option<i64>,
    /// Sequence number of the state it was entered from.
    pub predecessor: Option<i64>,
    /// List of `protocol::verdict::Finding`: what concerns this state alone.
    pub findings: Json,
    /// `published`, `committed` or `disclosed`: what can be known of its input.
    pub input: Option<String>,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
