//! A topic as a `read_committed` consumer sees it, from its beginning.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use eyre::{Context, Result, ensure};
use rdkafka::{
    Message as _, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    error::KafkaError,
    message::{BorrowedMessage, Headers},
};
use runproof_protocol::{event::JournalEntry, head::Registry};

use super::report::{Difference, Place};
use crate::{
    RelaySettings,
    relay::{
        message::{self, Message},
        topic::{self, Topic},
    },
};

const TIMEOUT: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(100);

/// A consumer and what it has read so far.
pub(super) struct TopicReader {
    topic: Topic,
    consumer: BaseConsumer,
    partitions: BTreeSet<i32>,
    pub(super) read: Vec<Read>,
    /// How many of them were there at the beginning.
    at_first: usize,
}

/// A message and what it holds.
pub(super) struct Read {
    partition: i32,
    offset: i64,
    pub(super) key: Option<String>,
    headers: Vec<(String, String)>,
    /// `None` of a tombstone.
    pub(super) value: Option<Vec<u8>>,
    /// Position, revision or quarantine id.
    pub(super) mark: Option<u64>,
    /// Of a topic of events.
    entry: Option<JournalEntry>,
}

impl TopicReader {
    /// Reads what is committed now. Blocks.
    pub(super) fn read_to_end(settings: &RelaySettings, topic: Topic) -> Result<Self> {
        let name = topic.name(&settings.topic);
        let consumer: BaseConsumer = topic::client(settings)
            .set("group.id", "runproof-audit")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()?;
        let metadata = consumer.fetch_metadata(Some(&name), TIMEOUT).wrap_err("asking for the topic's partitions")?;
        let partitions: BTreeSet<i32> =
            metadata.topics().iter().flat_map(|topic| topic.partitions()).map(|partition| partition.id()).collect();
        let mut assignment = TopicPartitionList::new();
        for partition in &partitions {
            assignment.add_partition_offset(&name, *partition, Offset::Beginning)?;
        }
        consumer.assign(&assignment)?;
        let mut reader = Self { topic, consumer, partitions, read: Vec::new(), at_first: 0 };
        let mut open = reader.partitions.clone();
        let mut deadline = Instant::now() + TIMEOUT;
        while !open.is_empty() {
            ensure!(Instant::now() < deadline, "nothing came from topic {name} in {TIMEOUT:?}");
            match reader.poll()? {
                Polled::Message => deadline = Instant::now() + TIMEOUT,
                Polled::End(partition) => drop(open.remove(&partition)),
                Polled::Nothing => {}
            }
        }
        reader.at_first = reader.read.len();
        Ok(reader)
    }

    /// Reads on until the entry at `position` was seen or patience ends. The relay may still have to create the topic. Blocks.
    pub(super) fn read_on(mut self, settings: &RelaySettings, position: u64, patience: Duration) -> Result<Self> {
        let deadline = Instant::now() + patience;
        while self.partitions.is_empty() && position > 0 && Instant::now() < deadline {
            std::thread::sleep(POLL);
            self = Self { at_first: 0, ..Self::read_to_end(settings, self.topic)? };
        }
        let mut newest = self.read.iter().filter_map(|read| read.mark).max();
        while !self.partitions.is_empty() && newest.unwrap_or(0) < position && Instant::now() < deadline {
            self.poll()?;
            newest = newest.max(self.read.last().and_then(|read| read.mark));
        }
        Ok(self)
    }

    /// The journal's entries in the order in which they are folded, without those that came after the journal was read; and what is no message of it.
    pub(super) fn entries(&self, registry: Registry, last: u64) -> Result<(Vec<JournalEntry>, Vec<Difference>)> {
        let mut differences = Vec::new();
        let mut entries = Vec::new();
        for (number, read) in self.read.iter().enumerate() {
            let at = read.at();
            let Some(entry) = &read.entry else {
                differences.push(Difference::new(Place::Topic, at, None, Some(read.excerpt())));
                continue;
            };
            if number >= self.at_first && entry.position > last {
                continue;
            }
            differences.extend(read.against(&message::event(&registry, entry)?, &at));
            entries.push(entry.clone());
        }
        // Between partitions there is no order but the positions'.
        if self.partitions.len() > 1 {
            entries.sort_by_key(|entry| entry.position);
        }
        Ok((entries, differences))
    }

    fn poll(&mut self) -> Result<Polled> {
        match self.consumer.poll(POLL) {
            None => Ok(Polled::Nothing),
            Some(Ok(message)) => {
                self.read.push(Read::of(self.topic, &message));
                Ok(Polled::Message)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Polled::End(partition)),
            Some(Err(error)) => Err(error).wrap_err("reading the topic"),
        }
    }
}

enum Polled {
    Message,
    End(i32),
    Nothing,
}

impl Read {
    fn of(topic: Topic, message: &BorrowedMessage<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        let headers: Vec<_> =
            headers.map(|header| (header.key.to_owned(), text(header.value.unwrap_or_default()))).collect();
        let entry: Option<JournalEntry> =
            message.payload().filter(|_| topic == Topic::Events).and_then(|value| serde_json::from_slice(value).ok());
        let told = headers.iter().find(|(name, _)| name == topic.mark()).and_then(|(_, mark)| mark.parse().ok());
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: message.key().map(text),
            mark: entry.as_ref().map(|entry| entry.position).or(told),
            headers,
            value: message.payload().map(<[u8]>::to_vec),
            entry,
        }
    }

    /// Where it stands.
    pub(super) fn at(&self) -> String {
        format!("partition {}, offset {}", self.partition, self.offset)
    }

    /// The beginning of its value.
    pub(super) fn excerpt(&self) -> String {
        let value = self.value.as_deref().unwrap_or(b"a tombstone");
        String::from_utf8_lossy(value).chars().take(200).collect()
    }

    /// Key and headers must be those that the entry asks for.
    fn against(&self, expected: &Message, at: &str) -> Vec<Difference> {
        let headers = |headers: Vec<(&str, &str)>| format!("{headers:?}");
        let ours = headers(expected.headers.iter().map(|(name, value)| (*name, value.as_ref())).collect());
        let theirs = headers(self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect());
        let pairs = [("key", Some(expected.key.clone()), self.key.clone()), ("headers", Some(ours), Some(theirs))];
        let differing = pairs.into_iter().filter(|(_, expected, found)| expected != found);
        differing
            .map(|(what, expected, found)| Difference::new(Place::Topic, format!("{what} of {at}"), expected, found))
            .collect()
    }
}
