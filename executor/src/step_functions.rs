//! AWS Step Functions as this crate uses it: state machines, executions, histories.
//!
//! API reference: <https://docs.aws.amazon.com/step-functions/latest/apireference/>.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_sdk_sfn::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{ExecutionListItem, ExecutionStatus, StateMachineType},
};
use runproof_protocol::{head::Outcome, history::HistoryEvent};
use uuid::Uuid;

use crate::{
    arn::{ExecutionArn, InvalidArn},
    aws_call::Api,
    aws_error,
    history_event::{epoch_ms, history_event},
    quota::InvalidQuota,
    settings::AwsSettings,
};

/// Largest input of an execution, bytes (a quota of AWS).
pub const MAX_INPUT: usize = 262_144;

/// Why Step Functions did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StepFunctionsError {
    /// Express state machines keep no history.
    #[error("state machine `{0}` is of type EXPRESS, which keeps no history to prove: create it anew as STANDARD")]
    Express(String),
    /// The name is taken by another model.
    #[error(
        "state machine `{name}` exists with another definition: deploy under another name, or delete {arn} first (its runs stay verifiable)"
    )]
    DefinitionDiffers {
        /// Name of the state machine.
        name: String,
        /// Its ARN.
        arn: String,
    },
    /// Not a name of AWS's form.
    #[error("`{0}` is no name: give 1 to 80 letters, digits, `-` or `_`")]
    InvalidName(String),
    /// Input that is not JSON.
    #[error("the input is not JSON: {0}")]
    InputNotJson(serde_json::Error),
    /// Input beyond AWS's quota.
    #[error("the input has {0} bytes, AWS takes at most {MAX_INPUT}: put the data elsewhere and pass its address")]
    InputTooLong(usize),
    /// The same name with another input.
    #[error("execution `{0}` exists with another input: choose another name")]
    ExecutionExists(String),
    /// Unknown, or older than the 90 days that AWS keeps.
    #[error("execution {0} does not exist, or is older than the 90 days for which AWS keeps histories")]
    ExecutionUnknown(String),
    /// An ARN of something else.
    #[error(transparent)]
    Arn(#[from] InvalidArn),
    /// The call failed after the SDK's retries.
    #[error("Step Functions, {action}: {message}")]
    Call {
        /// Action of the API.
        action: &'static str,
        /// What was answered, or why nothing was.
        message: String,
    },
}

/// A state machine's definition as it is kept there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Name of the state machine.
    pub name: String,
    /// ARN of the state machine.
    pub arn: String,
    /// Definition in the Amazon States Language, as given.
    pub text: String,
}

/// An execution as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its ARN.
    pub arn: ExecutionArn,
    /// Its state machine's ARN.
    pub state_machine_arn: String,
    /// The version that it runs, if it was started by version or alias.
    pub version_arn: Option<String>,
    /// The alias by which it was started.
    pub alias_arn: Option<String>,
    /// The Map Run that started it, if one did.
    pub map_run_arn: Option<String>,
    /// Start, milliseconds since the Unix epoch.
    pub started_at_ms: i64,
    /// How it ended; `None` while it runs.
    pub ended: Option<Outcome>,
    /// How often it was redriven: it ended so often before.
    pub redrives: u32,
}

impl TryFrom<ExecutionListItem> for Execution {
    type Error = InvalidArn;

    fn try_from(item: ExecutionListItem) -> Result<Self, InvalidArn> {
        Ok(Self {
            arn: item.execution_arn.parse()?,
            state_machine_arn: item.state_machine_arn,
            version_arn: item.state_machine_version_arn,
            alias_arn: item.state_machine_alias_arn,
            map_run_arn: item.map_run_arn,
            started_at_ms: epoch_ms(&item.start_date),
            ended: outcome(&item.status),
            redrives: redrives(item.redrive_count),
        })
    }
}

/// Whose executions are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lister<'a> {
    /// A state machine's, by its ARN.
    StateMachine(&'a str),
    /// A Map Run's, by its ARN.
    MapRun(&'a str),
}

/// Times that a history is read from its first page again within one reading, because the token of its next page was refused.
const REREADS: u32 = 3;

/// A client of one account and region. Its clones share the quotas.
#[derive(Debug, Clone)]
pub struct StepFunctions {
    pub(crate) api: Arc<Api>,
    role_arn: String,
}

impl StepFunctions {
    /// A client by these settings; calls nothing yet.
    ///
    /// # Errors
    /// A quota that cannot be meant.
    pub async fn connect(settings: &AwsSettings) -> Result<Self, InvalidQuota> {
        let api = Arc::new(Api::new(&settings.load().await, &settings.quotas)?);
        Ok(Self { api, role_arn: settings.role_arn.clone() })
    }

    /// Time between two looks at each of so many histories, for all of these looks to use half of the account's quota.
    pub(crate) fn history_interval(&self, histories: usize) -> Duration {
        self.api.half_shared("GetExecutionHistory", histories)
    }

    /// The same of the lists of so many state machines' executions.
    pub(crate) fn list_interval(&self, machines: usize) -> Duration {
        self.api.half_shared("ListExecutions", machines)
    }

    /// Creates a STANDARD state machine, or finds the equal one of that name. Returns its ARN.
    ///
    /// # Errors
    /// [`StepFunctionsError::DefinitionDiffers`], [`StepFunctionsError::Express`], or what AWS says of the definition.
    pub async fn create_state_machine(&self, name: &str, definition: &str) -> Result<String, StepFunctionsError> {
        check_name(name)?;
        if let Some(arn) = self.find_state_machine(name).await? {
            return self.require_equal(name, arn, definition).await;
        }
        let create = |client: &Client| {
            client.create_state_machine().name(name).definition(definition).role_arn(&self.role_arn).send()
        };
        let created = self.api.call("CreateStateMachine", create).await;
        Ok(created.map_err(failed("CreateStateMachine"))?.state_machine_arn)
    }

    async fn find_state_machine(&self, name: &str) -> Result<Option<String>, StepFunctionsError> {
        let mut token = None;
        loop {
            let list =
                |client: &Client| client.list_state_machines().max_results(1_000).set_next_token(token.clone()).send();
            let page = self.api.call("ListStateMachines", list).await.map_err(failed("ListStateMachines"))?;
            if let Some(found) = page.state_machines.into_iter().find(|item| item.name == name) {
                return Ok(Some(found.state_machine_arn));
            }
            token = page.next_token;
            if token.is_none() {
                return Ok(None);
            }
        }
    }

    async fn require_equal(&self, name: &str, arn: String, definition: &str) -> Result<String, StepFunctionsError> {
        let describe = |client: &Client| client.describe_state_machine().state_machine_arn(&arn).send();
        let found = self.api.call("DescribeStateMachine", describe).await.map_err(failed("DescribeStateMachine"))?;
        if found.r#type == StateMachineType::Express {
            return Err(StepFunctionsError::Express(name.into()));
        }
        if found.definition != definition {
            return Err(StepFunctionsError::DefinitionDiffers { name: name.into(), arn });
        }
        Ok(arn)
    }

    /// Starts an execution under `name`, or a fresh random one; harmless to repeat with the same name and input. Returns its ARN.
    ///
    /// # Errors
    /// [`StepFunctionsError::ExecutionExists`] if the name is taken by another input.
    pub async fn start_execution(
        &self,
        state_machine_arn: &str,
        name: Option<&str>,
        input: &str,
    ) -> Result<ExecutionArn, StepFunctionsError> {
        serde_json::from_str::<serde::de::IgnoredAny>(input).map_err(StepFunctionsError::InputNotJson)?;
        if input.len() > MAX_INPUT {
            return Err(StepFunctionsError::InputTooLong(input.len()));
        }
        // Named by us, so that a call whose answer was lost can be repeated without starting twice.
        let name = name.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
        check_name(&name)?;
        let start = |client: &Client| {
            client.start_execution().state_machine_arn(state_machine_arn).name(&name).input(input).send()
        };
        match self.api.call("StartExecution", start).await {
            Ok(started) => Ok(started.execution_arn.parse()?),
            Err(error) => match error.as_service_error() {
                Some(service) if service.is_execution_already_exists() => {
                    self.existing_execution(state_machine_arn, name, input).await
                }
                _ => Err(failed("StartExecution")(error)),
            },
        }
    }

    /// The execution of this name, if it has this input. AWS takes a repeated start for the same one only while it runs: where the answer to the first
    /// was lost, it may have ended meanwhile.
    async fn existing_execution(
        &self,
        state_machine_arn: &str,
        name: String,
        input: &str,
    ) -> Result<ExecutionArn, StepFunctionsError> {
        let arn = format!("{}:{name}", state_machine_arn.replacen(":stateMachine:", ":execution:", 1));
        let describe = |client: &Client| client.describe_execution().execution_arn(&arn).send();
        let found = self.api.call("DescribeExecution", describe).await.map_err(failed("DescribeExecution"))?;
        if found.input.as_deref() == Some(input) {
            Ok(arn.parse()?)
        } else {
            Err(StepFunctionsError::ExecutionExists(name))
        }
    }

    /// An execution as it is now.
    ///
    /// # Errors
    /// [`StepFunctionsError::ExecutionUnknown`].
    pub async fn describe_execution(&self, arn: &str) -> Result<Execution, StepFunctionsError> {
        let describe = |client: &Client| client.describe_execution().execution_arn(arn).send();
        let found =
            self.api.call("DescribeExecution", describe).await.map_err(|error| match error.as_service_error() {
                Some(service) if service.is_execution_does_not_exist() => {
                    StepFunctionsError::ExecutionUnknown(arn.into())
                }
                _ => failed("DescribeExecution")(error),
            })?;
        Ok(Execution {
            arn: found.execution_arn.parse()?,
            state_machine_arn: found.state_machine_arn,
            version_arn: found.state_machine_version_arn,
            alias_arn: found.state_machine_alias_arn,
            map_run_arn: found.map_run_arn,
            started_at_ms: epoch_ms(&found.start_date),
            ended: outcome(&found.status),
            redrives: redrives(found.redrive_count),
        })
    }

    /// Executions that are not `known`, newest first as AWS lists them, until a whole page is.
    ///
    /// # Errors
    /// [`StepFunctionsError::Call`].
    pub async fn executions_until(
        &self,
        of: Lister<'_>,
        known: impl Fn(&ExecutionListItem) -> bool,
    ) -> Result<Vec<ExecutionListItem>, StepFunctionsError> {
        let (mut new, mut token) = (Vec::new(), None);
        loop {
            let list = |client: &Client| {
                let call = client.list_executions().set_next_token(token.clone());
                match of {
                    Lister::StateMachine(arn) => call.state_machine_arn(arn).max_results(100).send(),
                    // All of them are looked for, as many as there are.
                    Lister::MapRun(arn) => call.map_run_arn(arn).max_results(1_000).send(),
                }
            };
            let page = self.api.call("ListExecutions", list).await.map_err(failed("ListExecutions"))?;
            let before = new.len();
            new.extend(page.executions.into_iter().filter(|item| !known(item)));
            token = page.next_token;
            if new.len() == before || token.is_none() {
                return Ok(new);
            }
        }
    }

    /// The definition that an execution runs, which may be older than its state machine's present one.
    ///
    /// # Errors
    /// [`StepFunctionsError::Call`].
    pub async fn definition_of(&self, execution_arn: &str) -> Result<Definition, StepFunctionsError> {
        const ACTION: &str = "DescribeStateMachineForExecution";
        let describe =
            |client: &Client| client.describe_state_machine_for_execution().execution_arn(execution_arn).send();
        let found = self.api.call(ACTION, describe).await.map_err(failed(ACTION))?;
        Ok(Definition { name: found.name, arn: found.state_machine_arn, text: found.definition })
    }

    /// Events after `last_event_id`, by rising id. Asks for the newest first, so that following a run costs what is new, not what is old; an
    /// engine that ignores order or paging is understood too.
    ///
    /// # Errors
    /// [`StepFunctionsError::ExecutionUnknown`], [`StepFunctionsError::Call`].
    pub async fn history_after(
        &self,
        execution_arn: &str,
        last_event_id: u64,
    ) -> Result<Vec<HistoryEvent>, StepFunctionsError> {
        let (mut events, mut token, mut rereads) = (BTreeMap::new(), None, 0);
        loop {
            let get = |client: &Client| {
                let call = client.get_execution_history().execution_arn(execution_arn).max_results(1_000);
                call.reverse_order(true).include_execution_data(true).set_next_token(token.clone()).send()
            };
            let page = match self.api.call("GetExecutionHistory", get).await {
                Ok(page) => page,
                Err(error) => match error.as_service_error() {
                    Some(service) if service.is_execution_does_not_exist() => {
                        return Err(StepFunctionsError::ExecutionUnknown(execution_arn.into()));
                    }
                    // A token is good for 24 hours, and for the service that gave it.
                    Some(service) if service.is_invalid_token() && token.is_some() && rereads < REREADS => {
                        (token, rereads) = (None, rereads + 1);
                        continue;
                    }
                    _ => return Err(failed("GetExecutionHistory")(error)),
                },
            };
            let falling = matches!(&page.events[..], [first, .., last] if first.id > last.id);
            let page_events: Vec<HistoryEvent> = page.events.iter().map(history_event).collect();
            let reached = page_events.iter().any(|event| event.id <= last_event_id + 1);
            let new = page_events.into_iter().filter(|event| event.id > last_event_id);
            events.extend(new.map(|event| (event.id, event)));
            token = page.next_token;
            if token.is_none() || (falling && reached) {
                return Ok(events.into_values().collect());
            }
        }
    }
}

fn outcome(status: &ExecutionStatus) -> Option<Outcome> {
    match status {
        ExecutionStatus::Succeeded => Some(Outcome::Succeeded),
        ExecutionStatus::Failed => Some(Outcome::Failed),
        ExecutionStatus::TimedOut => Some(Outcome::TimedOut),
        ExecutionStatus::Aborted => Some(Outcome::Aborted),
        _ => None,
    }
}

fn redrives(count: Option<i32>) -> u32 {
    count.and_then(|count| u32::try_from(count).ok()).unwrap_or_default()
}

fn check_name(name: &str) -> Result<(), StepFunctionsError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if (1..=80).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(StepFunctionsError::InvalidName(name.into()))
}

pub(crate) fn failed<E, R>(action: &'static str) -> impl Fn(SdkError<E, R>) -> StepFunctionsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    move |error| StepFunctionsError::Call { action, message: aws_error::sentence(&error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_another_form_are_refused() {
        assert!(check_name(&Uuid::new_v4().to_string()).is_ok());
        assert!(check_name("a b").is_err() && check_name("").is_err() && check_name(&"x".repeat(81)).is_err());
    }
}
