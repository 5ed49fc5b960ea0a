//! What becomes a model, and what is told of its runs.

use std::path::PathBuf;

use alloy::primitives::Address;
use clap::{Args, ValueEnum};
use runproof_protocol::{
    InstanceId,
    model::{ModelSettings, Privacy, StateSelection},
};

/// Which history events are states.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum States {
    /// Every state entered.
    All,
    /// Task states only, as in the paper.
    Tasks,
}

impl From<States> for StateSelection {
    fn from(states: States) -> Self {
        match states {
            States::All => Self::All,
            States::Tasks => Self::Tasks,
        }
    }
}

/// What is told of states' inputs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Inputs {
    /// Published in full, as in the paper.
    Published,
    /// A salted commitment in place of each, which `disclose` opens.
    Committed,
}

impl From<Inputs> for Privacy {
    fn from(inputs: Inputs) -> Self {
        match inputs {
            Inputs::Published => Self::Published,
            Inputs::Committed => Self::Committed,
        }
    }
}

/// Options of `deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The model: Amazon States Language, JSON.
    pub model: PathBuf,
    /// Name of the state machine [default: the file's name up to the first dot].
    #[arg(long)]
    pub name: Option<String>,
    /// Which history events are states.
    #[arg(long, value_enum, default_value = "all")]
    pub states: States,
    /// What is told of the states' inputs. It cannot be changed later, since ids follow from it.
    #[arg(long, value_enum, default_value = "published")]
    pub privacy: Inputs,
    /// Who may request transitions of its runs; may be repeated.
    #[arg(long = "participant", value_name = "ADDRESS")]
    pub participants: Vec<Address>,
    /// Only tell gas and fee of the registration.
    #[arg(long)]
    pub dry_run: bool,
}

impl Deploy {
    /// What is decided of the model.
    pub fn settings(&self) -> ModelSettings {
        ModelSettings { selection: self.states.into(), privacy: self.privacy.into() }
    }
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The run.
    #[command(flatten)]
    pub run: Recorded,
    /// Only tell gas and fee of the registration.
    #[arg(long)]
    pub dry_run: bool,
}

/// A run that was recorded elsewhere.
#[derive(Debug, Args)]
pub struct Recorded {
    /// The model, JSON.
    #[arg(long)]
    pub model: PathBuf,
    /// What is known of the execution, JSON.
    #[arg(long)]
    pub instance: PathBuf,
    /// The states: a JSON list of state events.
    #[arg(long)]
    pub trace: PathBuf,
}

/// Options of `disclose`.
#[derive(Debug, Args)]
pub struct Disclose {
    /// The run.
    pub instance: InstanceId,
    /// Sequence number of the state.
    #[arg(required_unless_present = "event")]
    pub sequence: Option<u64>,
    /// Id of an event in the trace's companion document instead: print what opens its commitments (output, error, cause). Nothing is published by it.
    #[arg(long, conflicts_with_all = ["sequence", "print"])]
    pub event: Option<u64>,
    /// Only print what discloses it: for those whom you give it to, and for nobody else.
    #[arg(long)]
    pub print: bool,
}
