//! The journal itself, view `journal.entry`.

use sea_orm::{Iterable, QuerySelect, Select, entity::prelude::*, sea_query::Expr};

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "entry")]
pub struct Model {
    /// Place in the journal, from 1, without gaps.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// Set on a retraction: the position that it takes back.
    pub retracts: Option<i64>,
    /// Position of the retraction, if it was taken back.
    pub retracted_by: Option<i64>,
    /// Why it was taken back.
    pub reason: Option<String>,
    /// Canonical block at the same height, 32 bytes.
    pub replaced_by: Option<Vec<u8>>,
    /// The event's kind, `protocol::event::Event::kind`.
    pub kind: String,
    /// Issuer's address, 20 bytes; `None` of what the chain says of a block.
    pub issuer: Option<Vec<u8>>,
    /// Instance id, 32 bytes.
    pub instance_id: Option<Vec<u8>>,
    /// Model id, 32 bytes.
    pub model_id: Option<Vec<u8>>,
    /// State id or certificate fingerprint, 32 bytes.
    pub content_id: Option<Vec<u8>>,
    /// Place in the run, from 0.
    pub sequence: Option<i64>,
    /// Sequence number of the state it was entered from.
    pub predecessor: Option<i64>,
    /// The event as consumers get it.
    pub event: Json,
    /// Block of the registration.
    pub block_number: i64,
    /// Its hash, 32 bytes.
    pub block_hash: Vec<u8>,
    /// Its time, Unix seconds.
    pub block_timestamp_s: i64,
    /// Transaction of the registration, 32 bytes.
    pub transaction_hash: Option<Vec<u8>>,
    /// Place of the log in the block; `None` if only calldata tells of it.
    pub log_index: Option<i32>,
    /// Place in the log's batch.
    pub item_index: Option<i32>,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Like `find`, for who does not look at the event: it is null, and so needs not be composed.
    pub fn find_without_event() -> Select<Self> {
        Self::find()
            .select_only()
            .columns(Column::iter().filter(|column| !matches!(column, Column::Event)))
            .column_as(Expr::cust("'null'::jsonb"), Column::Event)
    }

    /// Like `find_without_event`, of what stands in rows alone: [`super::batch`] has what does not.
    pub fn find_recorded() -> Select<Self> {
        let mut select = Self::find_without_event();
        QuerySelect::query(&mut select).from_clear().from_as(("journal", "record"), "entry");
        select
    }
}
