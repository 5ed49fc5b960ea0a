//! What goes from Postgres into topics: a feed says what comes next, and by what the topics hold where to begin.

mod dead_letters;
mod instances;
mod journal;
mod snapshot;
mod verdicts;

use std::{
    convert::Infallible,
    future::Future,
    mem,
    sync::{Arc, atomic::AtomicU64},
};

pub(crate) use dead_letters::DeadLetters;
use eyre::{Context, ensure};
pub(crate) use journal::Journal;
use runproof_protocol::head::Registry;
use sqlx::PgPool;
use tokio::{
    sync::{Mutex, watch},
    task::spawn_blocking,
};
use tracing::{debug, info};
pub(crate) use verdicts::Verdicts;

use super::{
    RelayError, hanging,
    message::Message,
    tail::{self, Tail},
    topic::Topic,
    transaction::Publisher,
};
use crate::{RelaySettings, backoff::Backoff};

/// One source's tables.
#[derive(Clone)]
pub(crate) struct Database {
    pub(crate) pool: PgPool,
    pub(crate) source_id: i16,
    pub(crate) registry: Registry,
    /// Rows that are read at a time, and so what a transaction holds at most.
    pub(crate) batch: u32,
    /// Where to tell how far the journal is relayed.
    pub(crate) relayed: Arc<AtomicU64>,
}

/// Written one by one while those before are on their way.
pub(crate) type Messages = Box<dyn Iterator<Item = serde_json::Result<Message>> + Send>;

/// Rows in the order of a number that grows (position, revision, quarantine id), as messages.
pub(crate) trait Feed: Send {
    /// What it writes, all in the same transactions. The first is what it is named by.
    const TOPICS: &'static [Topic];

    /// Goes on after what the topics hold, in the order of [`Self::TOPICS`]; tells the topic that another database filled.
    fn resume(&mut self, tails: &[Option<Tail>]) -> impl Future<Output = eyre::Result<Result<(), Topic>>> + Send;

    /// The next rows' messages; `None` if there are no more rows.
    fn next(&mut self) -> impl Future<Output = eyre::Result<Option<Messages>>> + Send;
}

/// What all feeds of a session share.
pub(crate) struct Session<'a> {
    pub(crate) settings: &'a RelaySettings,
    pub(crate) registry: Registry,
    pub(crate) backoff: &'a Mutex<Backoff>,
    /// Changes when there may be more rows.
    pub(crate) hints: watch::Receiver<()>,
}

impl Session<'_> {
    /// Relays a feed until its first error.
    pub(crate) async fn relay<F: Feed>(&self, mut feed: F) -> eyre::Result<Infallible> {
        let mut hints = self.hints.clone();
        let (publisher, tails) = self.open(F::TOPICS).await?;
        if let Err(topic) = feed.resume(&tails).await? {
            let mark = F::TOPICS.iter().zip(&tails).find(|(one, _)| **one == topic).and_then(|(_, tail)| *tail);
            let topic = topic.name(&self.settings.topic);
            return Err(RelayError::OtherJournal { topic, mark: mark.map_or(0, |tail| tail.mark) }.into());
        }
        info!(topics = ?F::TOPICS, after = ?tails.iter().map(|tail| tail.map(|tail| tail.mark)).collect::<Vec<_>>(), "relaying");
        let mut unseen = false;
        loop {
            hints.mark_unchanged();
            let next = feed.next().await?;
            let more = next.is_some();
            if let Some(messages) = next {
                unseen |= self.publish(&publisher, F::TOPICS[0], messages).await?;
            }
            self.backoff.lock().await.succeeded();
            if !more {
                // The sender ends with the session, and this with it.
                let idle = tokio::time::timeout(self.settings.poll_interval, hints.changed()).await.is_err();
                if idle && mem::take(&mut unseen) {
                    self.ensure_visible(F::TOPICS).await?;
                }
            }
        }
    }

    /// Nothing that follows would end the last transaction, should a broker have lost its end.
    async fn ensure_visible(&self, topics: &'static [Topic]) -> eyre::Result<()> {
        let settings = self.settings.clone();
        let hanging = spawn_blocking(move || hanging::partitions(&settings, topics)).await??;
        ensure!(
            hanging.is_empty(),
            "what was published to {hanging:?} is not visible; reading again what the topics hold"
        );
        Ok(())
    }

    /// The producer first: only once it is initialised are the tails final.
    async fn open(&self, topics: &'static [Topic]) -> eyre::Result<(Arc<Publisher>, Vec<Option<Tail>>)> {
        let (settings, registry) = (self.settings.clone(), self.registry);
        spawn_blocking(move || {
            let publisher = Publisher::open(&settings, registry, topics[0])?;
            hanging::end(&publisher, &settings, topics)?;
            let tails = topics.iter().map(|topic| tail::read(&settings, *topic)).collect::<eyre::Result<_>>()?;
            Ok((Arc::new(publisher), tails))
        })
        .await?
    }

    /// Returns whether there were any.
    async fn publish(&self, publisher: &Arc<Publisher>, first: Topic, messages: Messages) -> eyre::Result<bool> {
        let (publisher, topic) = (publisher.clone(), first.name(&self.settings.topic));
        let published = spawn_blocking(move || publisher.publish(messages)).await?;
        let count = published.wrap_err_with(|| format!("publishing to {topic}"))?;
        debug!(topic, messages = count, "published");
        metrics::counter!("runproof_relay_messages_total", "topic" => topic).increment(count);
        Ok(count > 0)
    }
}
