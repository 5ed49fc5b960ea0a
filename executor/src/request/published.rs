//! What became of the requests for an instance's transitions, for whoever asked and everybody else.

use alloy::primitives::{Address, B256};
use runproof_protocol::InstanceId;
use serde::Serialize;
use sqlx::PgPool;
use time::OffsetDateTime;

/// Requests that are told of at most, the newest: strangers' are recorded too.
const MOST: i64 = 1_000;

/// A request. Its payload is told of by its hash alone.
#[derive(Debug, Serialize)]
pub(crate) struct PublishedRequest {
    /// Sequence number of the state.
    sequence: i64,
    requester: Address,
    /// `chain` or `https`.
    channel: String,
    /// Block of the contract's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_number: Option<i64>,
    /// Keccak-256 of the payload's bytes. It is not told of a private run: who guesses the payload could try the guess.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hash: Option<B256>,
    /// `undecided`, `accepted` or `refused`.
    decision: String,
    /// Why it is refused.
    reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    decided_at: Option<OffsetDateTime>,
}

type Row = (
    i64,
    Vec<u8>,
    String,
    Option<i64>,
    Option<Vec<u8>>,
    String,
    Option<String>,
    OffsetDateTime,
    Option<OffsetDateTime>,
);

/// The newest requests for an instance, the newest first.
pub(crate) async fn of_instance(database: &PgPool, instance: InstanceId) -> eyre::Result<Vec<PublishedRequest>> {
    let rows: Vec<Row> = sqlx::query_as(
        "select r.sequence, r.requester, r.channel, r.block_number, case when i.privacy is distinct from 'committed' then r.payload_hash end,
                r.decision, r.reason, r.received_at, r.decided_at
         from executor.transition_request r left join executor.instance i using (instance_id)
         where instance_id = $1 order by r.request_id desc limit $2",
    )
    .bind(instance.as_slice())
    .bind(MOST)
    .fetch_all(database)
    .await?;
    rows.into_iter()
        .map(|(sequence, requester, channel, block_number, payload_hash, decision, reason, received_at, decided_at)| {
            let requester = Address::try_from(requester.as_slice())?;
            let payload_hash = payload_hash.as_deref().map(B256::try_from).transpose()?;
            Ok(PublishedRequest {
                sequence,
                requester,
                channel,
                block_number,
                payload_hash,
                decision,
                reason,
                received_at,
                decided_at,
            })
        })
        .collect()
}
