//! What a topic itself holds: the only truth about what was relayed.

use std::time::{Duration, Instant};

use alloy::primitives::B256;
use eyre::{Context, OptionExt, ensure};
use rdkafka::{
    ClientContext, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
    types::RDKafkaErrorCode,
};

use super::{
    message,
    topic::{self, Topic},
};
use crate::RelaySettings;

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// Reaching a partition's end is what is wanted here, not an error to log.
pub(crate) struct ToTheEnd;

impl ClientContext for ToTheEnd {
    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::PartitionEOF) {
            tracing::warn!(%error, reason, "reading the topic's end");
        }
    }
}

impl ConsumerContext for ToTheEnd {}

/// Reads without taking part in a group.
pub(crate) type TailConsumer = BaseConsumer<ToTheEnd>;

/// The newest message in a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Its position, revision or quarantine id.
    pub(crate) mark: u64,
    /// Its block, if it is of one.
    pub(crate) block_hash: Option<B256>,
}

/// Reads the newest committed message of all partitions; `None` from an empty topic. Blocks.
///
/// Call it once the transactional producer is initialised: only then no transaction of ours is open.
pub(crate) fn read(settings: &RelaySettings, topic: Topic) -> eyre::Result<Option<Tail>> {
    let name = topic.name(&settings.topic);
    let consumer = consumer(settings, "read_committed")?;
    let mut newest = None::<Tail>;
    for number in partitions(&consumer, &name)? {
        let found = partition_tail(&Partition { consumer: &consumer, name: &name, number, topic })?;
        newest = newest.into_iter().chain(found).max_by_key(|tail| tail.mark);
    }
    Ok(newest)
}

/// One that commits nothing.
pub(crate) fn consumer(settings: &RelaySettings, isolation_level: &str) -> eyre::Result<TailConsumer> {
    Ok(topic::client(settings)
        .set("group.id", "runproof-relay-tail")
        .set("isolation.level", isolation_level)
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true")
        .create_with_context(ToTheEnd)?)
}

/// Numbers of a topic's partitions.
pub(crate) fn partitions(consumer: &TailConsumer, name: &str) -> eyre::Result<Vec<i32>> {
    let metadata = consumer.fetch_metadata(Some(name), TIMEOUT).wrap_err("asking for the topic's partitions")?;
    let partitions = metadata.topics().first().map_or(&[][..], |topic| topic.partitions());
    ensure!(!partitions.is_empty(), "topic {name} has no partitions yet");
    Ok(partitions.iter().map(|partition| partition.id()).collect())
}

struct Partition<'a> {
    consumer: &'a TailConsumer,
    topic: Topic,
    name: &'a str,
    number: i32,
}

/// Goes back further and further, since the last offsets may be control records, compacted or of aborted transactions.
fn partition_tail(partition: &Partition<'_>) -> eyre::Result<Option<Tail>> {
    let watermarks = partition.consumer.fetch_watermarks(partition.name, partition.number, TIMEOUT);
    let (low, high) = watermarks.wrap_err("asking for the topic's end")?;
    let mut back = 16;
    loop {
        let start = (high - back).max(low);
        let tail = last_from(partition, start)?;
        if tail.is_some() || start == low {
            return Ok(tail);
        }
        back *= 8;
    }
}

fn last_from(partition: &Partition<'_>, start: i64) -> eyre::Result<Option<Tail>> {
    let Partition { consumer, topic, name, number } = partition;
    let mut assignment = TopicPartitionList::new();
    assignment.add_partition_offset(name, *number, Offset::Offset(start))?;
    consumer.assign(&assignment)?;
    let deadline = Instant::now() + TIMEOUT;
    let mut last = None;
    loop {
        ensure!(Instant::now() < deadline, "the end of topic {name} was not reached in {TIMEOUT:?}");
        match consumer.poll(POLL) {
            None => {}
            Some(Ok(message)) => last = Some(tail(*topic, &message)?),
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(last),
            Some(Err(error)) => return Err(error).wrap_err("reading the topic's end"),
        }
    }
}

fn tail(topic: Topic, message: &BorrowedMessage<'_>) -> eyre::Result<Tail> {
    let header = |name: &str| {
        let found = message.headers()?.iter().find(|header| header.key == name)?;
        std::str::from_utf8(found.value?).ok()
    };
    let foreign = "the topic holds a message that the relay did not write: name another topic";
    Ok(Tail {
        mark: header(topic.mark()).ok_or_eyre(foreign)?.parse().wrap_err(foreign)?,
        block_hash: header(message::BLOCK_HASH).map(str::parse).transpose().wrap_err(foreign)?,
    })
}
