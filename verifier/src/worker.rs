//! Keeps the schema `verdict` current: runs that the journal touches are verified at once, all others again from time to time.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use eyre::WrapErr;
use futures::{StreamExt, stream};
use runproof_protocol::verdict::Status;
use sqlx::{
    PgPool,
    postgres::{PgListener, PgPoolOptions},
};
use tokio_util::sync::CancellationToken;

use crate::{
    store::{self, Due},
    verify,
};

/// What the worker must be told. Holds a password: never shown.
#[derive(Clone)]
pub struct Settings {
    /// How to verify.
    pub verify: crate::Settings,
    /// The database that holds the schemas `journal` and `verdict`.
    pub postgres_url: String,
    /// Looks for work so often, also without a hint.
    pub poll_interval: Duration,
    /// When to look again at what the journal did not touch.
    pub recheck: Recheck,
    /// Runs verified at the same time.
    pub concurrency: usize,
    /// Where the worker tells up to which position all that the journal touched is verified.
    pub verified: Arc<AtomicU64>,
}

/// Certificates, names and sites change without a registration.
#[derive(Debug, Clone, Copy)]
pub struct Recheck {
    /// Age at which a run is verified again that has not ended, or whose site did not answer.
    pub unsettled: Duration,
    /// Age at which any other run is.
    pub settled: Duration,
    /// Runs in one round at most, so that new registrations do not wait long.
    pub at_once: i64,
}

impl Settings {
    /// Usual pace: looks every 5 s, again at unsettled runs after 30 s and at settled ones after an hour.
    pub fn new(verify: crate::Settings, postgres_url: String) -> Self {
        let recheck = Recheck { unsettled: Duration::from_secs(30), settled: Duration::from_secs(3600), at_once: 50 };
        Self {
            verify,
            postgres_url,
            poll_interval: Duration::from_secs(5),
            recheck,
            concurrency: 4,
            verified: Arc::default(),
        }
    }
}

/// Works until `token` is cancelled. A node or site that does not answer delays verdicts, and ends nothing.
///
/// # Errors
/// If the database cannot be reached at the start.
pub async fn run(settings: Settings, token: CancellationToken) -> eyre::Result<()> {
    let connections = u32::try_from(settings.concurrency)?.saturating_add(2);
    let pool = PgPoolOptions::new().max_connections(connections).connect(&settings.postgres_url).await;
    let pool = pool.wrap_err("the verdict worker cannot reach Postgres: check its URL")?;
    let mut hints = PgListener::connect_with(&pool).await.wrap_err("listening for journal entries")?;
    hints.listen("runproof_journal").await?;
    let mut poll = tokio::time::interval(settings.poll_interval);
    poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut worker = Worker { settings, pool, position: 0 };
    loop {
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            _ = poll.tick() => {}
            hint = hints.recv() => if let Err(error) = hint {
                // The listener connects anew by itself; the poll covers what it missed.
                tracing::warn!(%error, "no hints of journal entries");
                poll.tick().await;
            }
        }
        tokio::select! {
            () = token.cancelled() => return Ok(()),
            round = worker.round() => match round {
                Ok(true) => {}
                // What failed is due again: not sooner than the next look, whatever hints come.
                Ok(false) => { poll.tick().await; }
                Err(error) => tracing::warn!(error = format!("{error:#}"), "verdicts are delayed"),
            }
        }
    }
}

struct Worker {
    settings: Settings,
    pool: PgPool,
    /// All that the journal touched up to here has been verified.
    position: i64,
}

impl Worker {
    /// Whether all that was due could be settled.
    async fn round(&mut self) -> eyre::Result<bool> {
        let contract = self.settings.verify.registry;
        let (last, touched) = store::touched(&self.pool, contract, self.position).await?;
        // If one could not be verified it stays due: verdicts tell by their own position which were.
        let settled = self.settle_all(touched).await;
        if settled {
            self.position = last;
            self.settings.verified.store(last.unsigned_abs(), Ordering::Relaxed);
        }
        let stale = store::stale(&self.pool, &self.settings.recheck).await?;
        Ok(self.settle_all(stale).await && settled)
    }

    /// Whether all could be settled.
    async fn settle_all(&self, due: Vec<Due>) -> bool {
        let settled = stream::iter(due.into_iter().map(|due| self.settle(due)));
        settled.buffer_unordered(self.settings.concurrency.max(1)).fold(true, async |all, one| all && one).await
    }

    async fn settle(&self, due: Due) -> bool {
        let result = if due.registered {
            self.reverify(due).await
        } else {
            store::remove(&self.pool, due.issuer, due.instance).await
        };
        if let Err(error) = &result {
            tracing::warn!(instance = %due.instance, issuer = %due.issuer, error = format!("{error:#}"), "no verdict yet");
            metrics::counter!("runproof_verifications_failed_total").increment(1);
        }
        result.is_ok()
    }

    async fn reverify(&self, due: Due) -> eyre::Result<()> {
        let begun = Instant::now();
        let verdict = verify(&self.settings.verify, Some(due.issuer), due.instance).await?;
        if i64::try_from(verdict.as_of.number)? < due.block_number {
            eyre::bail!("the node is at block {}, the indexer saw block {}", verdict.as_of.number, due.block_number);
        }
        store::write(&self.pool, &verdict, due.position).await?;
        let status: Status = verdict.status();
        metrics::counter!("runproof_verifications_total", "status" => status.name()).increment(1);
        metrics::histogram!("runproof_verification_seconds").record(begun.elapsed());
        tracing::info!(
            instance = %due.instance,
            status = status.name(),
            states = verdict.states.len(),
            block_number = verdict.as_of.number,
            took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            "verified"
        );
        Ok(())
    }
}
