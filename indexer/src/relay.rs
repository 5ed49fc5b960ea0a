//! Postgres into Kafka, by transactions, each message exactly once: the journal, verdicts, and logs that could not be decoded.
//!
//! Where to go on is read from the topics, never remembered. After any failure the producers are dropped and made anew, which aborts what they left
//! open, and the topics' tails are read again: librdkafka lacks KIP-890, so a producer whose commit timed out must not be used again.

mod brokers;
mod deliveries;
mod feed;
mod hanging;
pub mod message;
mod tail;
pub mod topic;
mod transaction;

use std::convert::Infallible;

use eyre::OptionExt;
use feed::{Database, DeadLetters, Journal, Session, Verdicts};
use runproof_protocol::head::Registry;
use sqlx::{PgPool, Row, postgres::PgListener};
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::{RelaySettings, backoff::Backoff, cursor::unsigned, lease};

/// Hints that there is something to relay.
const CHANNELS: [&str; 2] = ["runproof_journal", "runproof_verdict"];

/// What trying again cannot mend.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The topic was filled from another database.
    #[error(
        "topic {topic} holds another journal (its newest message, {mark}, is not ours): name another topic, or use the database it was filled from"
    )]
    OtherJournal {
        /// The topic.
        topic: String,
        /// Position, revision or quarantine id of its newest message.
        mark: u64,
    },
    /// The topic is there, and would lose messages or never be tidied.
    #[error(
        "topic {topic} has {setting}={found}, and needs {needed}: set it (`kafka-configs.sh --alter --topic {topic} --add-config {setting}={needed}`), or name another topic"
    )]
    WrongSetting {
        /// The topic.
        topic: String,
        /// Kafka's name of the setting.
        setting: &'static str,
        /// What it is.
        found: String,
        /// What it must be.
        needed: &'static str,
    },
}

/// Relays until `token` is cancelled. The database must be migrated; its journal may still be missing.
///
/// # Errors
/// [`RelayError`]. Brokers and databases that are away are waited for. A relay that was fenced goes back to the lease: who fenced it may be one that was
/// frozen and has lost the lease meanwhile.
pub async fn run(settings: RelaySettings, token: CancellationToken) -> eyre::Result<()> {
    let pool = crate::pool(&settings.postgres_url)?;
    let mut backoff = Mutex::new(Backoff::new("relay"));
    let relay = async {
        loop {
            let Err(error) = session(&settings, &pool, &backoff).await;
            if error.downcast_ref::<RelayError>().is_some() {
                return error;
            }
            backoff.get_mut().failed(&format!("{error:#}")).await;
        }
    };
    let outcome = token.run_until_cancelled(relay).await;
    info!("relay stopped");
    outcome.map_or(Ok(()), Err)
}

/// From the lease to the first error of any feed.
async fn session(settings: &RelaySettings, pool: &PgPool, backoff: &Mutex<Backoff>) -> eyre::Result<Infallible> {
    let database = open(settings, pool).await?;
    let _lease = lease::hold(&settings.postgres_url, lease::Role::Relay, database.source_id).await?;
    let of = settings.clone();
    spawn_blocking(move || brokers::reach(&of)).await??;
    topic::ensure(settings).await?;
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen_all(CHANNELS).await?;
    let (hint, hints) = watch::channel(());
    let session = Session { settings, registry: database.registry, backoff, hints };
    let (never, ..) = tokio::try_join!(
        pass_on(listener, hint),
        session.relay(Journal::new(database.clone())),
        session.relay(Verdicts::new(database.clone())),
        session.relay(DeadLetters::new(database.clone())),
    )?;
    match never {}
}

async fn pass_on(mut listener: PgListener, hint: watch::Sender<()>) -> eyre::Result<Infallible> {
    loop {
        listener.recv().await?;
        hint.send_replace(());
    }
}

async fn open(settings: &RelaySettings, pool: &PgPool) -> eyre::Result<Database> {
    let row = sqlx::query("select source_id, chain_id from journal.source where contract = $1")
        .bind(settings.registry.as_slice())
        .fetch_optional(pool)
        .await?
        .ok_or_eyre("the indexer has not begun the journal yet")?;
    let registry = Registry { chain_id: unsigned(row.try_get(1)?), address: settings.registry };
    let relayed = settings.relayed.clone();
    Ok(Database { pool: pool.clone(), source_id: row.try_get(0)?, registry, batch: settings.batch, relayed })
}
