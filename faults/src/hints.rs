//! EventBridge's events of executions in a queue of the emulator's, which has no EventBridge: delivery is at least once and best effort
//! (<https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>), so some come twice, and some never.

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use eyre::{OptionExt, Result, WrapErr};
use rand::{Rng, rngs::StdRng};
use serde_json::json;

/// A queue of hints, and how many events became how many messages.
pub(crate) struct Hints {
    queue: Client,
    pub(crate) url: String,
    pub(crate) dropped: u64,
    pub(crate) doubled: u64,
}

impl Hints {
    /// An empty queue.
    pub(crate) async fn new(engine: &SdkConfig, name: &str) -> Result<Self> {
        let queue = Client::new(engine);
        let created = queue.create_queue().queue_name(format!("{name}-hints")).send().await.wrap_err("a queue")?;
        let url = created.queue_url.ok_or_eyre("a queue without a URL")?;
        Ok(Self { queue, url, dropped: 0, doubled: 0 })
    }

    /// What EventBridge tells of an execution's status: of three events one once, one twice, and one not at all.
    pub(crate) async fn tell(&mut self, random: &mut StdRng, arn: &str, status: &str) -> Result<()> {
        let times = random.random_range(0..3);
        self.dropped += u64::from(times == 0);
        self.doubled += u64::from(times == 2);
        let event = json!({
            "source": "aws.states", "detail-type": "Step Functions Execution Status Change",
            "detail": {"executionArn": arn, "status": status}});
        for _ in 0..times {
            let message = self.queue.send_message().queue_url(&self.url).message_body(event.to_string());
            message.send().await.wrap_err("a hint is not sent")?;
        }
        Ok(())
    }
}
