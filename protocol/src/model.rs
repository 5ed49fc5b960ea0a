//! What is decided of a model when it is deployed.

use serde::{Deserialize, Serialize};

/// Which events of a history are states: a setting of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StateSelection {
    /// `TaskStateEntered` only, as in the paper.
    Tasks,
    /// Every `…StateEntered`: Choice, Wait, Map, Parallel, Pass, Succeed and Fail too.
    #[default]
    All,
}

impl StateSelection {
    /// Whether an event of this type is a state.
    pub fn includes(self, event_type: &str) -> bool {
        match self {
            Self::Tasks => event_type == "TaskStateEntered",
            Self::All => event_type.ends_with("StateEntered"),
        }
    }
}

/// What traces tell of states' inputs: a setting of the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Privacy {
    /// All of it, as in the paper.
    #[default]
    Published,
    /// A salted [commitment](crate::commitment), which can be disclosed later.
    Committed,
}

/// What is decided of a model when it is deployed, and cannot be changed then: ids of states follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ModelSettings {
    /// Which events are states.
    pub selection: StateSelection,
    /// What is told of their inputs.
    pub privacy: Privacy,
}

impl From<StateSelection> for ModelSettings {
    fn from(selection: StateSelection) -> Self {
        Self { selection, ..Self::default() }
    }
}
