//! The journal into Kafka, by transactions, each entry exactly once.
//!
//! Where to go on is read from the topic, never remembered. After any failure the producer is dropped and made anew, which aborts what it left open,
//! and the topic's tail is read again: librdkafka lacks KIP-890, so a producer whose commit timed out must not be used again.

use std::{convert::Infallible, sync::Arc};

use eyre::{Context, OptionExt};
use runproof_protocol::{event::JournalEntry, head::Registry};
use sqlx::{PgPool, Row, postgres::PgListener};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::{
    RelaySettings,
    backoff::Backoff,
    cursor::unsigned,
    journal, lease,
    message::message,
    tail::{self, Tail},
    topic,
    transaction::{PublishError, Publisher},
};

/// What trying again cannot mend.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// Another process produces under the same transactional id.
    #[error("another relay has taken over topic {topic}: this one stops")]
    Fenced {
        /// The topic.
        topic: String,
    },
    /// The topic was filled from another journal.
    #[error(
        "topic {topic} holds another journal (its entry {position} is not ours): name another topic, or use the database it was filled from"
    )]
    OtherJournal {
        /// The topic.
        topic: String,
        /// Position of its last entry.
        position: u64,
    },
}

/// Relays until `token` is cancelled. The database must be migrated; its journal may still be missing.
///
/// # Errors
/// [`RelayError`]. Brokers and databases that are away are waited for.
pub async fn run(settings: RelaySettings, token: CancellationToken) -> eyre::Result<()> {
    let pool = crate::pool(&settings.postgres_url)?;
    let mut backoff = Backoff::new("relay");
    let relay = async {
        loop {
            let Err(error) = session(&settings, &pool, &mut backoff).await;
            if error.downcast_ref::<RelayError>().is_some() {
                return error;
            }
            backoff.failed(&format!("{error:#}")).await;
        }
    };
    let outcome = token.run_until_cancelled(relay).await;
    info!("relay stopped");
    outcome.map_or(Ok(()), Err)
}

/// From the lease to the first error.
async fn session(settings: &RelaySettings, pool: &PgPool, backoff: &mut Backoff) -> eyre::Result<Infallible> {
    let (source_id, registry) = source(settings, pool).await?;
    let _lease = lease::hold(&settings.postgres_url, lease::Role::Relay, source_id).await?;
    topic::ensure(settings).await?;
    let (publisher, tail) = open(settings.clone(), registry).await?;
    check(settings, pool, source_id, tail).await?;
    let mut position = tail.map_or(0, |tail| tail.position);
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen("runproof_journal").await?;
    info!(topic = settings.topic, position, "relaying");
    loop {
        let entries = journal::page(pool, source_id, position, settings.batch).await?;
        backoff.succeeded();
        metrics::gauge!("runproof_relay_position").set(position as f64);
        match entries.last() {
            Some(last) => {
                position = last.position;
                debug!(entries = entries.len(), position, "publishing");
                publish(settings, &publisher, registry, entries).await?;
            }
            None => tokio::select! {
                notified = listener.recv() => drop(notified?),
                () = tokio::time::sleep(settings.poll_interval) => {}
            },
        }
    }
}

async fn source(settings: &RelaySettings, pool: &PgPool) -> eyre::Result<(i16, Registry)> {
    let row = sqlx::query("select source_id, chain_id from journal.source where contract = $1")
        .bind(settings.registry.as_slice())
        .fetch_optional(pool)
        .await?
        .ok_or_eyre("the indexer has not begun the journal yet")?;
    Ok((row.try_get(0)?, Registry { chain_id: unsigned(row.try_get(1)?), address: settings.registry }))
}

/// The producer first: only once it is initialised is the tail final.
async fn open(settings: RelaySettings, registry: Registry) -> eyre::Result<(Arc<Publisher>, Option<Tail>)> {
    spawn_blocking(move || Ok((Arc::new(Publisher::open(&settings, registry)?), tail::read(&settings)?))).await?
}

/// The topic's last entry must be the journal's at that position.
async fn check(settings: &RelaySettings, pool: &PgPool, source_id: i16, tail: Option<Tail>) -> eyre::Result<()> {
    let Some(tail) = tail else { return Ok(()) };
    if journal::block_hash(pool, source_id, tail.position).await? == Some(tail.block_hash) {
        return Ok(());
    }
    Err(RelayError::OtherJournal { topic: settings.topic.clone(), position: tail.position }.into())
}

async fn publish(
    settings: &RelaySettings,
    publisher: &Arc<Publisher>,
    registry: Registry,
    entries: Vec<JournalEntry>,
) -> eyre::Result<()> {
    let (publisher, topic) = (publisher.clone(), settings.topic.clone());
    spawn_blocking(move || {
        let messages = entries.iter().map(|entry| message(&registry, entry)).collect::<Result<Vec<_>, _>>()?;
        match publisher.publish(&topic, &messages) {
            Err(PublishError::Fenced) => Err(RelayError::Fenced { topic }.into()),
            outcome => outcome.wrap_err("publishing"),
        }
    })
    .await?
}
