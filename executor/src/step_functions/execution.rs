//! Executions as they are now, one by one or listed.

use aws_sdk_sfn::{
    Client,
    types::{ExecutionListItem, ExecutionStatus},
};
use runproof_protocol::head::Outcome;

use super::{StepFunctions, StepFunctionsError, failed};
use crate::{
    arn::{ExecutionArn, InvalidArn},
    history_event::epoch_ms,
};

/// An execution as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Execution {
    /// Its ARN.
    pub arn: ExecutionArn,
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

impl StepFunctions {
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
