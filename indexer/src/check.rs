//! Whether a node's answers fit each other. Pure: what was answered in, a refusal out.
//!
//! A header's hash covers its parent, its bloom filter and its receipts root, so a header that hashes to what the next one names as its parent is
//! the anchor of all the rest.

use alloy::{
    primitives::{Address, B256},
    rpc::types::{Header, Log},
};

use crate::{
    block::{Block, Transaction},
    body::Body,
    receipt::{self, Receipt},
};

/// What does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// A block that the node must have.
    #[error("block {0} is missing")]
    MissingBlock(u64),
    /// Another block than the one asked for.
    #[error("block {found} instead of {asked}")]
    OtherBlock {
        /// Number asked for.
        asked: u64,
        /// Number answered.
        found: u64,
    },
    /// A header that does not hash to its hash.
    #[error("block {number} says its hash is {said}, its fields hash to {computed}")]
    HeaderHash {
        /// Number.
        number: u64,
        /// As answered.
        said: B256,
        /// As computed.
        computed: B256,
    },
    /// A number beyond what Postgres and the rest of the world count with.
    #[error("block {0} has a number or a time beyond 63 bits")]
    Beyond(u64),
    /// A header that does not follow the one before it.
    #[error("block {0} does not follow the one before it: the chain changed while it was read")]
    Unlinked(u64),
    /// A log that was not asked for, is marked as removed or misses its place.
    #[error("a log that was not asked for in block {0:?}")]
    ForeignLog(Option<u64>),
    /// Logs out of order, or one twice.
    #[error("log {index} of block {number} is out of order")]
    LogOrder {
        /// Block.
        number: u64,
        /// Place in it.
        index: u64,
    },
    /// A log or receipt of another block at the same height.
    #[error("an answer of another fork at block {0}")]
    OtherFork(u64),
    /// A log that the block's bloom filter excludes.
    #[error("the bloom filter of block {0} excludes a log in it")]
    Bloom(u64),
    /// Receipts that are not those of the header.
    #[error("the receipts of block {0} do not have its receipts root")]
    ReceiptsRoot(u64),
    /// Transactions that are not those of the header.
    #[error("the transactions of block {0} do not have its transactions root")]
    TransactionsRoot(u64),
    /// A receipt that names another sender than the one who signed.
    #[error("a receipt of block {0} names another sender than the one who signed")]
    Sender(u64),
    /// Receipts and logs that differ.
    #[error("eth_getLogs and the receipts of block {0} differ")]
    LogsDiffer(u64),
}

/// A header is the one asked for, and hashes to its hash.
pub fn header(asked: Option<u64>, header: &Header) -> Result<(), Mismatch> {
    let number = header.inner.number;
    if let Some(asked) = asked.filter(|asked| *asked != number) {
        return Err(Mismatch::OtherBlock { asked, found: number });
    }
    if i64::try_from(number).is_err() || i64::try_from(header.inner.timestamp).is_err() {
        return Err(Mismatch::Beyond(number));
    }
    let computed = header.inner.hash_slow();
    if computed != header.hash {
        return Err(Mismatch::HeaderHash { number, said: header.hash, computed });
    }
    Ok(())
}

/// Each header names the one before it as its parent.
pub fn links(headers: &[Header]) -> Result<(), Mismatch> {
    match headers.windows(2).find(|pair| pair[1].inner.parent_hash != pair[0].hash) {
        Some(pair) => Err(Mismatch::Unlinked(pair[1].inner.number)),
        None => Ok(()),
    }
}

/// Logs, as answered for the blocks of `headers` (consecutive numbers), dealt out to their blocks.
pub fn logs(headers: &[Header], logs: Vec<Log>, contract: Address) -> Result<Vec<Block>, Mismatch> {
    let mut blocks: Vec<Block> = headers.iter().map(empty).collect();
    let first = headers.first().map_or(0, |header| header.inner.number);
    let mut last = None;
    for log in logs {
        let (Some(number), Some(index), Some(_), false) =
            (log.block_number, log.log_index, log.transaction_hash, log.removed)
        else {
            return Err(Mismatch::ForeignLog(log.block_number));
        };
        let place = number.checked_sub(first).and_then(|place| usize::try_from(place).ok());
        let Some((header, block)) = place.and_then(|place| Some((headers.get(place)?, blocks.get_mut(place)?))) else {
            return Err(Mismatch::ForeignLog(Some(number)));
        };
        if log.address() != contract {
            return Err(Mismatch::ForeignLog(Some(number)));
        }
        if log.block_hash != Some(header.hash) {
            return Err(Mismatch::OtherFork(number));
        }
        if last >= Some((number, index)) || i32::try_from(index).is_err() {
            return Err(Mismatch::LogOrder { number, index });
        }
        if !header.inner.logs_bloom.contains_raw_log(contract, log.topics()) {
            return Err(Mismatch::Bloom(number));
        }
        last = Some((number, index));
        block.logs.push(log);
    }
    Ok(blocks)
}

fn empty(header: &Header) -> Block {
    Block {
        number: header.inner.number,
        hash: header.hash,
        parent_hash: header.inner.parent_hash,
        timestamp_s: header.inner.timestamp,
        logs: Vec::new(),
        calls: Vec::new(),
        transactions: Vec::new(),
    }
}

/// A block's transactions are those that its header's transactions root is computed from.
pub fn body(header: &Header, body: &Body) -> Result<(), Mismatch> {
    match body.root() == header.inner.transactions_root {
        true => Ok(()),
        false => Err(Mismatch::TransactionsRoot(header.inner.number)),
    }
}

/// The senders that receipts name are those who signed, which a receipts root does not cover.
pub fn senders(block: &Block, body: &Body) -> Result<(), Mismatch> {
    let signed = |one: &Transaction| body.sender(one.hash).is_ok_and(|signer| signer == Some(one.sender));
    match block.transactions.iter().all(signed) {
        true => Ok(()),
        false => Err(Mismatch::Sender(block.number)),
    }
}

/// A block's receipts are those that its header's receipts root is computed from: what they say is proven. The block gets the contract's logs in
/// them, and the transactions that emitted these; of its calls those are kept that succeeded, with their transactions.
pub fn proven(header: &Header, receipts: Vec<Receipt>, contract: Address, block: &mut Block) -> Result<(), Mismatch> {
    let number = block.number;
    if receipts.iter().any(|receipt| receipt.block_hash != block.hash) {
        return Err(Mismatch::OtherFork(number));
    }
    if receipt::root(&receipts) != header.inner.receipts_root {
        return Err(Mismatch::ReceiptsRoot(number));
    }
    keep_successful_calls(&receipts, block);
    // The place of a log is not in the receipts root, so it is counted here.
    let mut log_index = 0u64;
    for receipt in receipts {
        let emitted = transaction(&receipt);
        let logs_before = block.logs.len();
        for log in receipt.logs {
            if log.address == contract {
                block.logs.push(log.placed(emitted.hash, block.hash, number, log_index));
            }
            log_index += 1;
        }
        if block.logs.len() > logs_before || is_call(block, &emitted) {
            block.transactions.push(emitted);
        }
    }
    match i32::try_from(log_index) {
        Ok(_) => Ok(()),
        Err(_) => Err(Mismatch::LogOrder { number, index: log_index }),
    }
}

/// A block's receipts belong to it and tell the same logs as `eth_getLogs`; the block gets the transactions that emitted them.
pub fn agreeing(receipts: &[Receipt], contract: Address, block: &mut Block) -> Result<(), Mismatch> {
    if receipts.iter().any(|receipt| receipt.block_hash != block.hash) {
        return Err(Mismatch::OtherFork(block.number));
    }
    let in_order = receipts.iter().flat_map(|receipt| receipt.logs.iter().map(move |log| (receipt, log)));
    let told: Vec<_> = (0u64..).zip(in_order).filter(|(_, (_, log))| log.address == contract).collect();
    let same = told.len() == block.logs.len()
        && told.iter().zip(&block.logs).all(|((index, (receipt, told)), log)| {
            told.says(log) && log.log_index == Some(*index) && log.transaction_hash == Some(receipt.transaction_hash)
        });
    if !same {
        return Err(Mismatch::LogsDiffer(block.number));
    }
    block.transactions = told.iter().map(|(_, (receipt, _))| transaction(receipt)).collect();
    block.transactions.dedup_by_key(|transaction| transaction.hash);
    Ok(())
}

fn keep_successful_calls(receipts: &[Receipt], block: &mut Block) {
    let succeeded = |hash: B256| receipts.iter().any(|one| one.transaction_hash == hash && one.status == Some(1));
    block.calls.retain(|call| succeeded(call.transaction_hash));
}

fn is_call(block: &Block, transaction: &Transaction) -> bool {
    block.calls.iter().any(|call| call.transaction_hash == transaction.hash)
}

fn transaction(receipt: &Receipt) -> Transaction {
    Transaction {
        hash: receipt.transaction_hash,
        sender: receipt.from,
        recipient: receipt.to,
        gas_used: receipt.gas_used,
        effective_gas_price_wei: receipt.effective_gas_price,
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
