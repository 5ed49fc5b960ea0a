//! The chain as an executor sees it: what the contract holds, and which blocks hold.

use std::fmt;

use alloy::{
    consensus::BlockHeader,
    eips::BlockNumberOrTag,
    network::{EthereumWallet, NetworkTransactionBuilder, TransactionBuilder, primitives::HeaderResponse},
    primitives::{Address, B256, Bytes, U256, utils::format_ether},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::{client::ClientBuilder, types::TransactionRequest},
    transports::layers::RetryBackoffLayer,
};
use eyre::{Context, OptionExt, ensure};
use runproof_contracts::{InstanceRegistry, InstanceRegistry::InstanceRegistryInstance};
use runproof_nodes::Nodes;
use runproof_protocol::{
    InstanceId, ModelId,
    head::{Outcome, Registry},
};

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

/// Why a transaction is not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The contract reverts.
    #[error("the contract would refuse: {0}")]
    Refused(String),
    /// The node refuses for another reason.
    #[error("the node cannot estimate the transaction (is the issuer funded?): {0}")]
    NotEstimated(String),
    /// More than one transaction may use.
    #[error("the transaction would use {needed} gas, and `max_gas` is {max}: register less at once, or raise it")]
    TooMuchGas {
        /// As estimated.
        needed: u64,
        /// As set.
        max: u64,
    },
    /// The chain is dearer than the issuer will pay.
    #[error("a block costs {base_fee_wei} wei a gas, and `max_fee_wei` is {max_fee_wei}: waiting until it is cheaper")]
    TooDear {
        /// The newest block's base fee.
        base_fee_wei: u128,
        /// As set.
        max_fee_wei: u128,
    },
    /// A replacement would have to offer more than the issuer will pay.
    #[error(
        "a replacement must offer {needed_wei} wei a gas, and `max_fee_wei` is {max_fee_wei}: waiting for the transaction as it is"
    )]
    ReplacementTooDear {
        /// Most in all, at least.
        needed_wei: u128,
        /// As set.
        max_fee_wei: u128,
    },
    /// The node did not answer, or the key cannot sign.
    #[error(transparent)]
    Other(#[from] eyre::Report),
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

/// What a transaction would cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quote {
    /// Gas, as the node estimates; 0 if all is registered already.
    pub gas: u64,
    /// Most that is offered for it, wei a gas.
    pub fee_wei: u128,
}

impl fmt::Display for Quote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wei = U256::from(self.gas) * U256::from(self.fee_wei);
        write!(f, "{} gas, at most {} ether", self.gas, format_ether(wei))
    }
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

/// A transaction, signed and not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// Hash.
    pub hash: B256,
    /// Bytes as sent (EIP-2718).
    pub raw: Bytes,
    /// Nonce.
    pub nonce: u64,
}

impl Chain {
    /// Connects and makes sure that the contract is there.
    ///
    /// # Errors
    /// The node does not answer, or has no contract at the address.
    pub async fn connect(settings: &Settings) -> eyre::Result<Self> {
        let nodes = settings.nodes.clone();
        let retrying = ClientBuilder::default().layer(RetryBackoffLayer::new(5, 200, 330));
        let client = retrying.transport(nodes.clone(), nodes.are_local());
        let provider = ProviderBuilder::default().connect_client(client).erased();
        let chain_id = provider.get_chain_id().await.context("the Ethereum node does not answer: check rpc_url")?;
        let code = provider.get_code_at(settings.registry).await?;
        ensure!(
            !code.is_empty(),
            "there is no contract at {} on chain {chain_id}: deploy the registry there, or correct its address",
            settings.registry
        );
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

    /// Signs a transaction that makes these calls of the contract at once, or all of none; with this limit of gas, or what the node estimates.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign(&self, calls: Vec<Bytes>, nonce: u64, gas: Option<u64>) -> Result<Signed, SignError> {
        let data = self.contract.multicall(calls).calldata().clone();
        if let Some(gas) = gas {
            return self.sign_with(data, nonce, gas, (0, 0)).await;
        }
        let request = self.request(data.clone(), nonce);
        let needed = self.provider.estimate_gas(request).await.map_err(refusal)?;
        if needed > self.max_gas {
            return Err(SignError::TooMuchGas { needed, max: self.max_gas });
        }
        // What other transactions do to the issuer's chain in between may cost a little more than the estimate.
        self.sign_with(data, nonce, (needed + needed / 4).min(self.max_gas), (0, 0)).await
    }

    /// What it would cost to make these calls of the contract in one transaction; signs and sends nothing.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn quote(&self, calls: Vec<Bytes>) -> Result<Quote, SignError> {
        if calls.is_empty() {
            return Ok(Quote::default());
        }
        let data = self.contract.multicall(calls).calldata().clone();
        let nonce = self.next_nonce(true).await?;
        let gas = self.provider.estimate_gas(self.request(data, nonce)).await.map_err(refusal)?;
        let (fee_wei, _) = self.fees((0, 0)).await?;
        Ok(Quote { gas, fee_wei })
    }

    /// Signs a call of the contract with this limit of gas, at present fees, and at least at these: most in all, and tip, wei a gas.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign_with(&self, data: Bytes, nonce: u64, gas: u64, least: (u128, u128)) -> Result<Signed, SignError> {
        let (fee, tip) = self.fees(least).await?;
        let request =
            self.request(data, nonce).with_gas_limit(gas).with_max_priority_fee_per_gas(tip).with_max_fee_per_gas(fee);
        let envelope = request.build(&self.wallet).await.map_err(eyre::Report::new)?;
        let raw = alloy::eips::eip2718::Encodable2718::encoded_2718(&envelope);
        Ok(Signed { hash: *envelope.tx_hash(), raw: raw.into(), nonce })
    }

    /// Most in all and tip, wei a gas: what the node advises, at least `least`, at most what the settings allow.
    async fn fees(&self, least: (u128, u128)) -> Result<(u128, u128), SignError> {
        let max_fee_wei = self.max_fee_wei;
        let base_fee_wei = u128::from(self.newest().await?.base_fee_wei);
        if base_fee_wei > max_fee_wei {
            return Err(SignError::TooDear { base_fee_wei, max_fee_wei });
        }
        if least.0 > max_fee_wei {
            return Err(SignError::ReplacementTooDear { needed_wei: least.0, max_fee_wei });
        }
        let advised = self.provider.estimate_eip1559_fees().await.map_err(eyre::Report::new)?;
        let base = advised.max_fee_per_gas.saturating_sub(advised.max_priority_fee_per_gas);
        let tip = advised.max_priority_fee_per_gas.max(self.min_tip_wei).max(least.1).min(max_fee_wei);
        Ok((base.saturating_add(tip).max(least.0).min(max_fee_wei), tip))
    }

    fn request(&self, data: Bytes, nonce: u64) -> TransactionRequest {
        TransactionRequest::default()
            .with_from(self.issuer)
            .with_to(self.registry.address)
            .with_input(data)
            .with_chain_id(self.registry.chain_id)
            .with_nonce(nonce)
    }
}

/// The contract's refusal in words, or the node's error as it is.
fn refusal(error: alloy::transports::TransportError) -> SignError {
    let Some(response) = error.as_error_resp() else { return SignError::Other(error.into()) };
    match response.as_revert_data().and_then(|data| runproof_contracts::revert_reason(&data)) {
        Some(reason) => SignError::Refused(reason),
        None => SignError::NotEstimated(response.to_string()),
    }
}
