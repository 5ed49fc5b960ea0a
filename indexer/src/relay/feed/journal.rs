//! The journal's entries, and the newest state of each instance that they concern, in the same transactions.

use std::sync::atomic::Ordering;

use super::{Database, Feed, Messages, instances::Instances};
use crate::{
    journal,
    relay::{message, tail::Tail, topic::Topic},
};

/// Feeds [`Topic::Events`] and [`Topic::Instances`].
pub(crate) struct Journal {
    database: Database,
    /// Position up to which each topic is filled. They differ only if a topic is new or was made anew.
    events: u64,
    instances: u64,
    /// Position up to which the journal was read.
    read: u64,
    newest: Instances,
}

impl Journal {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, events: 0, instances: 0, read: 0, newest: Instances::default() }
    }

    async fn is_ours(&self, tail: Tail) -> eyre::Result<bool> {
        let Database { pool, source_id, .. } = &self.database;
        Ok(journal::block_hash(pool, *source_id, tail.mark).await? == tail.block_hash)
    }
}

impl Feed for Journal {
    const TOPICS: &'static [Topic] = &[Topic::Events, Topic::Instances];

    async fn resume(&mut self, tails: &[Option<Tail>]) -> eyre::Result<Result<(), Topic>> {
        let mut filled = [0, 0];
        for ((topic, tail), filled) in Self::TOPICS.iter().zip(tails).zip(&mut filled) {
            let Some(tail) = *tail else { continue };
            if tail.block_hash.is_none() || !self.is_ours(tail).await? {
                return Ok(Err(*topic));
            }
            *filled = tail.mark;
        }
        [self.events, self.instances] = filled;
        self.read = self.events.min(self.instances);
        Ok(Ok(()))
    }

    async fn next(&mut self) -> eyre::Result<Option<Messages>> {
        let Database { pool, source_id, registry, batch, relayed } = &self.database;
        let entries = journal::page(pool, *source_id, self.read, *batch).await?;
        relayed.store(self.read, Ordering::Relaxed);
        let Some(last) = entries.last() else { return Ok(None) };
        let touching = entries.iter().filter(|entry| entry.position > self.instances);
        let snapshots = self.newest.messages(&self.database, touching).await?;
        let (registry, events) = (*registry, self.events);
        self.read = last.position;
        let new = entries.into_iter().filter(move |entry| entry.position > events);
        let new = new.map(move |entry| message::event(&registry, &entry));
        Ok(Some(Box::new(new.chain(snapshots.into_iter().map(Ok)))))
    }
}
