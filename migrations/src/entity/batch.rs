//! States of a log of many that are yet to be spread into rows, table `journal.batch`.

use sea_orm::{
    entity::prelude::*,
    sea_query::{Expr, ExprTrait},
};

use super::entry;

/// A log's states, in order; its columns are those of the first.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(schema_name = "journal", table_name = "batch")]
pub struct Model {
    /// Place in the journal; the others follow.
    #[sea_orm(primary_key, auto_increment = false)]
    pub position: i64,
    /// Issuer's address, 20 bytes.
    pub issuer: Vec<u8>,
    /// Instance id, 32 bytes.
    pub instance_id: Vec<u8>,
    /// Place in the run, from 0.
    pub sequence: i64,
    /// State ids, 32 bytes each.
    pub state_ids: Vec<Vec<u8>>,
    /// Block of the registration.
    pub block_number: i64,
    /// Its hash, 32 bytes.
    pub block_hash: Vec<u8>,
    /// Its time, Unix seconds.
    pub block_timestamp_s: i64,
    /// Transaction of the registration, 32 bytes.
    pub transaction_hash: Vec<u8>,
    /// Place of the log in the block.
    pub log_index: i32,
}

/// It stands alone.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Entity {
    /// Those with entries after a position, up to another one.
    pub fn find_between(after: i64, end: i64) -> Select<Self> {
        let next = Expr::cust(r#""batch"."position" + cardinality("batch"."state_ids")"#);
        Self::find().filter(Column::Position.lte(end)).filter(ExprTrait::gt(next, after + 1))
    }
}

impl Model {
    /// Its entries as view `journal.entry` has them, without event and predecessor.
    pub fn entries(&self) -> impl Iterator<Item = entry::Model> + '_ {
        (0..).zip(&self.state_ids).map(|(place, state_id): (i32, _)| entry::Model {
            position: self.position + i64::from(place),
            retracts: None,
            retracted_by: None,
            reason: None,
            replaced_by: None,
            kind: "state_registered".to_owned(),
            issuer: Some(self.issuer.clone()),
            instance_id: Some(self.instance_id.clone()),
            model_id: None,
            content_id: Some(state_id.clone()),
            sequence: Some(self.sequence + i64::from(place)),
            predecessor: None,
            event: Json::Null,
            block_number: self.block_number,
            block_hash: self.block_hash.clone(),
            block_timestamp_s: self.block_timestamp_s,
            transaction_hash: Some(self.transaction_hash.clone()),
            log_index: Some(self.log_index),
            item_index: Some(place),
        })
    }
}
