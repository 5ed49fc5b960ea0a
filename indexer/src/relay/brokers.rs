//! Whether the brokers answer, and if not, why, in the Kafka client's own words. The client that makes topics keeps its words to itself (rdkafka 0.39
//! polls no queue of it but that of its answers).

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use eyre::bail;
use rdkafka::{
    ClientContext,
    config::RDKafkaLogLevel,
    consumer::{BaseConsumer, Consumer, ConsumerContext},
    error::KafkaError,
};

use super::topic;
use crate::RelaySettings;

const TIMEOUT: Duration = Duration::from_secs(15);
/// What TLS says of one failure comes in several lines.
const MOST_REASONS: usize = 5;

/// Asks for the topic of events, which may be missing. Blocks.
///
/// # Errors
/// What to look at, with the client's reason.
pub(crate) fn reach(settings: &RelaySettings) -> eyre::Result<()> {
    let consumer: BaseConsumer<Reasons> =
        topic::client(settings).set("group.id", "runproof-relay").create_with_context(Reasons::default())?;
    let Err(error) = consumer.fetch_metadata(Some(&settings.topic), TIMEOUT) else { return Ok(()) };
    // By this the client hands on what it has to tell, one thing at a time.
    (0..MOST_REASONS).for_each(|_| drop(consumer.poll(Duration::ZERO)));
    let told = consumer.context().0.lock().unwrap_or_else(PoisonError::into_inner).join("; ");
    bail!("no broker answers ({error}; {told}): check `bootstrap` of [kafka], and TLS and SASL in [kafka.client]")
}

/// The first things that the client complained of. It does so again at each attempt, and tells how long that took.
#[derive(Default)]
struct Reasons(Mutex<Vec<String>>);

impl Reasons {
    fn told(&self, reason: &str) {
        let reason = reason.split_once(" (after ").map_or(reason, |(lasting, _)| lasting);
        let mut reasons = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < MOST_REASONS && reasons.iter().all(|known| known != reason) {
            reasons.push(reason.to_owned());
        }
    }
}

impl ClientContext for Reasons {
    fn log(&self, level: RDKafkaLogLevel, _facility: &str, message: &str) {
        if level as i32 <= RDKafkaLogLevel::Error as i32 {
            self.told(message);
        }
    }

    fn error(&self, _: KafkaError, reason: &str) {
        self.told(reason);
    }
}

impl ConsumerContext for Reasons {}
