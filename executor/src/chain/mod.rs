//! The chain as an executor sees it: what the contract holds, and which blocks hold.

mod signing;

use alloy::{
    consensus::BlockHeader,
    eips::BlockNumberOrTag,
    network::{EthereumWallet, primitives::HeaderResponse},
    primitives::{Address, B256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::client::ClientBuilder,
    transports::layers::RetryBackoffLayer,
};
use eyre::{Context, OptionExt, ensure};
use runproof_contracts::{InstanceRegistry, InstanceRegistry::InstanceRegistryInstance};
use runproof_nodes::Nodes;
use runproof_protocol::{
    InstanceId, ModelId,
    head::{Outcome, Registry},
};

pub use signing::{Quote, SignError, Signed};

use crate::settings::Settings;

/// Blocks after which a chain without finality tags is taken as final.
const ASSUMED_FINAL_DEPTH: u64 = 64;

/// The nodes of a chain, the contract on it, and the issuer's key.
#[derive(Clone)]
pub struct Chain {
    nodes: Nodes,
    provider: DynProvider,
    contract: InstanceRegistryInstance<DynProvider>,
    wallet: EthereumWallet,
    /// Who registers.
    pub issuer: Address,
    /// Chain and contract.
    pub registry: Registry,
    min_tip_wei: u128,
    max_fee_wei: u128,
    max_gas: u64,
}

/// What the contract knows of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OnChain {
    /// States registered.
    pub count: u64,
    /// Set once it is terminated.
    pub outcome: Option<Outcome>,
    /// Block of its registration.
    pub registered_at_block: u64,
}

/// The newest block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Base fee, wei a gas (EIP-1559); 0 where there is none.
    pub base_fee_wei: u64,
}

/// A block that a transaction is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Block {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Time, Unix seconds.
    pub timestamp_s: u64,
}

impl Chain {
    /// Connects and makes sure that the contract is there.
    ///
    /// # Errors
    /// The node does not answer, or has no contract at the address.
    pub async fn connect(settings: &Settings) -> eyre::Result<Self> {
        let chain = Self::reach(settings).await?;
        chain.require_contract().await?;
        Ok(chain)
    }

    /// Connects, whether the contract is there or not.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn reach(settings: &Settings) -> eyre::Result<Self> {
        let nodes = settings.nodes.clone();
        let retrying = ClientBuilder::default().layer(RetryBackoffLayer::new(5, 200, 330));
        let client = retrying.transport(nodes.clone(), nodes.are_local());
        let provider = ProviderBuilder::default().connect_client(client).erased();
        let chain_id = provider.get_chain_id().await.context("the Ethereum node does not answer: check rpc_url")?;
        Ok(Self {
            nodes,
            contract: InstanceRegistry::new(settings.registry, provider.clone()),
            provider,
            wallet: settings.signer.wallet(),
            issuer: settings.signer.address(),
            registry: Registry { chain_id, address: settings.registry },
            min_tip_wei: settings.min_tip_wei,
            max_fee_wei: settings.max_fee_wei,
            max_gas: settings.max_gas,
        })
    }

    pub(crate) async fn require_contract(&self) -> eyre::Result<()> {
        let Registry { chain_id, address } = self.registry;
        ensure!(
            !self.provider.get_code_at(address).await?.is_empty(),
            "there is no contract at {address} on chain {chain_id}: deploy the registry there, or correct its address"
        );
        Ok(())
    }

    /// The nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// What asks them.
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Block in which the issuer registered this model; `None` if it has not.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn model_block(&self, model: ModelId) -> eyre::Result<Option<u64>> {
        let block = self.contract.modelRegisteredAtBlock(self.issuer, model.0).call().await?;
        Ok((block != 0).then_some(block))
    }

    /// What the contract knows of the issuer's instance; `None` if it is not registered.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn instance(&self, instance: InstanceId) -> eyre::Result<Option<OnChain>> {
        let found = self.contract.instanceOf(self.issuer, instance.0).call().await?;
        let known = OnChain {
            count: found.count,
            outcome: Outcome::from_number(found.outcome),
            registered_at_block: found.registeredAtBlock,
        };
        Ok((known.registered_at_block != 0).then_some(known))
    }

    /// Whether the issuer named `account` a participant of all its instances.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn is_participant(&self, account: Address) -> eyre::Result<bool> {
        Ok(self.contract.participationOf(self.issuer, B256::ZERO, account).call().await? != 0)
    }

    /// Instances that the issuer has registered.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn instance_count(&self) -> eyre::Result<u64> {
        Ok(self.contract.issuerChain(self.issuer).call().await?.count)
    }

    /// The newest block.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn newest(&self) -> eyre::Result<Head> {
        let block = self.provider.get_block_by_number(BlockNumberOrTag::Latest).await?;
        let header = block.ok_or_eyre("the node has no newest block")?.header;
        let base_fee_wei = header.base_fee_per_gas().unwrap_or_default();
        Ok(Head { number: header.number(), hash: header.hash(), base_fee_wei })
    }

    /// Hash of the block at this height now.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn block_hash(&self, number: u64) -> eyre::Result<Option<B256>> {
        let block = self.provider.get_block_by_number(number.into()).await?;
        Ok(block.map(|block| block.header.hash()))
    }

    /// Time of a block, Unix seconds; `None` if the node does not have it (any more).
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn block_time_s(&self, hash: B256) -> eyre::Result<Option<u64>> {
        Ok(self.provider.get_block_by_hash(hash).await?.map(|block| block.header.timestamp()))
    }

    /// Blocks up to this number cannot be reorganised away.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn finalized(&self, newest: u64) -> eyre::Result<u64> {
        // A chain without finality answers this tag with an error or with nothing.
        let tagged = self.provider.get_block_by_number(BlockNumberOrTag::Finalized).await.ok().flatten();
        Ok(tagged.map_or(newest.saturating_sub(ASSUMED_FINAL_DEPTH), |block| block.header.number()))
    }

    /// Next nonce by the node: of blocks only, or of its pool too.
    ///
    /// # Errors
    /// The node does not answer.
    pub async fn next_nonce(&self, with_pool: bool) -> eyre::Result<u64> {
        let call = self.provider.get_transaction_count(self.issuer);
        Ok(if with_pool { call.pending().await? } else { call.latest().await? })
    }
}
