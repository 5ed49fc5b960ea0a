//! Names of executions in AWS.

use std::{fmt, str::FromStr};

/// `arn:aws:states:<region>:<account>:execution:<state machine>:<name>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionArn {
    /// Cloud region.
    pub region: String,
    /// Cloud account.
    pub account: String,
    /// Name of the state machine.
    pub state_machine: String,
    /// Name of the execution.
    pub name: String,
    text: String,
}

/// Text that names no execution with a history.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidArn {
    /// Express executions keep no history.
    #[error(
        "`{0}` is an EXPRESS execution: Step Functions keeps no history of those, so its states cannot be captured; \
         use a state machine of type STANDARD"
    )]
    Express(String),
    /// Another form.
    #[error("`{0}` is not an execution: give arn:aws:states:<region>:<account>:execution:<state machine>:<name>")]
    Malformed(String),
}

impl FromStr for ExecutionArn {
    type Err = InvalidArn;

    fn from_str(text: &str) -> Result<Self, InvalidArn> {
        let parts: Vec<&str> = text.splitn(8, ':').collect();
        match parts[..] {
            ["arn", _, "states", region, account, "execution", state_machine, name]
                if ![region, account, state_machine, name].contains(&"") =>
            {
                Ok(Self {
                    region: region.into(),
                    account: account.into(),
                    state_machine: state_machine.into(),
                    name: name.into(),
                    text: text.into(),
                })
            }
            ["arn", _, "states", _, _, "express", ..] => Err(InvalidArn::Express(text.into())),
            _ => Err(InvalidArn::Malformed(text.into())),
        }
    }
}

impl fmt::Display for ExecutionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl ExecutionArn {
    /// The ARN as given.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The state machine's ARN.
    pub fn state_machine_arn(&self) -> String {
        let Self { region, account, state_machine, .. } = self;
        let partition = self.text.split(':').nth(1).unwrap_or("aws");
        format!("arn:{partition}:states:{region}:{account}:stateMachine:{state_machine}")
    }
}

/// Last part of an ARN: the name of what it names.
pub fn last_part(arn: &str) -> &str {
    arn.rsplit(':').next().unwrap_or(arn)
}

/// Name in a state machine's ARN, whose version or alias may follow it; of another text, its last part.
pub fn state_machine_name(arn: &str) -> &str {
    if arn.starts_with("arn:") { arn.split(':').nth(6).unwrap_or(arn) } else { last_part(arn) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_execution_tells_its_state_machine() {
        let arn: ExecutionArn = "arn:aws:states:us-east-1:726210406721:execution:etl:run-1".parse().expect("an ARN");
        assert_eq!((arn.account.as_str(), arn.name.as_str()), ("726210406721", "run-1"));
        assert_eq!(arn.state_machine_arn(), "arn:aws:states:us-east-1:726210406721:stateMachine:etl");
    }

    #[test]
    fn versions_of_a_state_machine_have_its_name() {
        let arn = "arn:aws:states:us-east-1:1:stateMachine:etl";
        assert_eq!(state_machine_name(arn), "etl");
        assert_eq!(state_machine_name(&format!("{arn}:7")), "etl");
        assert_eq!(state_machine_name("etl"), "etl");
    }

    #[test]
    fn what_has_no_history_is_refused() {
        let express = "arn:aws:states:us-east-1:1:express:etl:run:0a1b";
        assert!(matches!(express.parse::<ExecutionArn>(), Err(InvalidArn::Express(_))));
        for text in ["", "etl", "arn:aws:states:us-east-1:1:stateMachine:etl", "arn:aws:states::1:execution:etl:x"] {
            assert!(matches!(text.parse::<ExecutionArn>(), Err(InvalidArn::Malformed(_))), "{text}");
        }
    }
}
