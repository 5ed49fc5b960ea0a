//! Requests as they are stored: before they are decided, once each.

use std::time::Duration;

use alloy::primitives::{Address, B256, FixedBytes, keccak256};
use eyre::OptionExt;
use runproof_protocol::InstanceId;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use super::rules::{Refusal, check_payload};

/// How a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By the contract's event.
    Chain {
        /// Block of the event.
        block_number: u64,
    },
    /// By a signed request to the site.
    Https {
        /// When it expires, Unix seconds.
        deadline_s: u64,
        /// What proves the requester.
        signature: FixedBytes<65>,
    },
}

/// A request whose sender is proved, by the chain or by a signature.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    /// How it arrived.
    pub channel: Channel,
    /// Who asks.
    pub requester: Address,
    /// For which run.
    pub instance: InstanceId,
    /// For which state.
    pub sequence: u64,
    /// What the task is to be completed with.
    pub payload: &'a [u8],
    /// What makes it one and the same request when it arrives again.
    pub origin: String,
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// It waits for the task to wait.
    Undecided,
    /// The task is completed with the payload.
    Accepted,
    /// See the reason.
    Refused,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// What became of it.
    pub decision: Decision,
    /// Why it is refused.
    pub reason: Option<String>,
    /// Who asked.
    pub requester: Address,
}

/// A stored request.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) id: i64,
    pub(super) requester: Address,
    pub(super) instance: InstanceId,
    pub(super) sequence: i64,
    pub(super) payload: String,
    pub(super) deadline_s: Option<i64>,
    pub(super) age: Duration,
    pub(super) answer: Answer,
}

/// Stores a request unless it is there already; returns its number. One that cannot be carried out whoever asks is refused here.
pub(super) async fn store(database: &PgPool, arrival: &Arrival<'_>) -> eyre::Result<i64> {
    let (channel, block_number, deadline_s, signature) = match &arrival.channel {
        Channel::Chain { block_number } => ("chain", Some(saturated(*block_number)), None, None),
        Channel::Https { deadline_s, signature } => ("https", None, Some(saturated(*deadline_s)), Some(signature)),
    };
    let (payload, refusal) = match check_payload(arrival.payload) {
        Ok(text) => (text, None),
        Err(refusal) => ("", Some(refusal)),
    };
    let stored: Option<i64> = sqlx::query_scalar(
        "insert into executor.transition_request
             (channel, requester, instance_id, sequence, payload_hash, payload, origin, block_number, deadline_s, signature)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) on conflict (origin) do nothing returning request_id",
    )
    .bind(channel)
    .bind(arrival.requester.as_slice())
    .bind(arrival.instance.as_slice())
    .bind(saturated(arrival.sequence))
    .bind(keccak256(arrival.payload).as_slice())
    .bind(payload)
    .bind(&arrival.origin)
    .bind(block_number)
    .bind(deadline_s)
    .bind(signature.map(|signature| signature.as_slice()))
    .fetch_optional(database)
    .await?;
    if let Some(id) = stored {
        tracing::info!(request = id, channel, requester = %arrival.requester, instance = %arrival.instance, "transition requested");
        if let Some(refusal) = refusal {
            refuse(database, id, &refusal).await?;
        }
        return Ok(id);
    }
    find(database, &arrival.origin).await?.ok_or_eyre("a request just found is gone")
}

/// The number of a request that is stored.
pub(super) async fn find(database: &PgPool, origin: &str) -> sqlx::Result<Option<i64>> {
    let known = sqlx::query_scalar("select request_id from executor.transition_request where origin = $1");
    known.bind(origin).fetch_optional(database).await
}

/// Postgres has no unsigned numbers. No state, block or time comes near the limit; what claims to be there matches none.
fn saturated(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

type Row = (Vec<u8>, Vec<u8>, i64, String, Option<i64>, f64, String, Option<String>);

/// Reads a stored request.
pub(super) async fn read(database: &PgPool, id: i64) -> eyre::Result<Request> {
    let row: Row = sqlx::query_as(
        "select requester, instance_id, sequence, payload, deadline_s, extract(epoch from now() - received_at)::float8, decision, reason
         from executor.transition_request where request_id = $1",
    )
    .bind(id)
    .fetch_one(database)
    .await?;
    let (requester, instance, sequence, payload, deadline_s, age_s, decision, reason) = row;
    let requester = Address::try_from(requester.as_slice())?;
    let decision = match decision.as_str() {
        "accepted" => Decision::Accepted,
        "refused" => Decision::Refused,
        _ => Decision::Undecided,
    };
    Ok(Request {
        id,
        requester,
        instance: B256::try_from(instance.as_slice())?.into(),
        sequence,
        payload,
        deadline_s,
        age: Duration::try_from_secs_f64(age_s).unwrap_or_default(),
        answer: Answer { decision, reason, requester },
    })
}

/// Numbers of the requests that wait for a decision, the oldest first.
pub(super) async fn undecided(database: &PgPool) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "select request_id from executor.transition_request where decision = 'undecided' order by request_id",
    )
    .fetch_all(database)
    .await
}

/// Refuses a request that is undecided.
pub(super) async fn refuse(database: &PgPool, id: i64, refusal: &Refusal) -> sqlx::Result<()> {
    turn_down(database, id, "undecided", refusal).await
}

/// Refuses what was accepted, for a task that waits no more.
pub(super) async fn take_back(database: &PgPool, id: i64, refusal: &Refusal) -> sqlx::Result<()> {
    turn_down(database, id, "accepted", refusal).await
}

/// Site and follower decide the same requests: who judged late, by what the other one's decision led to, changes nothing.
async fn turn_down(database: &PgPool, id: i64, decision: &'static str, refusal: &Refusal) -> sqlx::Result<()> {
    let refused = sqlx::query(
        "update executor.transition_request set decision = 'refused', reason = $2, token = null, decided_at = now()
         where request_id = $1 and decision = $3",
    );
    let refused = refused.bind(id).bind(refusal.to_string()).bind(decision).execute(database).await?;
    if refused.rows_affected() == 0 {
        return Ok(());
    }
    count_refused();
    tracing::info!(request = id, reason = %refusal, "transition refused");
    Ok(())
}

/// Counts a refusal, whether the request is stored or not.
pub(super) fn count_refused() {
    metrics::counter!("runproof_transition_requests_total", "decision" => "refused").increment(1);
}

/// Accepts an undecided request for the task with this token; `false` if it was decided meanwhile or another request has the task.
pub(super) async fn accept(database: &PgPool, id: i64, token: &str) -> sqlx::Result<bool> {
    let accepted = sqlx::query(
        "update executor.transition_request set decision = 'accepted', token = $2, decided_at = now()
         where request_id = $1 and decision = 'undecided'",
    );
    match accepted.bind(id).bind(token).execute(database).await {
        Ok(done) => Ok(done.rows_affected() == 1),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
