//! What became of the messages that a producer was given: how many are answered, and the first that failed.

use std::sync::{Condvar, Mutex, PoisonError};

use rdkafka::{
    ClientContext,
    error::KafkaError,
    producer::{DeliveryResult, ProducerContext},
};

/// Told by the producer of each answer. One channel for each message would cost more than the message.
#[derive(Default)]
pub(crate) struct Deliveries {
    answers: Mutex<Answers>,
    changed: Condvar,
}

#[derive(Default)]
struct Answers {
    /// Since somebody last waited.
    count: u64,
    /// Somebody waits for so many.
    awaited: Option<u64>,
    failed: Option<KafkaError>,
}

impl Deliveries {
    /// Waits until so many messages are answered, which are all that were sent since the last time, or one is known to have failed. Blocks, not longer than
    /// the client's `message.timeout.ms`.
    ///
    /// # Errors
    /// That of the first message that was not delivered.
    pub(crate) fn wait_for(&self, count: u64) -> Result<(), KafkaError> {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.awaited = Some(count);
        while answers.count < count && answers.failed.is_none() {
            answers = self.changed.wait(answers).unwrap_or_else(PoisonError::into_inner);
        }
        (answers.awaited, answers.count) = (None, 0);
        answers.failed.clone().map_or(Ok(()), Err)
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.count += 1;
        if let Err((error, _)) = result {
            answers.failed.get_or_insert_with(|| error.clone());
        }
        if answers.awaited.is_some_and(|awaited| answers.count >= awaited || answers.failed.is_some()) {
            self.changed.notify_all();
        }
    }
}
