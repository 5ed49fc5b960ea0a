//! State machines: created, found, and what they are defined as.

use aws_sdk_sfn::{Client, types::StateMachineType};

use super::{Execution, StepFunctions, StepFunctionsError, failed, start::check_name};

/// Versions whose definitions are kept at most, of 1 MB each at most.
const VERSIONS: usize = 32;

impl StepFunctions {
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

    /// The definition that an execution runs, which may be older than its state machine's present one. A version's is asked for once, since versions
    /// never change (<https://docs.aws.amazon.com/step-functions/latest/dg/concepts-state-machine-version.html>), and AWS lets a caller ask once a second.
    ///
    /// # Errors
    /// [`StepFunctionsError::Call`].
    pub async fn definition_of(&self, execution: &Execution) -> Result<String, StepFunctionsError> {
        let Some(version) = &execution.version_arn else { return self.ask_definition(execution).await };
        // Held while AWS is asked: others that run the same version wait for the answer.
        let mut versions = self.versions.lock().await;
        if let Some(definition) = versions.get(version) {
            return Ok(definition.clone());
        }
        let definition = self.ask_definition(execution).await?;
        if versions.len() >= VERSIONS {
            versions.clear();
        }
        versions.insert(version.clone(), definition.clone());
        Ok(definition)
    }

    async fn ask_definition(&self, of: &Execution) -> Result<String, StepFunctionsError> {
        const ACTION: &str = "DescribeStateMachineForExecution";
        let describe =
            |client: &Client| client.describe_state_machine_for_execution().execution_arn(of.arn.as_str()).send();
        let found = self.api.call(ACTION, describe).await.map_err(failed(ACTION))?;
        Ok(found.definition)
    }
}
