//! What a verifier must be told.

use std::time::Duration;

use alloy::primitives::Address;
use runproof_contracts::ContractKind;
use runproof_nodes::Nodes;
use url::Url;

/// Where to read, and how much to bear from a stranger's server.
#[derive(Clone)]
pub struct Settings {
    /// The chain's nodes.
    pub nodes: Nodes,
    /// The contract.
    pub registry: Address,
    /// Which contract that is.
    pub kind: ContractKind,
    /// The ENS registry (EIP-137).
    pub ens_registry: Address,
    /// Block at which the contract was created: earlier ones hold none of its logs.
    pub start_block: u64,
    /// Blocks asked for in one `eth_getLogs`.
    pub log_range: u64,
    /// The issuer's site, in place of the one that the chain names.
    pub site: Option<Url>,
    /// Lets a site be at a private or loopback address and at any port. Only for networks of one's own.
    pub allow_private_addresses: bool,
    /// Bears this long with one document.
    pub document_timeout: Duration,
    /// Bears this long with all documents of a run.
    pub site_timeout: Duration,
    /// Bytes of one document at most, after decompression.
    pub max_document_bytes: usize,
}

impl Settings {
    /// Usual limits: 10,000 blocks a query, 10 s and 64 MiB a document, 2 min a site, public addresses only.
    pub fn new(nodes: Nodes, registry: Address, ens_registry: Address) -> Self {
        Self {
            nodes,
            registry,
            kind: ContractKind::Registry,
            ens_registry,
            start_block: 0,
            log_range: 10_000,
            site: None,
            allow_private_addresses: false,
            document_timeout: Duration::from_secs(10),
            site_timeout: Duration::from_secs(120),
            max_document_bytes: 64 << 20,
        }
    }
}
