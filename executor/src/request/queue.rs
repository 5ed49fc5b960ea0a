//! Tokens of waiting tasks, from the queues that the models name.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use aws_sdk_sqs::types::Message;
use eyre::{OptionExt, WrapErr, eyre};
use futures::future::join_all;
use serde::Deserialize;
use serde_json::Value;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use super::Requests;
use crate::hint;

/// End of the resource of a state that sends its token to an SQS queue, in any AWS partition.
const RESOURCE: &str = ":states:::sqs:sendMessage.waitForTaskToken";

/// Seconds for which SQS holds an empty answer back; also how long a queue of a new model may go unseen.
const LONG_POLL_S: i32 = 5;

/// What a heartbeat is taken for that the model computes at run time: shorter ones are missed.
const COMPUTED_HEARTBEAT: Duration = Duration::from_secs(15);

/// A state that waits for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingState {
    /// Its name.
    pub name: String,
    /// The queue its token is sent to; `None` if the model computes that at run time.
    pub queue_url: Option<String>,
    /// The longest silence after which AWS fails the task, if it does.
    pub heartbeat: Option<Duration>,
}

/// The states of a model (Amazon States Language) that send their token to a queue, those within Map and Parallel too.
pub fn waiting_states(model: &[u8]) -> Vec<WaitingState> {
    let mut found = Vec::new();
    if let Ok(machine) = serde_json::from_slice(model) {
        collect(&machine, &mut found);
    }
    found
}

fn collect(machine: &Value, found: &mut Vec<WaitingState>) {
    let states = machine.get("States").and_then(Value::as_object);
    for (name, state) in states.into_iter().flatten() {
        if state.get("Resource").and_then(Value::as_str).is_some_and(|resource| resource.ends_with(RESOURCE)) {
            let url = |parameters: &str| state.get(parameters)?.get("QueueUrl")?.as_str().map(str::to_owned);
            let queue_url = url("Parameters").or_else(|| url("Arguments")).filter(|url| !url.starts_with("{%"));
            found.push(WaitingState { name: name.clone(), queue_url, heartbeat: heartbeat(state) });
        }
        let branches = state.get("Branches").and_then(Value::as_array).into_iter().flatten();
        for inner in branches.chain(state.get("Iterator")).chain(state.get("ItemProcessor")) {
            collect(inner, found);
        }
    }
}

fn heartbeat(state: &Value) -> Option<Duration> {
    match state.get("HeartbeatSeconds") {
        Some(seconds) => Some(seconds.as_u64().map_or(COMPUTED_HEARTBEAT, Duration::from_secs)),
        None => state.get("HeartbeatSecondsPath").map(|_| COMPUTED_HEARTBEAT),
    }
}

/// What a model sends to its queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Token {
    task_token: String,
    execution_arn: String,
    state_name: String,
    entered_time: String,
}

impl Token {
    fn parse(body: &str) -> eyre::Result<(Self, i64)> {
        let token: Self = serde_json::from_str(body)
            .wrap_err("expected {taskToken, executionArn, stateName, enteredTime} from the context object")?;
        let entered = OffsetDateTime::parse(&token.entered_time, &Rfc3339).wrap_err("enteredTime")?;
        let entered_at_ms = i64::try_from(entered.unix_timestamp_nanos() / 1_000_000)?;
        Ok((token, entered_at_ms))
    }
}

/// URL of each queue by its name, as the account that is asked now has it: a model's own URL may name another endpoint.
pub(super) type Known = BTreeMap<String, String>;

impl Requests {
    /// Receives once from each queue that a deployed model names.
    pub(super) async fn receive_tokens(&self, known: &mut Known) -> eyre::Result<()> {
        let models: Vec<Vec<u8>> =
            sqlx::query_scalar("select document from executor.model where state_machine_arn is not null")
                .fetch_all(&self.database)
                .await?;
        let urls = models.iter().flat_map(|model| waiting_states(model)).filter_map(|state| state.queue_url);
        let names: BTreeSet<String> =
            urls.filter_map(|url| url.rsplit('/').next().map(str::to_owned)).filter(|name| !name.is_empty()).collect();
        for name in &names {
            if !known.contains_key(name) {
                match self.queue_url(name).await {
                    Ok(url) => drop(known.insert(name.clone(), url)),
                    Err(error) => tracing::warn!(error = format!("{error:#}"), "no tokens from this queue yet"),
                }
            }
        }
        let mut receiving = Vec::new();
        for url in names.iter().filter_map(|name| known.get(name)) {
            receiving.push(self.receive(url));
        }
        join_all(receiving).await.into_iter().collect()
    }

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
        let (token, entered_at_ms) = Token::parse(message.body.as_deref().unwrap_or_default())?;
        sqlx::query(
            "insert into executor.waiting_task (token, execution_arn, state_name, entered_at_ms) values ($1, $2, $3, $4)
             on conflict (token) do nothing",
        )
        .bind(&token.task_token)
        .bind(&token.execution_arn)
        .bind(&token.state_name)
        .bind(entered_at_ms)
        .execute(&self.database)
        .await?;
        tracing::info!(execution_arn = token.execution_arn, state = token.state_name, "a task waits for a client");
        self.arrived.notify_one();
        hint::tell(&self.database, &token.execution_arn).await;
        let receipt = message.receipt_handle.as_deref().unwrap_or_default();
        let deleted = self.queues.delete_message().queue_url(queue_url).receipt_handle(receipt).send().await;
        deleted.map_err(|error| eyre!("{}", crate::aws_error::sentence(&error)))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_states_are_found_at_any_depth() {
        let wait = |queue: &str| {
            serde_json::json!({"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
                "Parameters": {"QueueUrl": queue, "MessageBody": {}}})
        };
        let model = serde_json::json!({"States": {
            "A": wait("http://h/1/a"),
            "B": {"Type": "Parallel", "Branches": [{"States": {"C": wait("c")}}]},
            "D": {"Type": "Map", "ItemProcessor": {"States": {"E": {"Type": "Map", "Iterator": {"States": {"F": wait("f")}}}}}},
            "G": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage", "Parameters": {"QueueUrl": "g"}},
            "I": {"Type": "Task", "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken", "Arguments": {"QueueUrl": "{% $q %}"}},
            "H": {"Type": "Task", "Resource": "arn:aws-cn:states:::sqs:sendMessage.waitForTaskToken", "Parameters": {"QueueUrl.$": "$.q"}},
        }});
        let found = waiting_states(model.to_string().as_bytes());
        let found: Vec<_> = found.iter().map(|state| (state.name.as_str(), state.queue_url.as_deref())).collect();
        assert_eq!(found, [("A", Some("http://h/1/a")), ("C", Some("c")), ("F", Some("f")), ("H", None), ("I", None)]);
        assert!(waiting_states(b"not JSON").is_empty());
        assert!(waiting_states(b"{\"States\": 1}").is_empty());
    }

    #[test]
    fn heartbeats_are_read_and_short_where_the_model_computes_them() {
        let heartbeat = |field: &str, value: serde_json::Value| {
            let mut state = serde_json::json!({"Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken"});
            state[field] = value;
            let model = serde_json::json!({"States": {"A": state}});
            waiting_states(model.to_string().as_bytes()).remove(0).heartbeat
        };
        assert_eq!(heartbeat("HeartbeatSeconds", 60.into()), Some(Duration::from_secs(60)));
        assert_eq!(heartbeat("HeartbeatSeconds", "{% $beat %}".into()), Some(COMPUTED_HEARTBEAT));
        assert_eq!(heartbeat("HeartbeatSecondsPath", "$.beat".into()), Some(COMPUTED_HEARTBEAT));
        assert_eq!(heartbeat("TimeoutSeconds", 60.into()), None);
    }

    #[test]
    fn tokens_are_read_with_the_time_of_either_engine() {
        for (time, expected) in [("2026-11-23T08:21:00.123Z", 123), ("2026-11-23T08:21:00.123456+00:00", 123)] {
            let body = format!(r#"{{"taskToken":"t","executionArn":"e","stateName":"s","enteredTime":"{time}"}}"#);
            let (token, entered_at_ms) = Token::parse(&body).expect("a token");
            assert_eq!((token.task_token.as_str(), entered_at_ms % 1000), ("t", expected));
        }
        for body in ["", "{}", "[]", r#"{"taskToken":"t","executionArn":"e","stateName":"s","enteredTime":"x"}"#] {
            assert!(Token::parse(body).is_err(), "{body}");
        }
    }
}
