//! Transactions that nobody works on any more and that no broker ends.
//!
//! A broker that dies after it took a commit, and before it wrote the commit's markers, may never write them: while it comes back its partitions have no
//! leader for a moment, and Kafka (4.4, `TransactionMarkerChannelManager`) takes such a partition for a deleted one. `read_committed` consumers then see
//! nothing of the partition from there on, until the producer ends another transaction in it, which ends both alike. Committing
//! would show what was written twice: so one is aborted, and what was lost with it is published again.

use std::{
    thread,
    time::{Duration, Instant},
};

use eyre::{WrapErr, ensure};
use rdkafka::consumer::Consumer;

use super::{
    tail::{self, TailConsumer},
    topic::Topic,
    transaction::Publisher,
};
use crate::RelaySettings;

/// Brokers write markers within milliseconds; one that has only just come back is given time.
const MARKERS_TAKE: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const TIMEOUT: Duration = Duration::from_secs(30);

/// A partition, by its topic's name and its number.
pub(crate) type Partition = (String, i32);

/// Partitions that hold a transaction whose end does not come. None of the relay's may be under way. Blocks, at most some seconds longer than brokers take
/// to answer.
pub(crate) fn partitions(settings: &RelaySettings, topics: &[Topic]) -> eyre::Result<Vec<Partition>> {
    let (all, committed) = (tail::consumer(settings, "read_uncommitted")?, tail::consumer(settings, "read_committed")?);
    let deadline = Instant::now() + MARKERS_TAKE;
    loop {
        let mut found = Vec::new();
        for topic in topics {
            let name = topic.name(&settings.topic);
            for number in tail::partitions(&committed, &name)? {
                // In this order, for what is written in between is no transaction without an end.
                let (written, readable) = (end_of(&all, &name, number)?, end_of(&committed, &name, number)?);
                if readable < written {
                    found.push((name.clone(), number));
                }
            }
        }
        if found.is_empty() || Instant::now() > deadline {
            return Ok(found);
        }
        thread::sleep(LOOK_EVERY);
    }
}

fn end_of(consumer: &TailConsumer, topic: &str, number: i32) -> eyre::Result<i64> {
    let (_, end) = consumer.fetch_watermarks(topic, number, TIMEOUT).wrap_err("asking for the topic's end")?;
    Ok(end)
}

/// Ends those that earlier producers of the same feed left. Blocks.
///
/// # Errors
/// Kafka's, or that somebody else's transaction is open in a topic.
pub(crate) fn end(publisher: &Publisher, settings: &RelaySettings, topics: &[Topic]) -> eyre::Result<()> {
    let found = partitions(settings, topics)?;
    metrics::counter!("runproof_relay_hanging_transactions_total").increment(found.len() as u64);
    if found.is_empty() {
        return Ok(());
    }
    tracing::warn!(partitions = ?found, "a broker lost the end of a transaction; aborting it, and publishing again what was in it");
    publisher.abort_in(&found).wrap_err("aborting a transaction whose end was lost")?;
    let left = partitions(settings, topics)?;
    ensure!(
        left.is_empty(),
        "{left:?} hold a transaction that is not the relay's: end it (`kafka-transactions.sh abort`), and let nobody else write to these topics"
    );
    Ok(())
}
