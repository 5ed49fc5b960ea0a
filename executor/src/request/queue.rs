//! Tokens of waiting tasks, from the queues that models name.

use aws_sdk_sqs::types::Message;
use eyre::{OptionExt, WrapErr, eyre};
use serde::Deserialize;

use super::{Requests, attempt, token::Context};

/// Seconds for which SQS holds an empty answer back. For as long, one that has died may be given messages, which nobody else sees for a while.
const LONG_POLL_S: i32 = 5;

/// What a model sends to its queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    task_token: String,
    #[serde(flatten)]
    context: Context,
}

impl Requests {
    /// Takes the tokens that come to a queue. One that is not there yet is waited for.
    pub(super) async fn follow_queue(&self, name: &str) -> ! {
        let url = loop {
            match attempt("a queue of tokens", self.queue_url(name)).await {
                Some(url) => break url,
                None => tokio::time::sleep(self.poll_interval).await,
            }
        };
        loop {
            if attempt("tokens of waiting tasks", self.receive(&url)).await.is_none() {
                tokio::time::sleep(self.poll_interval).await;
            }
        }
    }

    /// As the account that is asked now has it: a model's own URL may name another endpoint.
    async fn queue_url(&self, name: &str) -> eyre::Result<String> {
        let answer = self.queues.get_queue_url().queue_name(name).send().await;
        let answer = answer.map_err(|error| eyre!("queue `{name}`: {}", crate::aws_error::sentence(&error)))?;
        answer.queue_url.ok_or_eyre("SQS gave no queue URL")
    }

    async fn receive(&self, queue_url: &str) -> eyre::Result<()> {
        let call = self.queues.receive_message().queue_url(queue_url).max_number_of_messages(10);
        let answer = call.wait_time_seconds(LONG_POLL_S).send().await;
        let answer = answer.map_err(|error| eyre!("{queue_url}: {}", crate::aws_error::sentence(&error)))?;
        for message in answer.messages.unwrap_or_default() {
            // One that is no token is left to the queue's redrive policy: it may be meant for somebody else.
            if let Err(error) = self.keep(queue_url, &message).await {
                let id = message.message_id.as_deref();
                tracing::warn!(queue_url, message = id, error = format!("{error:#}"), "message left in the queue");
            }
        }
        Ok(())
    }

    /// Stores the token, then deletes the message: a crash between the two makes it arrive again, harmlessly.
    async fn keep(&self, queue_url: &str, message: &Message) -> eyre::Result<()> {
        let body = message.body.as_deref().unwrap_or_default();
        let Token { task_token, context } = serde_json::from_str(body)
            .wrap_err("expected {taskToken, executionArn, stateName, enteredTime} from the context object")?;
        self.store_token(&task_token, &context).await?;
        let receipt = message.receipt_handle.as_deref().unwrap_or_default();
        let deleted = self.queues.delete_message().queue_url(queue_url).receipt_handle(receipt).send().await;
        deleted.map_err(|error| eyre!("{}", crate::aws_error::sentence(&error)))?;
        Ok(())
    }
}
