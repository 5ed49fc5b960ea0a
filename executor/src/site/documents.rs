//! The documents as they lie in Postgres.

use runproof_protocol::{InstanceId, ModelId};
use serde::Serialize;
use sqlx::PgPool;

/// A model's bytes as published.
pub(super) async fn model(database: &PgPool, id: &[u8]) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("select document from executor.model where model_id = $1")
        .bind(id)
        .fetch_optional(database)
        .await
}

/// An instance document's bytes as published.
pub(super) async fn instance(database: &PgPool, id: &[u8]) -> sqlx::Result<Option<Vec<u8>>> {
    sqlx::query_scalar("select document from executor.instance where instance_id = $1")
        .bind(id)
        .fetch_optional(database)
        .await
}

/// A model in the index.
#[derive(Debug, Serialize)]
pub(super) struct ModelEntry {
    pub(super) model_id: ModelId,
    pub(super) name: String,
    pub(super) url: String,
}

/// An instance in the index.
#[derive(Debug, Serialize)]
pub(super) struct InstanceEntry {
    pub(super) instance_id: InstanceId,
    pub(super) model_id: ModelId,
    /// How it ended; absent while it runs.
    pub(super) ended_as: Option<String>,
    pub(super) url: String,
}

/// Models and instances that the index lists at most, the newest first.
const INDEX: i64 = 1_000;

/// The newest models.
pub(super) async fn models(database: &PgPool, base: &str) -> eyre::Result<Vec<ModelEntry>> {
    let rows: Vec<(Vec<u8>, String)> =
        sqlx::query_as("select model_id, name from executor.model order by created_at desc, model_id limit $1")
            .bind(INDEX)
            .fetch_all(database)
            .await?;
    rows.into_iter()
        .map(|(id, name)| {
            let model_id = ModelId::try_from(id.as_slice())?;
            Ok(ModelEntry { model_id, name, url: format!("{base}/{model_id}.json") })
        })
        .collect()
}

/// The newest instances that have a protocol.
pub(super) async fn instances(database: &PgPool, base: &str) -> eyre::Result<Vec<InstanceEntry>> {
    let rows: Vec<(Vec<u8>, Vec<u8>, Option<String>)> = sqlx::query_as(
        "select instance_id, model_id, ended_as from executor.instance where ordinal is not null order by created_at desc, instance_id limit $1",
    )
    .bind(INDEX)
    .fetch_all(database)
    .await?;
    rows.into_iter()
        .map(|(instance, model, ended_as)| {
            let instance_id = InstanceId::try_from(instance.as_slice())?;
            let model_id = model.as_slice().try_into()?;
            Ok(InstanceEntry { instance_id, model_id, ended_as, url: format!("{base}/{instance_id}.json") })
        })
        .collect()
}
