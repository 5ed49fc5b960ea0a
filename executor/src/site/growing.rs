//! Lists that are stored part by part and only grow: a run's trace, of which each state's document is a prefix, and its companion document.

use std::ops::{Range, RangeInclusive};

use async_stream::try_stream;
use axum::body::Body;
use bytes::Bytes;
use futures::Stream;
use runproof_protocol::{InstanceId, StateId};
use sqlx::PgPool;

use super::answer::within;

/// Where the parts of a list lie.
#[derive(Debug)]
struct Table {
    /// Number of the part (of an instance, up to a last one) that holds a byte, and where that part begins. The closing bracket counts as the last one's.
    part_at: &'static str,
    /// Parts by a range of their numbers, joined.
    parts: &'static str,
}

static STATES: Table = Table {
    part_at:
        "select sequence, trace_len - octet_length(part) from executor.state
              where instance_id = $1 and sequence <= $2 and (trace_len > $3 or sequence = $2) order by sequence limit 1",
    parts: "select coalesce(string_agg(part, '' order by sequence), '') from executor.state
            where instance_id = $1 and sequence between $2 and $3",
};

static EVENTS: Table = Table {
    part_at: "select event_id, document_len - octet_length(part) from executor.history_event
              where instance_id = $1 and event_id <= $2 and (document_len > $3 or event_id = $2) order by event_id limit 1",
    parts: "select coalesce(string_agg(part, '' order by event_id), '') from executor.history_event
            where instance_id = $1 and event_id between $2 and $3",
};

/// A list up to one of its parts.
#[derive(Debug, Clone)]
pub(super) struct Prefix {
    table: &'static Table,
    instance: Vec<u8>,
    /// Number of its last part.
    last: i64,
    /// Length without the closing `]`.
    open_len: i64,
    /// Tells this content from any other at its address.
    pub(super) tag: String,
}

type StateRow = (Vec<u8>, Vec<u8>, i64, i64);

impl Prefix {
    /// The document of a state.
    pub(super) async fn of_state(database: &PgPool, id: &[u8]) -> eyre::Result<Option<Self>> {
        let row = sqlx::query_as(
            "select state_id, instance_id, sequence, trace_len from executor.state where state_id = $1 limit 1",
        );
        Self::of_trace(row.bind(id).fetch_optional(database).await?)
    }

    /// The whole trace of an instance, as far as it is captured.
    pub(super) async fn trace(database: &PgPool, id: InstanceId) -> eyre::Result<Option<Self>> {
        let row = sqlx::query_as(
            "select state_id, instance_id, sequence, trace_len from executor.state where instance_id = $1
             order by sequence desc limit 1",
        );
        Self::of_trace(row.bind(id.as_slice()).fetch_optional(database).await?)
    }

    fn of_trace(row: Option<StateRow>) -> eyre::Result<Option<Self>> {
        row.map(|(state, instance, last, open_len)| {
            let tag = StateId::try_from(&state[..])?.to_string();
            Ok(Self { table: &STATES, instance, last, open_len, tag })
        })
        .transpose()
    }

    /// The companion document of an instance's trace, as far as it is captured.
    pub(super) async fn events(database: &PgPool, id: InstanceId) -> sqlx::Result<Option<Self>> {
        let row: Option<(i64, i64)> = sqlx::query_as(
            "select event_id, document_len from executor.history_event where instance_id = $1 order by event_id desc limit 1",
        )
        .bind(id.as_slice())
        .fetch_optional(database)
        .await?;
        Ok(row.map(|(last, open_len)| {
            let (instance, tag) = (id.as_slice().to_vec(), format!("{id}-{last}"));
            Self { table: &EVENTS, instance, last, open_len, tag }
        }))
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

/// Parts read at a time.
const PIECE: i64 = 64;

fn pieces(database: PgPool, prefix: Prefix, range: Range<u64>) -> impl Stream<Item = sqlx::Result<Bytes>> + Send {
    try_stream! {
        let (mut first, mut offset) = part_at(&database, &prefix, range.start).await?;
        while offset < range.end {
            let last = (first + PIECE - 1).min(prefix.last);
            let mut piece = parts(&database, &prefix, first..=last).await?;
            if last == prefix.last {
                piece.push(']');
            }
            let piece = Bytes::from(piece);
            yield within(&range, offset, &piece);
            offset += piece.len() as u64;
            first = last + 1;
        }
    }
}

async fn part_at(database: &PgPool, prefix: &Prefix, byte: u64) -> sqlx::Result<(i64, u64)> {
    let found = sqlx::query_as::<_, (i64, i64)>(prefix.table.part_at);
    let found = found.bind(&prefix.instance).bind(prefix.last).bind(byte.cast_signed());
    let (number, begins) = found.fetch_one(database).await?;
    Ok((number, begins.unsigned_abs()))
}

async fn parts(database: &PgPool, prefix: &Prefix, numbers: RangeInclusive<i64>) -> sqlx::Result<String> {
    let parts = sqlx::query_scalar(prefix.table.parts);
    parts.bind(&prefix.instance).bind(numbers.start()).bind(numbers.end()).fetch_one(database).await
}
