//! Runs: started, followed, moved on.

use std::path::PathBuf;

use alloy::primitives::Address;
use clap::Args;
use runproof_protocol::{InstanceId, model::ModelSettings};

use super::{Inputs, States};

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Name of a deployed model, its id, or its file.
    pub model: String,
    /// Input of the execution, a JSON file [default: {}].
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// Name of the execution [default: a new one].
    #[arg(long)]
    pub name: Option<String>,
}

/// Options of `follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// ARN of one execution; without it, all executions of the deployed models.
    pub execution: Option<String>,
    /// Which history events are states, where the execution's model was not deployed.
    #[arg(long, value_enum, default_value = "all", requires = "execution")]
    pub states: States,
    /// What is told of the states' inputs, where the execution's model was not deployed.
    #[arg(long, value_enum, default_value = "published", requires = "execution")]
    pub privacy: Inputs,
    /// End when the execution has ended and all of it is registered.
    #[arg(long, requires = "execution")]
    pub once: bool,
}

impl Follow {
    /// What is decided of a model that was not deployed.
    pub fn settings(&self) -> ModelSettings {
        ModelSettings { selection: self.states.into(), privacy: self.privacy.into() }
    }
}

/// Options of `request-transition`.
#[derive(Debug, Args)]
pub struct RequestTransition {
    /// The run.
    pub instance: InstanceId,
    /// Who issued it [default: this identity].
    #[arg(long)]
    pub issuer: Option<Address>,
    /// Sequence number of the waiting state [default: the last one registered].
    #[arg(long)]
    pub sequence: Option<u64>,
    /// What the state is to be completed with, JSON.
    #[arg(long, default_value = "{}")]
    pub payload: String,
    /// Ask the issuer's site by a signed HTTPS request, instead of the contract.
    #[arg(long, value_name = "URL")]
    pub https: Option<String>,
}
