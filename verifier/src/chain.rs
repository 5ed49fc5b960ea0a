//! The node: a pinned block, and views and logs as of it.

use alloy::{
    consensus::BlockHeader,
    eips::{BlockId, BlockNumberOrTag},
    primitives::{Address, B256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{
        client::ClientBuilder,
        types::{Filter, Log, TransactionRequest},
    },
    sol_types::SolCall,
    transports::{
        TransportError,
        layers::{RateLimitRetryPolicy, RetryBackoffLayer},
    },
};
use runproof_nodes::Nodes;
use runproof_protocol::{head::Registry, verdict::BlockReference};

use crate::{Settings, VerifyError};

const RETRIES: u32 = 4;
const FIRST_BACKOFF_MS: u64 = 200;
/// No budget of our own: the node says when it is too much.
const COMPUTE_UNITS_A_SECOND: u64 = u64::MAX;

/// The chain's nodes, asked about one contract.
pub(crate) struct Chain {
    pub(crate) provider: DynProvider,
    pub(crate) registry: Registry,
    start_block: u64,
    log_range: u64,
    nodes: Nodes,
}

/// A block whose header was hashed: what the node says of it can be held against its state root.
#[derive(Clone, Copy)]
pub(crate) struct Pinned {
    pub(crate) reference: BlockReference,
    pub(crate) state_root: B256,
}

impl Pinned {
    pub(crate) fn id(&self) -> BlockId {
        BlockId::hash(self.reference.hash)
    }
}

impl Chain {
    pub(crate) async fn connect(settings: &Settings) -> Result<Self, VerifyError> {
        let nodes = settings.nodes.clone();
        let retry = RetryBackoffLayer::new_with_policy(
            RETRIES,
            FIRST_BACKOFF_MS,
            COMPUTE_UNITS_A_SECOND,
            RateLimitRetryPolicy::default(),
        );
        let rpc = ClientBuilder::default().layer(retry).transport(nodes.clone(), nodes.are_local());
        let provider = ProviderBuilder::default().connect_client(rpc).erased();
        let chain_id =
            provider.get_chain_id().await.map_err(|error| failure(&nodes, "eth_chainId", error.to_string()))?;
        let registry = Registry { chain_id, address: settings.registry };
        let log_range = settings.log_range.max(1);
        Ok(Self { provider, registry, start_block: settings.start_block, log_range, nodes })
    }

    /// The newest block, its header hashed.
    pub(crate) async fn pin(&self) -> Result<Pinned, VerifyError> {
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await;
        let block = block.map_err(|error| self.failure("eth_getBlockByNumber", &error))?;
        let header = block.ok_or_else(|| failure(&self.nodes, "eth_getBlockByNumber", "no block".into()))?.header;
        let computed = header.inner.hash_slow();
        let number = header.inner.number();
        if computed != header.hash {
            return Err(VerifyError::Header { number, given: header.hash, computed });
        }
        let reference = BlockReference { number, hash: computed, timestamp_s: header.inner.timestamp() };
        Ok(Pinned { reference, state_root: header.inner.state_root() })
    }

    /// A view as of a block. `None` if it reverts, or if `contract` has no such view.
    pub(crate) async fn view<C: SolCall>(
        &self,
        at: &Pinned,
        contract: Address,
        call: C,
    ) -> Result<Option<C::Return>, VerifyError> {
        let request = TransactionRequest::default().to(contract).input(call.abi_encode().into());
        match self.provider.call(request).block(at.id()).await {
            Ok(answer) => Ok(C::abi_decode_returns(&answer).ok()),
            Err(error) if is_revert(&error) => Ok(None),
            Err(error) => Err(self.failure("eth_call", &error)),
        }
    }

    /// Logs of the contract from `from` (the contract's creation if that is later) to the pinned block, in order.
    pub(crate) async fn logs(&self, at: &Pinned, from: u64, filter: Filter) -> Result<Vec<Log>, VerifyError> {
        let filter = filter.address(self.registry.address);
        let last = at.reference.number;
        let mut first = from.max(self.start_block);
        let mut logs = Vec::new();
        while first <= last {
            let end = last.min(first.saturating_add(self.log_range - 1));
            let part = filter.clone().from_block(first).to_block(end);
            logs.extend(self.provider.get_logs(&part).await.map_err(|error| self.failure("eth_getLogs", &error))?);
            first = end + 1;
        }
        // A node that answers beyond the question is not believed.
        logs.retain(|log| {
            log.address() == self.registry.address && log.block_number.is_some_and(|block| block <= last)
        });
        logs.sort_by_key(|log| (log.block_number, log.log_index));
        Ok(logs)
    }

    /// Time of the block that a log stands in, Unix seconds.
    pub(crate) async fn time_of(&self, log: &Log) -> Result<u64, VerifyError> {
        if let Some(timestamp_s) = log.block_timestamp {
            return Ok(timestamp_s);
        }
        let number = log.block_number.unwrap_or_default();
        let block = self.provider.get_block_by_number(number.into()).await;
        let block = block.map_err(|error| self.failure("eth_getBlockByNumber", &error))?;
        Ok(block.map(|block| block.header.inner.timestamp()).unwrap_or_default())
    }

    pub(crate) fn failure(&self, request: &'static str, error: &TransportError) -> VerifyError {
        failure(&self.nodes, request, error.to_string())
    }

    pub(crate) fn not_a_registry(&self) -> VerifyError {
        VerifyError::NotARegistry { address: self.registry.address, chain_id: self.registry.chain_id }
    }

    /// How findings name a view of the contract.
    pub(crate) fn source(&self, view: &str, at: &Pinned) -> String {
        let Registry { chain_id, address } = self.registry;
        format!("{view} of contract {address} on chain {chain_id}, block {}", at.reference.number)
    }
}

/// Whether the node ran the call and the contract refused (EIP-1474 leaves the code open: geth and anvil answer 3).
fn is_revert(error: &TransportError) -> bool {
    error.as_error_resp().is_some_and(|answer| answer.code == 3 || answer.message.contains("revert"))
}

/// An error without a URL's path and user, which may be a key.
fn failure(nodes: &Nodes, request: &'static str, reason: String) -> VerifyError {
    VerifyError::Node { node: nodes.name(), request, reason: nodes.redacted(&reason) }
}
