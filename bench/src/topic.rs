//! What the topic holds, as a consumer that reads committed messages sees it.

use std::time::Duration;

use eyre::Result;
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};

const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a message that is there takes to come at most.
const POLL: Duration = Duration::from_millis(100);
/// Records at the end of a partition that may be no messages: the marks of transactions.
const MARKS: i64 = 2;

/// Waits until the entry at `position` can be read. Reads the topic's end alone.
pub async fn wait_for(bootstrap: &str, topic: &str, position: u64) -> Result<()> {
    let (bootstrap, topic) = (bootstrap.to_owned(), topic.to_owned());
    tokio::task::spawn_blocking(move || {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &bootstrap)
            .set("group.id", "bench")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .create()?;
        while last_position(&consumer, &topic)? < Some(position) {}
        Ok(())
    })
    .await?
}

fn last_position(consumer: &BaseConsumer, topic: &str) -> Result<Option<u64>> {
    let Ok((low, high)) = consumer.fetch_watermarks(topic, 0, TIMEOUT) else { return Ok(None) };
    let mut end = TopicPartitionList::new();
    end.add_partition_offset(topic, 0, Offset::Offset((high - MARKS).max(low)))?;
    consumer.assign(&end)?;
    let Some(message) = consumer.poll(POLL).transpose()? else { return Ok(None) };
    let header = message.headers().and_then(|headers| headers.iter().find(|header| header.key == "ce_position"));
    let value = header.and_then(|header| header.value);
    Ok(value.and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()))
}
