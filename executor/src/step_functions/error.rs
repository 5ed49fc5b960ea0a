//! Why Step Functions did not do what was asked.

use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};

use super::MAX_INPUT;
use crate::{arn::InvalidArn, aws_error};

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

pub(crate) fn failed<E, R>(action: &'static str) -> impl Fn(SdkError<E, R>) -> StepFunctionsError
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
    R: std::fmt::Debug + 'static,
{
    move |error| StepFunctionsError::Call { action, message: aws_error::sentence(&error) }
}
