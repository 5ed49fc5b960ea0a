//! Logs and receipts as nodes answer them, read without what the indexer does not use.
//!
//! They are most of what a back-fill reads, and the general types of an Ethereum library take twice as long to read: they keep every field, and
//! find out by trial which kind of transaction it is.

use std::fmt;

use alloy::{
    consensus::proofs::ordered_trie_root_with_encoder,
    primitives::{Address, B256, Bloom, Bytes, LogData},
    rlp::{BufMut, Encodable, Header as RlpHeader},
    rpc::types::Log,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error, Unexpected, Visitor},
};

/// A receipt of `eth_getBlockReceipts`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// Kind of transaction (EIP-2718), 0 for those from before there were kinds.
    #[serde(rename = "type", default, deserialize_with = "quantity")]
    pub kind: u8,
    /// 1 if the transaction succeeded (EIP-658).
    #[serde(default, deserialize_with = "optional_quantity")]
    pub status: Option<u8>,
    /// What receipts had before EIP-658 instead of a status.
    #[serde(default)]
    pub root: Option<B256>,
    /// Gas used in the block so far.
    #[serde(deserialize_with = "quantity")]
    pub cumulative_gas_used: u64,
    /// Of the logs.
    pub logs_bloom: Box<Bloom>,
    /// What was emitted, in order.
    pub logs: Vec<ReceiptLog>,
    /// Its transaction.
    pub transaction_hash: B256,
    /// Its block.
    pub block_hash: B256,
    /// Who sent the transaction.
    pub from: Address,
    /// To whom; `None` if it created a contract.
    pub to: Option<Address>,
    /// Gas used by this transaction.
    #[serde(deserialize_with = "quantity")]
    pub gas_used: u64,
    /// Price paid, wei for each gas.
    #[serde(default, deserialize_with = "quantity")]
    pub effective_gas_price: u128,
}

/// What a log in a receipt says by itself; its place follows from the receipt's.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ReceiptLog {
    /// The contract that emitted it.
    pub address: Address,
    /// Event signature and indexed parameters.
    pub topics: Vec<B256>,
    /// The other parameters.
    pub data: Bytes,
}

/// A log of `eth_getLogs`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PlacedLog {
    address: Address,
    topics: Vec<B256>,
    data: Bytes,
    block_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional_quantity")]
    block_number: Option<u64>,
    transaction_hash: Option<B256>,
    #[serde(default, deserialize_with = "optional_quantity")]
    log_index: Option<u64>,
    #[serde(default)]
    removed: bool,
}

impl From<PlacedLog> for Log {
    fn from(log: PlacedLog) -> Self {
        Self {
            inner: inner(log.address, log.topics, log.data),
            block_hash: log.block_hash,
            block_number: log.block_number,
            transaction_hash: log.transaction_hash,
            log_index: log.log_index,
            removed: log.removed,
            ..Self::default()
        }
    }
}

impl ReceiptLog {
    /// The log as `eth_getLogs` would tell it; `log_index` counts from the block's first.
    pub(crate) fn placed(self, transaction_hash: B256, block_hash: B256, block_number: u64, log_index: u64) -> Log {
        Log {
            inner: inner(self.address, self.topics, self.data),
            block_hash: Some(block_hash),
            block_number: Some(block_number),
            transaction_hash: Some(transaction_hash),
            log_index: Some(log_index),
            ..Log::default()
        }
    }

    /// Whether it says the same, wherever it stands.
    pub(crate) fn says(&self, log: &Log) -> bool {
        self.address == log.address() && self.topics == log.topics() && self.data == log.inner.data.data
    }
}

fn inner(address: Address, topics: Vec<B256>, data: Bytes) -> alloy::primitives::Log {
    alloy::primitives::Log { address, data: LogData::new_unchecked(topics, data) }
}

/// The root of the receipts' trie, which the block's header carries (Yellow Paper, 4.4.1; EIP-2718).
pub fn root(receipts: &[Receipt]) -> B256 {
    ordered_trie_root_with_encoder(receipts, |receipt, buffer| {
        if receipt.kind != 0 {
            buffer.put_u8(receipt.kind);
        }
        receipt.encode(buffer);
    })
}

impl Encodable for Receipt {
    fn encode(&self, out: &mut dyn BufMut) {
        let logs = RlpHeader { list: true, payload_length: self.logs.iter().map(Encodable::length).sum() };
        let status: &dyn Encodable = match (&self.root, &self.status) {
            (Some(root), None) => root,
            (_, status) => &(*status == Some(1)),
        };
        let payload_length = status.length()
            + self.cumulative_gas_used.length()
            + self.logs_bloom.length()
            + logs.length()
            + logs.payload_length;
        RlpHeader { list: true, payload_length }.encode(out);
        status.encode(out);
        self.cumulative_gas_used.encode(out);
        self.logs_bloom.encode(out);
        logs.encode(out);
        self.logs.iter().for_each(|log| log.encode(out));
    }
}

impl Encodable for ReceiptLog {
    fn encode(&self, out: &mut dyn BufMut) {
        let payload_length = self.address.length() + self.topics.length() + self.data.length();
        RlpHeader { list: true, payload_length }.encode(out);
        self.address.encode(out);
        self.topics.encode(out);
        self.data.encode(out);
    }

    fn length(&self) -> usize {
        let payload_length = self.address.length() + self.topics.length() + self.data.length();
        RlpHeader { list: true, payload_length }.length_with_payload()
    }
}

/// A number as JSON-RPC writes it: `0x` and hexadecimal digits.
fn quantity<'de, D: Deserializer<'de>, N: TryFrom<u128>>(deserializer: D) -> Result<N, D::Error> {
    let Digits(number) = Digits::deserialize(deserializer)?;
    N::try_from(number).map_err(|_| D::Error::custom(format_args!("{number:#x} is too large")))
}

fn optional_quantity<'de, D: Deserializer<'de>, N: TryFrom<u128>>(deserializer: D) -> Result<Option<N>, D::Error> {
    let digits = Option::<Digits>::deserialize(deserializer)?;
    digits.map(|Digits(number)| N::try_from(number).map_err(|_| D::Error::custom("a number is too large"))).transpose()
}

struct Digits(u128);

impl<'de> Deserialize<'de> for Digits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(DigitsVisitor)
    }
}

struct DigitsVisitor;

impl Visitor<'_> for DigitsVisitor {
    type Value = Digits;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("0x and hexadecimal digits")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Digits, E> {
        let digits = text.strip_prefix("0x").filter(|digits| !digits.starts_with('+'));
        let number = digits.and_then(|digits| u128::from_str_radix(digits, 16).ok());
        number.map(Digits).ok_or_else(|| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
#[path = "receipt_tests.rs"]
mod tests;
