//! What became of the requests for an instance's transitions, for whoever asked and everybody else.

use alloy::primitives::{Address, B256, Bytes};
use runproof_protocol::{InstanceId, head::Registry};
use serde::Serialize;
use sqlx::{FromRow, PgConnection, PgPool, Row, postgres::PgRow};
use time::OffsetDateTime;

use crate::mask::AccountMask;

/// Requests that are told of at most besides the accepted ones, the newest.
const MOST: i64 = 1_000;

/// `/<instance>/requests.json`.
#[derive(Debug, Serialize)]
pub(crate) struct PublishedRequests {
    /// Chain and contract, in whose domain requests are signed.
    pub(crate) registry: Registry,
    pub(crate) issuer: Address,
    pub(crate) instance: InstanceId,
    /// The newest first.
    pub(crate) requests: Vec<PublishedRequest>,
}

/// A request. Its payload is told of by its hash alone. With registry, issuer and instance it is all that a requester signed (EIP-712
/// `TransitionRequest`), so anybody can recover who asked. Of a private run neither the hash nor the signature is told: who guesses the payload could
/// try the guess with either.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PublishedRequest {
    /// Sequence number of the state.
    sequence: i64,
    requester: Address,
    /// `chain` or `https`.
    channel: String,
    /// Block of the contract's event.
    #[serde(skip_serializing_if = "Option::is_none")]
    block_number: Option<i64>,
    /// Keccak-256 of the payload's bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hash: Option<B256>,
    /// When a signed request expired, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<i64>,
    /// Of a signed request.
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<Bytes>,
    /// `undecided`, `accepted` or `refused`.
    decision: String,
    /// Why it is refused.
    reason: Option<String>,
    #[serde(with = "time::serde::rfc3339")]
    received_at: OffsetDateTime,
    #[serde(with = "time::serde::rfc3339::option")]
    decided_at: Option<OffsetDateTime>,
}

impl FromRow<'_, PgRow> for PublishedRequest {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let told = !row.try_get::<bool, _>("is_private")?;
        let (requester, payload_hash): (&[u8], &[u8]) = (row.try_get("requester")?, row.try_get("payload_hash")?);
        let signature: Option<Vec<u8>> = row.try_get("signature")?;
        let decode = |error| sqlx::Error::Decode(Box::new(error));
        Ok(Self {
            sequence: row.try_get("sequence")?,
            requester: Address::try_from(requester).map_err(decode)?,
            channel: row.try_get("channel")?,
            block_number: row.try_get("block_number")?,
            payload_hash: told.then(|| B256::try_from(payload_hash)).transpose().map_err(decode)?,
            deadline: row.try_get("deadline_s")?,
            signature: signature.filter(|_| told).map(Bytes::from),
            decision: row.try_get("decision")?,
            reason: row.try_get("reason")?,
            received_at: row.try_get("received_at")?,
            decided_at: row.try_get("decided_at")?,
        })
    }
}

/// The accepted requests for an instance, and the newest of the others; the newest first.
pub(crate) async fn of_instance(database: &PgPool, instance: InstanceId) -> eyre::Result<Vec<PublishedRequest>> {
    let requests = sqlx::query_as(
        "select r.*, i.privacy is not distinct from 'committed' as is_private
         from (select * from executor.transition_request where instance_id = $1 and decision = 'accepted'
               union all
               (select * from executor.transition_request where instance_id = $1 and decision <> 'accepted'
                order by request_id desc limit $2)) r
         left join executor.instance i using (instance_id) order by r.request_id desc",
    )
    .bind(instance.as_slice())
    .bind(MOST)
    .fetch_all(database)
    .await?;
    Ok(requests)
}

/// An accepted request, beside the event that it led to.
#[derive(Debug)]
pub(crate) struct AcceptedRequest {
    /// Id of the event with which the state was entered.
    entered: u64,
    payload: String,
    pub(crate) published: PublishedRequest,
}

impl AcceptedRequest {
    /// Whether a task with this output, in the state that was entered with this event, was completed by it: another may have completed it.
    pub(crate) fn completes(&self, entered: Option<u64>, output: Option<&str>, mask: &AccountMask) -> bool {
        let parse = |text: &str| serde_json::from_str::<serde_json::Value>(text).ok();
        let given = parse(&mask.apply(&self.payload));
        entered == Some(self.entered) && given.is_some() && given == output.and_then(parse)
    }
}

impl FromRow<'_, PgRow> for AcceptedRequest {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let (entered, payload) = (row.try_get::<i64, _>("entered")?.unsigned_abs(), row.try_get("payload")?);
        Ok(Self { entered, payload, published: PublishedRequest::from_row(row)? })
    }
}

/// Accepted requests for the states that were entered with these events.
pub(crate) async fn accepted_in(
    sql: &mut PgConnection,
    instance: InstanceId,
    entered: &[i64],
) -> sqlx::Result<Vec<AcceptedRequest>> {
    sqlx::query_as(
        "select s.event_id as entered, r.*, i.privacy = 'committed' as is_private
         from executor.transition_request r
         join executor.state s using (instance_id, sequence) join executor.instance i using (instance_id)
         where instance_id = $1 and r.decision = 'accepted' and s.event_id = any($2) order by r.request_id",
    )
    .bind(instance.as_slice())
    .bind(entered)
    .fetch_all(sql)
    .await
}
