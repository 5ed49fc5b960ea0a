//! States that one transaction registered, as leaves of their Merkle tree, and the proof that one of them is under its root.

use std::{future::ready, ops::Range};

use axum::body::Body;
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use runproof_protocol::{InstanceId, StateId, documents::InclusionProof, merkle::MerkleTree};
use sqlx::PgPool;

use super::answer::within;

/// Rows of the registration that holds a sequence number.
#[derive(Debug, Clone)]
pub(super) struct Leaves {
    instance: InstanceId,
    pub(super) first: i64,
    count: i64,
    /// The last state: its id commits to all before it.
    pub(super) last: StateId,
    /// Whether each follows the one before it: then no predecessors were registered.
    linear: bool,
    /// Length of the predecessors as JSON, without the list's brackets, bytes.
    predecessors_len: i64,
}

type LeavesRow = (i64, i64, Vec<u8>, bool, i64);

impl Leaves {
    /// Those registered, or about to be, together with this state.
    pub(super) async fn containing(
        database: &PgPool,
        instance: InstanceId,
        sequence: i64,
    ) -> eyre::Result<Option<Self>> {
        let row: Option<LeavesRow> = sqlx::query_as(
            "select r.first, count(*), (array_agg(s.state_id order by s.sequence desc))[1],
                    bool_and(s.predecessor is not distinct from nullif(s.sequence - 1, -1)),
                    sum(length(coalesce(s.predecessor::text, 'null')) + 1)::bigint - 1
             from executor.registration r join executor.transaction t using (transaction_id)
             join executor.state s on s.instance_id = r.instance_id and s.sequence >= r.first and s.sequence < r.first + r.count
             where r.instance_id = $1 and r.kind = 'states' and r.first <= $2 and $2 < r.first + r.count
               and t.status in ('signed', 'included')
             group by r.transaction_id, r.first order by r.transaction_id desc limit 1",
        )
        .bind(instance.as_slice())
        .bind(sequence)
        .fetch_optional(database)
        .await?;
        row.map(|(first, count, last, linear, predecessors_len)| {
            let last = StateId::try_from(&last[..])?;
            Ok(Self { instance, first, count, last, linear, predecessors_len })
        })
        .transpose()
    }

    /// Length of the document, bytes.
    pub(super) fn len(&self) -> u64 {
        // 64 digits, two quotation marks, and a comma but after the last.
        let states = 67 * self.count - 1;
        let predecessors = if self.linear { 0 } else { self.predecessors_len };
        (states + predecessors).unsigned_abs() + (OPEN.len() + BETWEEN.len() + CLOSE.len()) as u64
    }

    /// A range of the bytes of the document, [`runproof_protocol::documents::Leaves`], piece by piece, since it may be larger than memory should hold.
    pub(super) fn body(self, database: PgPool, range: Range<u64>) -> Body {
        let fixed = |text: &'static str| stream::iter([Ok(Bytes::from_static(text.as_bytes()))]);
        let states = self.pieces(&database, STATES);
        let predecessors = if self.linear { stream::empty().boxed() } else { self.pieces(&database, PREDECESSORS) };
        let whole = fixed(OPEN).chain(states).chain(fixed(BETWEEN)).chain(predecessors).chain(fixed(CLOSE));
        Body::from_stream(whole.scan(0, move |offset, piece| {
            let piece = piece.map(|piece: Bytes| {
                let part = within(&range, *offset, &piece);
                *offset += piece.len() as u64;
                part
            });
            ready(Some(piece))
        }))
    }

    fn pieces(&self, database: &PgPool, query: &'static str) -> BoxStream<'static, sqlx::Result<Bytes>> {
        let (database, instance, begin, end) = (database.clone(), self.instance, self.first, self.first + self.count);
        let piece = move |first: i64| {
            let database = database.clone();
            async move {
                let read = sqlx::query_scalar(query).bind(instance.0.to_vec()).bind(first).bind(end.min(first + PIECE));
                let text: String = read.fetch_one(&database).await?;
                Ok(Bytes::from(if first == begin { text } else { format!(",{text}") }))
            }
        };
        stream::iter((begin..end).step_by(PIECE as usize)).then(piece).boxed()
    }

    /// That the state with this sequence number is one of them. Leaves are read one after another, and O(log n) hashes kept.
    pub(super) async fn proof(&self, database: &PgPool, sequence: i64) -> eyre::Result<InclusionProof> {
        let mut tree = MerkleTree::proving((sequence - self.first).unsigned_abs());
        let mut rows = sqlx::query_scalar::<_, Vec<u8>>(
            "select state_id from executor.state where instance_id = $1 and sequence >= $2 and sequence < $3 order by sequence",
        )
        .bind(self.instance.as_slice())
        .bind(self.first)
        .bind(self.first + self.count)
        .fetch(database);
        let mut proved = self.last;
        while let Some(row) = rows.try_next().await? {
            let state = StateId::try_from(&row[..])?;
            if self.first.unsigned_abs() + tree.len() == sequence.unsigned_abs() {
                proved = state;
            }
            tree.push(state);
        }
        let count = tree.len();
        let (root, audit_path) = tree.close();
        Ok(InclusionProof {
            instance: self.instance,
            sequence: sequence.unsigned_abs(),
            state: proved,
            first: self.first.unsigned_abs(),
            count,
            root,
            audit_path,
        })
    }
}

const OPEN: &str = "{\"states\":[";
const BETWEEN: &str = "],\"predecessors\":[";
const CLOSE: &str = "]}";

/// Leaves read at a time.
const PIECE: i64 = 1_000;

const STATES: &str =
    "select string_agg('\"' || encode(state_id, 'hex') || '\"', ',' order by sequence) from executor.state
     where instance_id = $1 and sequence >= $2 and sequence < $3";
const PREDECESSORS: &str =
    "select string_agg(coalesce(predecessor::text, 'null'), ',' order by sequence) from executor.state
     where instance_id = $1 and sequence >= $2 and sequence < $3";
