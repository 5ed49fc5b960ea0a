//! The documents as they lie in Postgres.

use std::ops::{Range, RangeInclusive};

use async_stream::try_stream;
use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use runproof_protocol::{InstanceId, ModelId, StateId};
use serde::Serialize;
use sqlx::PgPool;

use super::answer::within;

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

    /// A range of the document's bytes, piece by piece: it may be larger than memory should hold, and the client slower than a connection to
    /// the database should be kept. Parts never change, so pieces read at different times fit together.
    pub(super) fn body(self, database: PgPool, range: Range<u64>) -> Body {
        Body::from_stream(pieces(database, self, range))
    }
}

/// States read at a time.
const PIECE: i64 = 64;

fn pieces(database: PgPool, prefix: TracePrefix, range: Range<u64>) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    try_stream! {
        let (mut first, mut offset) = part_at(&database, &prefix, range.start).await?;
        while offset < range.end {
            let last = (first + PIECE - 1).min(prefix.sequence);
            let mut piece = parts(&database, &prefix.instance, first..=last).await?;
            if last == prefix.sequence {
                piece.push(']');
            }
            let piece = Bytes::from(piece);
            yield within(&range, offset, &piece);
            offset += piece.len() as u64;
            first = last + 1;
        }
    }
}

/// The state whose part holds a byte of the document, by its sequence number, and where that part begins. The closing bracket counts as the last one's.
async fn part_at(database: &PgPool, prefix: &TracePrefix, byte: u64) -> sqlx::Result<(i64, u64)> {
    let (sequence, begins): (i64, i64) = sqlx::query_as(
        "select sequence, trace_len - octet_length(part) from executor.state
         where instance_id = $1 and sequence <= $2 and (trace_len > $3 or sequence = $2) order by sequence limit 1",
    )
    .bind(&prefix.instance)
    .bind(prefix.sequence)
    .bind(byte.cast_signed())
    .fetch_one(database)
    .await?;
    Ok((sequence, begins.unsigned_abs()))
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
