//! Which contract an address holds.

use serde::{Deserialize, Serialize};

/// A contract whose events are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContractKind {
    /// `InstanceRegistry`.
    #[default]
    Registry,
    /// The paper's own contract, see [`crate::itrex`].
    Itrex,
}

impl ContractKind {
    /// As configurations and journals name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registry => "registry",
            Self::Itrex => "itrex",
        }
    }
}
