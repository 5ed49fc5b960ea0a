//! Where the process and the stages of the line stand: `/status` as JSON, and the same figures as metrics.

use std::sync::atomic::{AtomicU64, Ordering};

use alloy::primitives::{Address, B256};
use eyre::{Context, Result};
use runproof_indexer::{
    endpoints::EndpointStatus,
    standing::{Fault, State},
};
use serde::Serialize;
use sqlx::{FromRow, PgPool, postgres::PgRow};

use crate::observed::Observed;

/// What `/status` tells of each source.
#[derive(Serialize)]
pub struct Status {
    /// Its name: `main`, or that of a `[[source]]`.
    source: String,
    /// Why this process works on it no more; null while it does.
    failure: Option<String>,
    /// Endpoints that must say the same; null where this process indexes nothing.
    quorum: Option<usize>,
    /// The chain's endpoints, in the order of the configuration; empty where this process indexes nothing.
    endpoints: Vec<EndpointStatus>,
    /// The journal in its database, and the stages that work on it; empty before it is begun.
    journals: Vec<Journal>,
}

/// A journal, and how far each stage is behind. A stage that another process runs is null.
#[derive(Serialize)]
struct Journal {
    chain_id: i64,
    contract: Address,
    /// Its last entry.
    position: i64,
    /// Its last block; null before the first.
    block_number: Option<i64>,
    block_hash: Option<B256>,
    safe_number: i64,
    finalized_number: i64,
    indexer: Option<Lag>,
    relay: Option<Lag>,
    verifier: Option<Lag>,
}

/// How far a stage is behind what it works on: the chain for the indexer, the journal for the others.
#[derive(Serialize)]
struct Lag {
    /// Last entry that is through.
    position: u64,
    /// Entries that wait; null for the indexer, which cannot know.
    entries: Option<u64>,
    /// Blocks that wait.
    blocks: u64,
    /// 0 if nothing waits; else seconds since the time of the oldest block that waits (of the last one indexed).
    seconds: u64,
}

struct Row {
    source_id: i16,
    chain_id: i64,
    contract: Vec<u8>,
    position: i64,
    block_number: Option<i64>,
    block_hash: Option<Vec<u8>>,
    safe_number: i64,
    finalized_number: i64,
    age_s: Option<i64>,
}

const JOURNALS: &str = "
    select s.source_id, s.chain_id, s.contract, s.position, s.block_number, s.block_hash, s.safe_number, s.finalized_number,
           extract(epoch from now())::bigint - b.timestamp_s as age_s
    from journal.source s left join journal.block b on b.hash = s.block_hash and b.source_id = s.source_id
    order by s.source_id";
const WAITING: &str = "
    select block_number, extract(epoch from now())::bigint - block_timestamp_s
    from journal.entry where source_id = $1 and position > $2 order by position limit 1";

impl Status {
    /// As it is now.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn read(pool: &PgPool, observed: &Observed) -> Result<Self> {
        let endpoints = observed.indexed.get();
        let failure = observed.failure.get().cloned();
        let rows = match sqlx::query_as::<_, Row>(JOURNALS).fetch_all(pool).await {
            // It may be the database that the failure is about.
            Err(_) if failure.is_some() => Vec::new(),
            rows => rows.wrap_err("reading the journals")?,
        };
        let mut journals = Vec::with_capacity(rows.len());
        for row in rows {
            journals.push(Journal {
                chain_id: row.chain_id,
                contract: Address::try_from(row.contract.as_slice())?,
                position: row.position,
                block_number: row.block_number,
                block_hash: row.block_hash.as_deref().map(B256::try_from).transpose()?,
                safe_number: row.safe_number,
                finalized_number: row.finalized_number,
                indexer: endpoints
                    .and_then(|endpoints| endpoints.newest_block())
                    .map(|newest| row.behind_chain(newest)),
                relay: row.behind_journal(pool, observed.relayed.get().map(AsRef::as_ref)).await?,
                verifier: row.behind_journal(pool, observed.verified.get().map(AsRef::as_ref)).await?,
            });
        }
        Ok(Self {
            source: observed.source.clone(),
            failure,
            quorum: endpoints.map(|endpoints| endpoints.quorum()),
            endpoints: endpoints.map(|endpoints| endpoints.status()).unwrap_or_default(),
            journals,
        })
    }

    /// Sets the gauges to it.
    pub fn gauge(&self) {
        use metrics::gauge;
        let failed = f64::from(u8::from(self.failure.is_some()));
        gauge!("runproof_source_failed", "source" => self.source.clone()).set(failed);
        if !self.endpoints.is_empty() {
            self.begin_counters();
        }
        for endpoint in &self.endpoints {
            let name = || endpoint.name.clone();
            for state in State::ALL {
                let is = f64::from(u8::from(endpoint.state == state));
                gauge!("runproof_endpoint_state", "endpoint" => name(), "state" => state.name()).set(is);
            }
            gauge!("runproof_endpoint_cost_seconds", "endpoint" => name()).set(endpoint.cost_ms / 1e3);
            gauge!("runproof_endpoint_fault_rate", "endpoint" => name()).set(endpoint.fault_rate);
            gauge!("runproof_endpoint_head_block", "endpoint" => name()).set(endpoint.head_block.unwrap_or(0) as f64);
        }
        for journal in &self.journals {
            let labels = [("chain_id", journal.chain_id.to_string()), ("contract", format!("{:#x}", journal.contract))];
            gauge!("runproof_journal_position", &labels).set(journal.position as f64);
            gauge!("runproof_journal_block", &labels).set(journal.block_number.unwrap_or(0) as f64);
            if let Some(lag) = &journal.indexer {
                gauge!("runproof_indexer_lag_blocks", &labels).set(lag.blocks as f64);
                gauge!("runproof_indexer_lag_seconds", &labels).set(lag.seconds as f64);
            }
            if let Some(lag) = &journal.relay {
                gauge!("runproof_relay_position", &labels).set(lag.position as f64);
                gauge!("runproof_relay_lag_blocks", &labels).set(lag.blocks as f64);
                gauge!("runproof_relay_lag_seconds", &labels).set(lag.seconds as f64);
            }
            if let Some(lag) = &journal.verifier {
                gauge!("runproof_verifier_position", &labels).set(lag.position as f64);
                gauge!("runproof_verifier_lag_blocks", &labels).set(lag.blocks as f64);
                gauge!("runproof_verifier_lag_seconds", &labels).set(lag.seconds as f64);
            }
        }
    }
}

impl Status {
    /// A counter that nobody has incremented would be missing, which alarms take for another thing than 0.
    fn begin_counters(&self) {
        for counter in ["runproof_indexer_entries_total", "runproof_indexer_reorganisations_total"] {
            metrics::counter!(counter, "source" => self.source.clone()).increment(0);
        }
        for endpoint in &self.endpoints {
            for fault in Fault::ALL {
                let labels = [("endpoint", endpoint.name.clone()), ("fault", fault.name().to_owned())];
                metrics::counter!("runproof_endpoint_faults_total", &labels).increment(0);
                metrics::counter!("runproof_endpoint_set_aside_total", &labels).increment(0);
            }
        }
    }
}

impl FromRow<'_, PgRow> for Row {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        use sqlx::Row as _;
        Ok(Self {
            source_id: row.try_get("source_id")?,
            chain_id: row.try_get("chain_id")?,
            contract: row.try_get("contract")?,
            position: row.try_get("position")?,
            block_number: row.try_get("block_number")?,
            block_hash: row.try_get("block_hash")?,
            safe_number: row.try_get("safe_number")?,
            finalized_number: row.try_get("finalized_number")?,
            age_s: row.try_get("age_s")?,
        })
    }
}

impl Row {
    fn behind_chain(&self, newest_block: u64) -> Lag {
        let blocks = newest_block.saturating_sub(self.block_number.map_or(0, i64::unsigned_abs));
        let seconds = self.age_s.filter(|_| blocks > 0).map_or(0, seconds);
        Lag { position: self.position.unsigned_abs(), entries: None, blocks, seconds }
    }

    async fn behind_journal(&self, pool: &PgPool, through: Option<&AtomicU64>) -> Result<Option<Lag>> {
        let Some(through) = through else { return Ok(None) };
        let position = through.load(Ordering::Relaxed);
        let waiting: Option<(i64, i64)> = sqlx::query_as(WAITING)
            .bind(self.source_id)
            .bind(i64::try_from(position)?)
            .fetch_optional(pool)
            .await
            .wrap_err("reading what waits")?;
        let blocks =
            waiting.map_or(0, |(block, _)| (self.block_number.unwrap_or(block) - block + 1).max(1).unsigned_abs());
        let entries = self.position.unsigned_abs().saturating_sub(position);
        Ok(Some(Lag {
            position,
            entries: Some(entries),
            blocks,
            seconds: waiting.map_or(0, |(_, age_s)| seconds(age_s)),
        }))
    }
}

/// An age; a chain's clock may be ahead of ours.
fn seconds(age_s: i64) -> u64 {
    u64::try_from(age_s).unwrap_or(0)
}
