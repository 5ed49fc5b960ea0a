//! Who may request: whom the issuer named in the contract, and who accepted.

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
};
use runproof_contracts::InstanceRegistry::InstanceRegistryInstance;
use runproof_protocol::InstanceId;

/// An account that the issuer named a participant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Participation {
    /// The instance that it was named for; zero for all of the issuer's.
    pub scope: B256,
    /// Whether it accepted.
    pub accepted: bool,
}

/// The contract's `Participation.None` and `Participation.Accepted`.
const NONE: u8 = 0;
const ACCEPTED: u8 = 2;

impl Participation {
    /// What the contract knows of `who`; `None` if the issuer named it neither for this instance nor for all.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn read<P: Provider>(
        registry: &InstanceRegistryInstance<P>,
        issuer: Address,
        instance: InstanceId,
        who: Address,
    ) -> Result<Option<Self>, alloy::contract::Error> {
        let mut found: Option<Self> = None;
        for scope in [instance.0, B256::ZERO] {
            let state = registry.participationOf(issuer, scope, who).call().await?;
            if state != NONE && found.is_none_or(|earlier| !earlier.accepted) {
                found = Some(Self { scope, accepted: state == ACCEPTED });
            }
        }
        Ok(found)
    }
}
