//! Blocks as the indexer keeps them.

use alloy::{
    primitives::{Address, B256, Bytes},
    rpc::types::Log,
};

/// A block by number and hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRef {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
}

/// A node's head and how far it is certain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Newest block.
    pub latest: BlockRef,
    /// Newest safe block; `None` if the chain names none.
    pub safe: Option<BlockRef>,
    /// Newest finalized block; `None` if the chain names none.
    pub finalized: Option<BlockRef>,
}

/// A block with what the contract did in it, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Number.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Its parent.
    pub parent_hash: B256,
    /// Its time, Unix seconds.
    pub timestamp_s: u64,
    /// The contract's logs, in order.
    pub logs: Vec<Log>,
    /// Calls of the contract that succeeded and that no log tells of, in order.
    pub calls: Vec<Call>,
    /// The transactions that made them, and those that emitted the logs.
    pub transactions: Vec<Transaction>,
}

impl Block {
    /// Number and hash.
    pub fn reference(&self) -> BlockRef {
        BlockRef { number: self.number, hash: self.hash }
    }
}

/// A transaction as its receipt tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transaction {
    /// Hash.
    pub hash: B256,
    /// Who sent it.
    pub sender: Address,
    /// To whom; `None` if it created a contract.
    pub recipient: Option<Address>,
    /// Gas used.
    pub gas_used: u64,
    /// Price paid, wei for each gas.
    pub effective_gas_price_wei: u128,
}

/// A transaction that calls the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its hash.
    pub transaction_hash: B256,
    /// Who signed it.
    pub sender: Address,
    /// Its calldata.
    pub input: Bytes,
}
