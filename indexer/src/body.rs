//! The transactions of a block, with their calldata: read where logs do not tell everything.

use alloy::{
    consensus::{
        Transaction as _, TxEnvelope, crypto::RecoveryError, proofs::calculate_transaction_root,
        transaction::SignerRecoverable,
    },
    primitives::{Address, B256},
    rpc::types::Block as RpcBlock,
};

use crate::block::Call;

/// A block's transactions, in order, without what the node says of their senders: these are recovered from the signatures.
pub struct Body(Vec<TxEnvelope>);

impl From<RpcBlock> for Body {
    fn from(block: RpcBlock) -> Self {
        Self(block.transactions.into_transactions().map(|one| one.inner.into_inner()).collect())
    }
}

impl Body {
    /// The root of the transactions' trie, which the block's header carries (Yellow Paper, 4.4.2; EIP-2718).
    pub fn root(&self) -> B256 {
        calculate_transaction_root(&self.0)
    }

    /// Who signed a transaction, if it is in the block.
    ///
    /// # Errors
    /// A signature that is none.
    pub fn sender(&self, transaction: B256) -> Result<Option<Address>, RecoveryError> {
        let found = self.0.iter().find(|one| *one.tx_hash() == transaction);
        found.map(SignerRecoverable::recover_signer).transpose()
    }

    /// Transactions to a contract whose calldata is wanted.
    ///
    /// # Errors
    /// A signature that is none.
    pub fn calls(&self, contract: Address, wanted: impl Fn(&[u8]) -> bool) -> Result<Vec<Call>, RecoveryError> {
        let to_it = self.0.iter().filter(|&one| one.to() == Some(contract) && wanted(one.input()));
        let call = |one: &TxEnvelope| {
            Ok(Call { transaction_hash: *one.tx_hash(), sender: one.recover_signer()?, input: one.input().clone() })
        };
        to_it.map(call).collect()
    }
}
