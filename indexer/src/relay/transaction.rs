//! One batch of messages, one Kafka transaction: all of it or nothing is seen by `read_committed` consumers.

use std::{sync::Arc, thread, time::Duration};

use eyre::Context;
use rdkafka::{
    error::KafkaError,
    message::{Header, OwnedHeaders, ToBytes},
    producer::{BaseProducer, BaseRecord, Producer},
};
use runproof_protocol::head::Registry;

use super::{
    deliveries::Deliveries,
    feed::Messages,
    hanging::Partition,
    message::Message,
    topic::{self, Topic},
};
use crate::RelaySettings;

/// Longer than the brokers keep a transaction open, so that a time-out here means that it is over there.
const TIMEOUT: Duration = Duration::from_secs(45);

/// How long an answer that has been told takes to be put away.
const LAST_ANSWER: Duration = Duration::from_millis(1);

/// How long at most a producer outlives its publisher. Who waits for answers spins in the last millisecond of each such time (rdkafka 0.39), which is
/// why it is not the 100 ms of rdkafka's own thread.
const ANSWERS_AWAITED: Duration = Duration::from_secs(1);

/// Why a batch is not known to be published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PublishError {
    /// A message cannot be told in JSON.
    #[error("a message cannot be written: {0}")]
    Unwritten(serde_json::Error),
    /// A message was not delivered.
    #[error("a message was not delivered: {0}")]
    Undelivered(KafkaError),
    /// The transaction did not begin, or its commit did not succeed, or nobody knows.
    #[error("transaction: {0}")]
    Transaction(KafkaError),
}

/// A transactional producer. After an error of [`Publisher::publish`] it must be dropped, and what is in the topic read anew.
pub(crate) struct Publisher {
    producer: Arc<BaseProducer<Deliveries>>,
    /// Topic of events, from whose name those of the others follow.
    events: String,
}

impl Publisher {
    /// Fences earlier producers of the same journal and topics (named by the first of them), and ends their open transactions. Blocks.
    pub(crate) fn open(settings: &RelaySettings, registry: Registry, first: Topic) -> eyre::Result<Self> {
        let Registry { chain_id, address } = registry;
        let transactional_id = format!("runproof/{chain_id}/{address:#x}/{}", first.name(&settings.topic));
        let mut config = topic::client(settings);
        if config.get("message.timeout.ms").is_none() {
            config.set("message.timeout.ms", "30000");
        }
        let producer: BaseProducer<_> = config
            .set("transactional.id", transactional_id)
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("socket.nagle.disable", "true")
            // A transaction's messages come within a moment: sent as they come, they would be so many requests. What fills a batch does not wait.
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            .set("message.max.bytes", topic::LONGEST_MESSAGE)
            // Java's default, so that other producers' keys meet ours in one partition.
            .set("partitioner", "murmur2_random")
            .set("transaction.timeout.ms", "40000")
            .create_with_context(Deliveries::default())?;
        let producer = Arc::new(producer);
        take_answers(&producer)?;
        producer.init_transactions(TIMEOUT).wrap_err("initialising the transactional producer")?;
        Ok(Self { producer, events: settings.topic.clone() })
    }

    /// Publishes all messages in one transaction, and returns how many. Blocks.
    pub(crate) fn publish(&self, messages: Messages) -> Result<u64, PublishError> {
        let mut messages = messages.peekable();
        if messages.peek().is_none() {
            return Ok(0);
        }
        let names = Topic::ALL.map(|topic| topic.name(&self.events));
        self.producer.begin_transaction().map_err(PublishError::Transaction)?;
        let mut count = 0;
        for message in messages {
            let message = message.map_err(PublishError::Unwritten)?;
            let record = BaseRecord::to(&names[message.topic as usize]).key(&message.key).headers(headers(&message));
            self.send(BaseRecord { payload: message.value.as_ref(), ..record })?;
            count += 1;
        }
        self.delivered(count)?;
        self.producer.commit_transaction(TIMEOUT).map_err(PublishError::Transaction)?;
        Ok(count)
    }

    /// Aborts a transaction that has a message in each of these partitions, and with it what the same producer left open there. Blocks.
    pub(crate) fn abort_in(&self, partitions: &[Partition]) -> Result<(), PublishError> {
        self.producer.begin_transaction().map_err(PublishError::Transaction)?;
        for (topic, number) in partitions {
            self.send(BaseRecord::to(topic).partition(*number).key("aborted").payload(""))?;
        }
        self.delivered(partitions.len() as u64)?;
        self.producer.abort_transaction(TIMEOUT).map_err(PublishError::Transaction)
    }

    fn send<K: ToBytes + ?Sized, V: ToBytes + ?Sized>(&self, record: BaseRecord<'_, K, V>) -> Result<(), PublishError> {
        self.producer.send(record).map_err(|(error, _)| PublishError::Undelivered(error))
    }

    /// Each is answered within `message.timeout.ms`. The client's own flush would look again only every 100 ms.
    fn delivered(&self, count: u64) -> Result<(), PublishError> {
        self.producer.context().wait_for(count).map_err(PublishError::Undelivered)?;
        while self.producer.in_flight_count() > 0 {
            self.producer.poll(LAST_ANSWER);
        }
        Ok(())
    }
}

/// A thread that hands on what the brokers answer, for as long as there is the producer.
fn take_answers(producer: &Arc<BaseProducer<Deliveries>>) -> std::io::Result<()> {
    let producer = Arc::downgrade(producer);
    let take = move || {
        while let Some(producer) = producer.upgrade() {
            producer.poll(ANSWERS_AWAITED);
        }
    };
    thread::Builder::new().name("kafka-answers".to_owned()).spawn(take).map(drop)
}

fn headers(message: &Message) -> OwnedHeaders {
    let empty = OwnedHeaders::new_with_capacity(message.headers.len());
    message
        .headers
        .iter()
        .fold(empty, |headers, (key, value)| headers.insert(Header { key, value: Some(value.as_ref()) }))
}
