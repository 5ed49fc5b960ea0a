//! Follows the contract's logs into the journal ([`run`]), and the journal into Kafka ([`relay`]).
//!
//! One loop is the system. A step compares the journal's cursor with the chain ([`converge`]), reads blocks and checks that what the node says fits
//! ([`source`], [`check`]), decodes them ([`decode`]) and commits rows, cursor and journal in one transaction ([`commit`]); if the chain no longer
//! has the cursor's block, it takes entries back down to the fork ([`rewind`]). What the chain calls safe or finalized is told by entries of its own
//! ([`finality`]). Logs that cannot be decoded wait for a decoder that can ([`quarantine`]). A restart, a catch-up, a lost connection and a reorganisation are
//! nothing but more steps.

mod ahead;
mod allowed_range;
pub mod audit;
pub mod backoff;
mod batch;
pub mod block;
pub mod body;
mod bulk;
pub mod check;
mod commit;
mod converge;
mod copy;
mod cursor;
pub mod decode;
mod endpoint;
pub mod endpoints;
pub mod error;
mod finality;
pub mod identity;
mod indexes;
mod insert;
pub mod journal;
mod lease;
mod node;
mod progress;
pub mod quarantine;
mod rate_limit;
pub mod receipt;
mod record;
pub mod relay;
mod rewind;
mod room;
mod rpc;
pub mod settings;
pub mod source;
mod span;
pub mod standing;
mod wake;

use std::{pin::pin, sync::Arc, time::Duration};

use backoff::Backoff;
use converge::Writer;
use error::IndexError;
use progress::Progress;
#[cfg(fuzzing)]
pub use rpc::fuzzed;
pub use settings::{RelaySettings, Settings};
use source::Source;
use span::Span;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tracing::info;
use url::Url;

/// How long after a block those who wait for it have read it.
const QUIET: Duration = Duration::from_millis(250);

/// Keeps the journal equal to the chain until `token` is cancelled. The database must be migrated.
///
/// # Errors
/// What trying again cannot mend: another chain, no contract, another contract's journal, a fork below what was final. Nodes and databases that
/// are away are waited for.
pub async fn run(settings: Settings, token: CancellationToken) -> eyre::Result<()> {
    let pool = pool(&settings.postgres_url)?;
    let endpoints = settings.endpoints.clone();
    let source = Source::new(endpoints.clone(), settings.registry, settings.kind, settings.strict);
    let source = source.holding(settings.range_bytes);
    let wake = Arc::new(Notify::new());
    let heads: Vec<_> = endpoints
        .websockets()
        .map(|url| AbortOnDropHandle::new(tokio::spawn(wake::notify_new_heads(url, wake.clone()))))
        .collect();
    let mut indexer = Indexer {
        pool,
        source,
        wake,
        backoff: Backoff::new("indexer"),
        span: Span::new(settings.max_range),
        progress: Progress::new(settings.name.clone()),
        settings,
    };
    // To stop is to drop what is being done, which is safe at any point, as a crash is.
    let outcome = token
        .run_until_cancelled(async {
            tokio::select! {
                outcome = indexer.run() => outcome,
                never = endpoints.survey() => match never {},
            }
        })
        .await;
    drop(heads);
    info!("indexer stopped");
    outcome.unwrap_or(Ok(())).map_err(Into::into)
}

struct Indexer {
    settings: Settings,
    pool: PgPool,
    source: Source,
    wake: Arc<Notify>,
    backoff: Backoff,
    span: Span,
    progress: Progress,
}

impl Indexer {
    async fn run(&mut self) -> Result<(), IndexError> {
        loop {
            match self.write().await {
                Err(error) if !error.is_fatal() => self.backoff.failed(&error).await,
                outcome => return outcome,
            }
        }
    }

    /// From the lease to the first error. Whatever failed, the way back begins here: no state outlives an error.
    async fn write(&mut self) -> Result<(), IndexError> {
        let (_lease, cursor) = self.open().await?;
        let block = cursor.block.map(|block| block.number);
        info!(registry = %self.settings.registry, epoch = cursor.epoch, block, position = cursor.position, "indexing");
        let mut writer = Writer {
            pool: &self.pool,
            source: &self.source,
            start_block: self.settings.start_block,
            indexes_deferred: indexes::are_deferred(&self.pool).await?,
            unspread: batch::count(&self.pool).await?,
            cursor,
            span: &mut self.span,
            progress: &mut self.progress,
        };
        loop {
            let more = writer.step().await?;
            self.backoff.succeeded();
            if !more {
                rest(&self.wake, self.settings.poll_interval, &mut writer).await?;
            }
        }
    }

    async fn open(&self) -> Result<(lease::Lease, cursor::Cursor), IndexError> {
        let Settings { registry, kind, chain_id, start_block, .. } = self.settings;
        let known = cursor::identity(&self.pool, registry).await?;
        let identity = self.source.identify(chain_id, known).await?;
        let source_id = cursor::open(&self.pool, identity, registry, kind, start_block).await?;
        let lease = lease::hold(&self.settings.postgres_url, lease::Role::Indexer, source_id).await?;
        Ok((lease, cursor::take(&self.pool, source_id).await?))
    }
}

/// Until there is reason to look again. Where nothing happens for a moment, batches become rows.
async fn rest(wake: &Notify, poll_interval: Duration, writer: &mut Writer<'_>) -> Result<(), IndexError> {
    let mut look = pin!(tokio::time::sleep(poll_interval));
    loop {
        tokio::select! {
            () = wake.notified() => return Ok(()),
            () = &mut look => return Ok(()),
            () = tokio::time::sleep(QUIET), if writer.unspread > 0 => writer.spread().await?,
        }
    }
}

/// Connects when first used, so that a database that is not up yet is waited for like one that went away.
fn pool(url: &Url) -> Result<PgPool, sqlx::Error> {
    let options: PgConnectOptions = url.as_str().parse()?;
    // A writer that is frozen in a transaction would keep the cursor's row locked, and its successor waiting, for ever.
    let options = options.options([("idle_in_transaction_session_timeout", "20s")]);
    let pool = PgPoolOptions::new().max_connections(4).acquire_timeout(Duration::from_secs(10));
    // One that is broken shows by its first statement, and all is tried again; to ask each time whether it is costs a block a round trip.
    Ok(pool.test_before_acquire(false).connect_lazy_with(options))
}
