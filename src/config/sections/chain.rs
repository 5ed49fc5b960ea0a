//! The chain, the contracts on it, and who is asked.

use std::num::NonZeroU32;

use alloy::primitives::Address;
use runproof_contracts::ContractKind;
use runproof_indexer::endpoints::Role;
use serde::{Deserialize, Serialize};
use url::Url;

use super::local;

/// The chain and the contracts on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// JSON-RPC over HTTP.
    pub rpc_url: Url,
    /// JSON-RPC over a websocket: a hint to look now. Absent: the chain is polled.
    pub ws_url: Option<Url>,
    /// Calls that `rpc_url` may be asked a second; absent: it tells when it is too much.
    pub calls_per_s: Option<NonZeroU32>,
    /// The contract.
    pub registry: Address,
    /// Which contract that is.
    pub kind: ContractKind,
    /// Where to begin to read it.
    pub registry_deployed_at_block: u64,
    /// The ENS registry; the default is its address on public networks.
    pub ens_registry: Address,
    /// What is indexed counts if so many endpoints say the same.
    pub quorum: usize,
    /// An endpoint that is more blocks behind the others is set aside.
    pub max_lag_blocks: u64,
    /// Whether all receipts of a block must prove its logs, as its header's root says. Without it a node that leaves out all logs of a block is believed;
    /// that saves a request for blocks whose bloom filter admits the contract in vain.
    pub strict: bool,
    /// Further endpoints, beside `rpc_url`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint: Vec<Endpoint>,
}

/// An endpoint of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// What it is called in logs, metrics and status; absent: host and port.
    #[serde(default)]
    pub name: Option<String>,
    /// JSON-RPC over HTTP.
    pub url: Url,
    /// JSON-RPC over a websocket: a hint to look now.
    #[serde(default)]
    pub ws_url: Option<Url>,
    /// `primary`, or `standby`: asked only if too few of the primary ones serve.
    #[serde(default)]
    pub role: Role,
    /// Calls that it may be asked a second; absent: it tells when it is too much.
    #[serde(default)]
    pub calls_per_s: Option<NonZeroU32>,
}

impl Chain {
    /// Whether two sources read from the same endpoints, by the same rules.
    pub fn has_same_endpoints(&self, other: &Self) -> bool {
        let rules = |chain: &Self| (chain.calls_per_s, chain.quorum, chain.max_lag_blocks);
        (&self.rpc_url, &self.ws_url, &self.endpoint) == (&other.rpc_url, &other.ws_url, &other.endpoint)
            && rules(self) == rules(other)
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            rpc_url: local("http://127.0.0.1:8545"),
            ws_url: None,
            calls_per_s: None,
            registry: Address::ZERO,
            kind: ContractKind::Registry,
            registry_deployed_at_block: 0,
            ens_registry: alloy::primitives::address!("00000000000C2E074eC69A0dFb2997BA6C7d2e1e"),
            quorum: 1,
            max_lag_blocks: 16,
            strict: true,
            endpoint: Vec::new(),
        }
    }
}
