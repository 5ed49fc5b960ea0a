//! When rows can be seen in Postgres, and messages in the topic.

use std::time::Instant;

use eyre::{Context, Result};
use rdkafka::{Offset, TopicPartitionList, consumer::Consumer};
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tokio::sync::oneshot;

use super::{Place, Seen};
use crate::{chain::Recipe, topic};

/// Block of the newest row, in whichever table it is. A view of both would make rows of all that are in batches, which takes Postgres longer than what is
/// measured.
const NEWEST: &str = "select greatest((select block_number from journal.batch order by position desc limit 1),
                                      (select block_number from journal.record order by block_number desc limit 1))";

/// Sees each block whose events are there, until the last: a notification says when to look, what is noted is when the row was read.
pub async fn postgres(url: &str, recipe: &Recipe) -> Result<Place> {
    let mut listener = PgListener::connect(url).await?;
    let mut reader = PgConnection::connect(url).await?;
    listener.listen("runproof_journal").await?;
    let mut seen: Vec<Seen> = Vec::new();
    loop {
        let newest: Option<i64> = sqlx::query_scalar(NEWEST).fetch_one(&mut reader).await?;
        let newest = u64::try_from(newest.unwrap_or_default())?;
        seen.push((recipe.events_until(newest), Instant::now()));
        if newest == recipe.last_block() {
            return Ok(Place { name: "in Postgres", seen });
        }
        listener.recv().await?;
    }
}

/// Waits until the journal holds so many entries; returns its position.
pub async fn position(url: &str, entries: u64) -> Result<u64> {
    let mut listener = PgListener::connect(url).await?;
    let mut reader = PgConnection::connect(url).await?;
    listener.listen("runproof_journal").await?;
    loop {
        let position: Option<i64> =
            sqlx::query_scalar("select position from journal.source").fetch_optional(&mut reader).await?;
        let position = u64::try_from(position.unwrap_or_default())?;
        if position >= entries {
            return Ok(position);
        }
        listener.recv().await?;
    }
}

/// Reads a topic of one partition, as it is and as it comes, with a consumer that reads committed messages, until it has `all` events of the chain.
/// Blocks. `read` is told once it has the first `before` of them.
pub fn kafka(bootstrap: &str, topic: &str, before: u64, all: u64, read: oneshot::Sender<()>) -> Result<Place> {
    let consumer = topic::consumer(bootstrap)?;
    let mut beginning = TopicPartitionList::new();
    beginning.add_partition_offset(topic, 0, Offset::Beginning)?;
    consumer.assign(&beginning)?;
    let (mut seen, mut events, mut read): (Vec<Seen>, _, _) = (Vec::new(), 0, Some(read));
    while events < all {
        let Some(message) = consumer.poll(topic::POLL) else { continue };
        events += u64::from(topic::is_of_a_run(&message.wrap_err("reading the topic")?));
        seen.push((events, Instant::now()));
        if events >= before {
            // Who waits for it is gone if something else failed, and says what.
            let _ = read.take().map(|read| read.send(()));
        }
    }
    Ok(Place { name: "committed in the topic", seen })
}
