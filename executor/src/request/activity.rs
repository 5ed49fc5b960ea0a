//! Tasks of activities, for which the executor is the worker: each waits for a client.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-activities.html>

use std::time::Duration;

use aws_sdk_sfn::config::{Builder, timeout::TimeoutConfig};
use eyre::{WrapErr, eyre};

use super::{DELIVERY, Requests, attempt, token::Context, waiting};
use crate::aws_error;

/// AWS holds an empty answer back for a minute, and asks for five seconds more. Who goes away before may be given a task all the same, and nobody has it.
const LONG_POLL: Duration = Duration::from_secs(65);

/// As the history names the worker.
const WORKER: &str = "runproof";

/// What a state catches whose task cannot be matched with any request.
const NO_CONTEXT: &str = "Runproof.NoContext";

/// A task that was taken from an activity, and is given to nobody else.
struct Taken {
    token: String,
    input: String,
}

/// ARN of an activity in a state machine's account and region.
pub(super) fn arn(state_machine_arn: &str, name: &str) -> String {
    let account = state_machine_arn.split(":stateMachine:").next().unwrap_or_default();
    format!("{account}:activity:{name}")
}

impl Requests {
    /// Takes the tasks that come to an activity.
    pub(super) async fn follow_activity(&self, arn: &str) -> ! {
        loop {
            match attempt("tasks of an activity", self.take_task(arn)).await {
                Some(Some(task)) => {
                    while attempt("a task of an activity", self.keep_task(&task)).await.is_none() {
                        tokio::time::sleep(self.poll_interval).await;
                    }
                }
                Some(None) => {}
                None => tokio::time::sleep(self.poll_interval).await,
            }
        }
    }

    /// Waits for a task for as long as AWS does.
    async fn take_task(&self, arn: &str) -> eyre::Result<Option<Taken>> {
        let patience = TimeoutConfig::builder().operation_attempt_timeout(LONG_POLL).build();
        let call = self.engine.api.once("GetActivityTask", |client| {
            let call = client.get_activity_task().activity_arn(arn).worker_name(WORKER);
            call.customize().config_override(Builder::new().timeout_config(patience.clone())).send()
        });
        let answer = call.await;
        let answer = answer.map_err(|error| eyre!("{arn}: {}", aws_error::sentence(&error)))?;
        let token = answer.task_token.filter(|token| !token.is_empty());
        Ok(token.map(|token| Taken { token, input: answer.input.unwrap_or_default() }))
    }

    /// Stores a task's token; fails a task that tells not where it belongs, for nobody could complete it.
    async fn keep_task(&self, task: &Taken) -> eyre::Result<()> {
        match serde_json::from_str::<Context>(&task.input) {
            Ok(context) => self.store_token(&task.token, &context).await,
            Err(error) => self.fail_task(&task.token, &error).await,
        }
    }

    async fn fail_task(&self, token: &str, error: &serde_json::Error) -> eyre::Result<()> {
        let cause = format!("expected {{executionArn, stateName, enteredTime}} from the context object: {error}");
        tracing::warn!(cause, "a task of an activity fails");
        let call = self.engine.api.call("SendTaskFailure", |client| {
            client.send_task_failure().task_token(token).error(NO_CONTEXT).cause(&cause).send()
        });
        let told = tokio::time::timeout(DELIVERY, call).await.wrap_err("Step Functions does not answer")?;
        match told.map_err(|error| error.into_service_error()) {
            Err(error) if waiting::gone(&error).is_none() => {
                Err(eyre!("Step Functions, SendTaskFailure: {}", aws_error::sentence(&error)))
            }
            _ => Ok(()),
        }
    }
}
