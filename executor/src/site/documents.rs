//! The documents as they lie in Postgres.

use std::ops::RangeInclusive;

use axum::body::Body;
use bytes::Bytes;
use futures::stream::{self, Stream};
use runproof_protocol::{InstanceId, ModelId, StateId};
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

/// A trace up to one of its states: the state's document.
#[derive(Debug, Clone)]
pub(super) struct TracePrefix {
    pub(super) state: StateId,
    instance: Vec<u8>,
    sequence: i64,
    /// Length without the closing `]`.
    open_len: i64,
}

type PrefixRow = (Vec<u8>, Vec<u8>, i64, i64);

impl TracePrefix {
    /// The document of a state.
    pub(super) async fn of_state(database: &PgPool, id: &[u8]) -> eyre::Result<Option<Self>> {
        let row = sqlx::query_as(
            "select state_id, instance_id, sequence, trace_len from executor.state where state_id = $1 limit 1",
        );
        Self::from_row(row.bind(id).fetch_optional(database).await?)
    }

    /// The whole trace of an instance, as far as it is captured.
    pub(super) async fn of_instance(database: &PgPool, id: InstanceId) -> eyre::Result<Option<Self>> {
        let row = sqlx::query_as(
            "select state_id, instance_id, sequence, trace_len from executor.state where instance_id = $1
             order by sequence desc limit 1",
        );
        Self::from_row(row.bind(id.as_slice()).fetch_optional(database).await?)
    }

    fn from_row(row: Option<PrefixRow>) -> eyre::Result<Option<Self>> {
        row.map(|(state, instance, sequence, open_len)| {
            Ok(Self { state: state.as_slice().try_into()?, instance, sequence, open_len })
        })
        .transpose()
    }

    /// Length of the document, bytes.
    pub(super) fn len(&self) -> u64 {
        self.open_len.unsigned_abs() + 1
    }

    /// The document, piece by piece: it may be larger than memory should hold, and the client slower than a connection to the database
    /// should be kept. Parts never change, so pieces read at different times fit together.
    pub(super) fn body(self, database: PgPool) -> Body {
        Body::from_stream(pieces(database, self.instance, self.sequence))
    }
}

/// States read at a time.
const PIECE: i64 = 64;

fn pieces(database: PgPool, instance: Vec<u8>, last: i64) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    stream::try_unfold(Some(0), move |first| {
        let (database, instance) = (database.clone(), instance.clone());
        async move {
            let Some(first) = first else { return Ok(None) };
            let next = (first + PIECE <= last).then_some(first + PIECE);
            let until = next.map_or(last, |next| next - 1);
            let mut piece = parts(&database, &instance, first..=until).await?;
            if next.is_none() {
                piece.push(']');
            }
            Ok(Some((Bytes::from(piece), next)))
        }
    })
}

async fn parts(database: &PgPool, instance: &[u8], sequences: RangeInclusive<i64>) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "select coalesce(string_agg(part, '' order by sequence), '') from executor.state
         where instance_id = $1 and sequence between $2 and $3",
    )
    .bind(instance)
    .bind(sequences.start())
    .bind(sequences.end())
    .fetch_one(database)
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

/// The newest instances.
pub(super) async fn instances(database: &PgPool, base: &str) -> eyre::Result<Vec<InstanceEntry>> {
    let rows: Vec<(Vec<u8>, Vec<u8>, Option<String>)> = sqlx::query_as(
        "select instance_id, model_id, ended_as from executor.instance order by created_at desc, instance_id limit $1",
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
