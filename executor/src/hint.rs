//! Hints that an execution may have changed. They come from EventBridge by a queue, and from commands and other roles by Postgres.
//!
//! A hint says when to look and nothing else: one that is lost, late, doubled or forged changes nothing but that.

use std::convert::Infallible;

use aws_sdk_sqs::{Client, types::Message};
use eyre::{WrapErr, eyre};
use serde::Deserialize;
use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::mpsc::Sender;

use crate::{arn::ExecutionArn, aws_error, executor::Executor};

/// Hints that wait to be taken; beyond, they stay where they are.
pub(crate) const WAITING: usize = 1_000;

/// Postgres's channel.
const CHANNEL: &str = "runproof_execution";

/// Seconds for which SQS holds an empty answer back.
const LONG_POLL_S: i32 = 20;

/// <https://docs.aws.amazon.com/step-functions/latest/dg/eventbridge-integration.html>
const STATUS_CHANGE: &str = "Step Functions Execution Status Change";

/// Tells who follows on this database, in whichever process, that this execution may have changed.
pub(crate) async fn tell(database: &PgPool, execution_arn: &str) {
    let told = sqlx::query("select pg_notify($1, $2)").bind(CHANNEL).bind(execution_arn).execute(database).await;
    if let Err(error) = told {
        tracing::debug!(execution_arn, %error, "a hint is lost");
    }
}

/// An event of EventBridge, as far as it is used.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "detail-type")]
    detail_type: String,
    detail: Detail,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(rename = "executionArn")]
    execution_arn: String,
}

fn execution(event: &str) -> eyre::Result<ExecutionArn> {
    let event: Event = serde_json::from_str(event).wrap_err("not an event of EventBridge")?;
    if event.detail_type != STATUS_CHANGE {
        return Err(eyre!("an event of another type than `{STATUS_CHANGE}`"));
    }
    Ok(event.detail.execution_arn.parse()?)
}

impl Executor {
    /// Passes ARNs of executions on, as they are hinted at.
    pub(crate) async fn take_hints(&self, to: Sender<ExecutionArn>) -> Infallible {
        tokio::join!(self.take_from_postgres(&to), self.take_from_queue(&to)).0
    }

    async fn take_from_postgres(&self, to: &Sender<ExecutionArn>) -> Infallible {
        loop {
            let Err(error) = self.listen(to).await;
            tracing::warn!(error = format!("{error:#}"), "no hints from Postgres, trying again");
            tokio::time::sleep(self.settings.idle_interval).await;
        }
    }

    async fn listen(&self, to: &Sender<ExecutionArn>) -> eyre::Result<Infallible> {
        let mut listener = PgListener::connect(&self.settings.postgres_url).await?;
        listener.listen(CHANNEL).await?;
        loop {
            if let Ok(execution) = listener.recv().await?.payload().parse() {
                pass_on("postgres", execution, to).await?;
            }
        }
    }

    async fn take_from_queue(&self, to: &Sender<ExecutionArn>) -> Infallible {
        let Some(url) = &self.settings.hint_queue_url else { return std::future::pending().await };
        let queue = Client::new(&self.settings.aws.load().await);
        loop {
            if let Err(error) = receive(&queue, url, to).await {
                tracing::warn!(error = format!("{error:#}"), "no hints from executor.hint_queue_url, trying again");
                tokio::time::sleep(self.settings.idle_interval).await;
            }
        }
    }
}

async fn receive(queue: &Client, url: &str, to: &Sender<ExecutionArn>) -> eyre::Result<()> {
    let call = queue.receive_message().queue_url(url).max_number_of_messages(10).wait_time_seconds(LONG_POLL_S);
    let answer = call.send().await.map_err(|error| eyre!("{url}: {}", aws_error::sentence(&error)))?;
    for message in answer.messages.unwrap_or_default() {
        match execution(message.body.as_deref().unwrap_or_default()) {
            Ok(execution) => {
                pass_on("queue", execution, to).await?;
                delete(queue, url, &message).await?;
            }
            // Left to the queue's redrive policy: it may be meant for somebody else.
            Err(error) => {
                let id = message.message_id.as_deref();
                tracing::warn!(
                    queue_url = url,
                    message = id,
                    error = format!("{error:#}"),
                    "message left in the queue"
                );
            }
        }
    }
    Ok(())
}

async fn delete(queue: &Client, url: &str, message: &Message) -> eyre::Result<()> {
    let receipt = message.receipt_handle.as_deref().unwrap_or_default();
    let deleted = queue.delete_message().queue_url(url).receipt_handle(receipt).send().await;
    deleted.map(drop).map_err(|error| eyre!("{url}: {}", aws_error::sentence(&error)))
}

async fn pass_on(by: &'static str, execution: ExecutionArn, to: &Sender<ExecutionArn>) -> eyre::Result<()> {
    metrics::counter!("runproof_executor_hints_total", "by" => by).increment(1);
    to.send(execution).await.wrap_err("nobody follows any more")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_names_its_execution() {
        let arn = "arn:aws:states:us-east-1:123456789012:execution:etl:run-1";
        // As AWS documents it.
        let event = serde_json::json!({
            "version": "0", "id": "315c1398-40ff-a850-213b-158f73e60175", "detail-type": STATUS_CHANGE,
            "source": "aws.states", "account": "123456789012", "time": "2019-02-26T19:42:21Z", "region": "us-east-1",
            "resources": [arn],
            "detail": {"executionArn": arn, "stateMachineArn": "arn:aws:states:us-east-1:123456789012:stateMachine:etl",
                "name": "run-1", "status": "FAILED", "startDate": 1551225146847_u64, "stopDate": 1551225151881_u64,
                "input": "{}", "inputDetails": {"included": true}, "output": null, "outputDetails": null},
        });
        assert_eq!(execution(&event.to_string()).expect("an event").as_str(), arn);
        for (field, other) in [("detail-type", "EC2 Instance State-change Notification"), ("detail", "none")] {
            let mut event = event.clone();
            event[field] = other.into();
            assert!(execution(&event.to_string()).is_err(), "{field}");
        }
        let mut forged = event;
        forged["detail"]["executionArn"] = "'; drop table".into();
        assert!(execution(&forged.to_string()).is_err());
        assert!(execution("").is_err() && execution("{}").is_err());
    }
}
