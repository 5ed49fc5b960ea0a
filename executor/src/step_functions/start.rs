//! Executions are started.

use aws_sdk_sfn::Client;
use uuid::Uuid;

use super::{StepFunctions, StepFunctionsError, failed};
use crate::arn::ExecutionArn;

/// Largest input of an execution, bytes (a quota of AWS).
pub const MAX_INPUT: usize = 262_144;

impl StepFunctions {
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
}

pub(super) fn check_name(name: &str) -> Result<(), StepFunctionsError> {
    let allowed = |character: char| character.is_ascii_alphanumeric() || "-_".contains(character);
    if (1..=80).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(StepFunctionsError::InvalidName(name.into()))
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
