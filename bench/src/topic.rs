//! What the topic holds, as a consumer that reads committed messages sees it.

use std::time::Duration;

use eyre::Result;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a message that is there takes to come at most.
pub(crate) const POLL: Duration = Duration::from_millis(100);
/// Records at the end of a partition that may be no messages: the marks of transactions.
const MARKS: i64 = 2;

/// Waits until the entry at `position` can be read. Reads the topic's end alone.
pub async fn wait_for(bootstrap: &str, topic: &str, position: u64) -> Result<()> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer = consumer(&bootstrap)?;
        while last_position(&consumer, &topic)? < Some(position) {}
        Ok(())
    })
    .await?
}

/// A consumer of whole transactions.
pub(crate) fn consumer(bootstrap: &str) -> Result<BaseConsumer, KafkaError> {
    ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .set("group.id", "bench")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .create()
}

/// Whether a message tells an event of the chain that the benchmark builds, all of which are of runs: what the chain says of a block has the contract for its
/// key. To read a header would take the client longer than to take the message.
pub(crate) fn is_of_a_run(message: &BorrowedMessage<'_>) -> bool {
    message.key().is_some_and(|key| !key.starts_with(b"0x"))
}

fn header<'m>(message: &'m BorrowedMessage<'_>, name: &str) -> Option<&'m str> {
    let header = message.headers()?.iter().find(|header| header.key == name)?;
    std::str::from_utf8(header.value?).ok()
}

fn last_position(consumer: &BaseConsumer, topic: &str) -> Result<Option<u64>> {
    let Ok((low, high)) = consumer.fetch_watermarks(topic, 0, TIMEOUT) else { return Ok(None) };
    let mut end = TopicPartitionList::new();
    end.add_partition_offset(topic, 0, Offset::Offset((high - MARKS).max(low)))?;
    consumer.assign(&end)?;
    let message = consumer.poll(POLL).transpose()?;
    Ok(message.and_then(|message| header(&message, "ce_position")?.parse().ok()))
}
