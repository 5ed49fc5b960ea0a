//! Calls of the contract that an account signs and anybody submits, and pays for: the contract's `relay`.

use alloy::{
    primitives::{Address, B256, Bytes, U256},
    providers::Provider,
    sol_types::{SolCall, SolStruct},
};
use eyre::ensure;
use runproof_contracts::{
    InstanceRegistry::relayCall,
    typed_data::{Relay, domain},
};
use runproof_protocol::head::Registry;
use serde::{Deserialize, Serialize};

use crate::{key::Key, sender::Sender};

/// A call that its account lets anybody submit once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedCall {
    /// The chain on which it can be submitted (EIP-155).
    pub chain_id: u64,
    /// The contract `InstanceRegistry` there.
    pub registry: Address,
    /// Whose call it is.
    pub account: Address,
    /// Selector and arguments.
    pub call: Bytes,
    /// How many of the account's signed calls come before it.
    pub nonce: u64,
    /// When it can no longer be submitted, Unix seconds.
    pub deadline_s: u64,
    /// EIP-712 signature, 65 bytes.
    pub signature: Bytes,
}

impl SignedCall {
    /// Signs a call in the domain of `registry`.
    ///
    /// # Errors
    /// If the key cannot sign.
    pub async fn sign(
        signer: &Key,
        registry: Registry,
        call: Bytes,
        nonce: u64,
        deadline_s: u64,
    ) -> Result<Self, alloy::signers::Error> {
        let account = signer.address();
        let content = Relay { account, call, nonce: U256::from(nonce), deadline: deadline_s };
        let digest = content.eip712_signing_hash(&domain(registry.chain_id, registry.address));
        let signature = signer.sign_hash(&digest).await?.as_bytes().into();
        let Registry { chain_id, address: registry } = registry;
        Ok(Self { chain_id, registry, account, call: content.call, nonce, deadline_s, signature })
    }

    /// Submits it through `sender`, who pays, and waits until it is included; returns the transaction's hash.
    ///
    /// # Errors
    /// If it was signed for another chain, or with the contract's reason if it refuses.
    pub async fn submit(&self, sender: &Sender) -> eyre::Result<B256> {
        let chain_id = sender.provider().get_chain_id().await?;
        ensure!(
            chain_id == self.chain_id,
            "this was signed for chain {}, the node is of chain {chain_id}: set `rpc_url` of [chain] to a node of the former",
            self.chain_id
        );
        let relay = relayCall {
            account: self.account,
            call: self.call.clone(),
            nonce: U256::from(self.nonce),
            deadline: self.deadline_s,
            signature: self.signature.clone(),
        };
        sender.send(self.registry, relay.abi_encode().into()).await
    }
}
