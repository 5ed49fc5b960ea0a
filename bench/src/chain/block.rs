//! A block with its transactions and receipts, as a node answers it.

use std::io::Write;

use alloy::{
    consensus::{
        Eip658Value, Header as Fields, Receipt, ReceiptEnvelope, ReceiptWithBloom, Signed, TxEip1559, TxEnvelope,
        proofs::calculate_receipt_root, transaction::Recovered,
    },
    primitives::{B256, Bloom, LogData, Signature, U256, keccak256},
    rpc::types::{Block, BlockTransactions, Header, Log, Transaction, TransactionReceipt},
};
use eyre::Result;

use super::{Answers, ISSUER, REGISTRY, timestamp_s};

const GAS: u64 = 54_771;
const GAS_PRICE_WEI: u128 = 1_000_000_007;

/// What is told of a block.
pub(super) struct Built {
    header: Header,
    receipts: Vec<TransactionReceipt>,
}

impl Built {
    /// Each log in a transaction of its own.
    pub(super) fn new(number: u64, parent_hash: B256, logs: Vec<LogData>) -> Self {
        let consensus: Vec<ReceiptEnvelope> = (1..).zip(&logs).map(|(nth, log)| envelope(nth, log.clone())).collect();
        let logs_bloom = consensus.iter().fold(Bloom::ZERO, |bloom, receipt| bloom | *receipt.logs_bloom());
        let fields = Fields {
            number,
            parent_hash,
            logs_bloom,
            receipts_root: calculate_receipt_root(&consensus),
            timestamp: timestamp_s(number),
            gas_limit: 60_000_000,
            gas_used: GAS * logs.len() as u64,
            base_fee_per_gas: Some(7),
            ..Fields::default()
        };
        let header = Header { size: Some(U256::ONE), ..Header::new(fields) };
        let receipts = (0..).zip(consensus).map(|(index, receipt)| answered(&header, index, receipt)).collect();
        Self { header, receipts }
    }

    /// Its hash.
    pub(super) fn hash(&self) -> B256 {
        self.header.hash
    }

    /// Appends its answers.
    pub(super) fn write(self, out: &mut impl Write, offset: &mut u64) -> Result<Answers> {
        let mut append = |json: &[u8]| -> Result<(u64, usize)> {
            let at = (*offset, json.len());
            out.write_all(json)?;
            *offset += json.len() as u64;
            Ok(at)
        };
        let logs: Vec<&Log> = self.receipts.iter().flat_map(|receipt| receipt.inner.logs()).collect();
        let logs = serde_json::to_vec(&logs)?;
        let hashes = self.receipts.iter().map(|receipt| receipt.transaction_hash).collect();
        let block: Block<B256> = Block::new(self.header.clone(), BlockTransactions::Hashes(hashes));
        let transactions = self.receipts.iter().map(transaction).collect();
        let whole: Block = Block::new(self.header, BlockTransactions::Full(transactions));
        Ok(Answers {
            hash: whole.header.hash,
            receipts: append(&serde_json::to_vec(&self.receipts)?)?,
            block: append(&serde_json::to_vec(&block)?)?,
            whole: append(&serde_json::to_vec(&whole)?)?,
            logs: append(&logs[1..logs.len() - 1])?,
        })
    }
}

fn envelope(nth: u64, data: LogData) -> ReceiptEnvelope {
    let logs = vec![alloy::primitives::Log { address: REGISTRY.address, data }];
    let receipt = Receipt { status: Eip658Value::success(), cumulative_gas_used: GAS * nth, logs };
    ReceiptEnvelope::Eip1559(ReceiptWithBloom::from(receipt))
}

/// What was sent: calldata as long as what it registers, and a signature that nobody recovers.
fn transaction(receipt: &TransactionReceipt) -> Transaction {
    let fields = TxEip1559 {
        chain_id: REGISTRY.chain_id,
        nonce: receipt.transaction_index.unwrap_or_default(),
        gas_limit: GAS,
        max_fee_per_gas: GAS_PRICE_WEI,
        to: REGISTRY.address.into(),
        input: receipt.inner.logs().iter().flat_map(|log| log.data().data.to_vec()).collect::<Vec<_>>().into(),
        ..TxEip1559::default()
    };
    let signature = Signature::new(U256::ONE, U256::ONE, false);
    let signed = TxEnvelope::Eip1559(Signed::new_unchecked(fields, signature, receipt.transaction_hash));
    Transaction {
        inner: Recovered::new_unchecked(signed, ISSUER),
        block_hash: receipt.block_hash,
        block_number: receipt.block_number,
        transaction_index: receipt.transaction_index,
        effective_gas_price: Some(GAS_PRICE_WEI),
        block_timestamp: None,
    }
}

fn answered(header: &Header, index: u64, receipt: ReceiptEnvelope) -> TransactionReceipt {
    let transaction_hash = keccak256([header.hash.as_slice(), &index.to_be_bytes()].concat());
    let placed = |inner| Log {
        inner,
        block_hash: Some(header.hash),
        block_number: Some(header.inner.number),
        block_timestamp: Some(header.inner.timestamp),
        transaction_hash: Some(transaction_hash),
        transaction_index: Some(index),
        log_index: Some(index),
        removed: false,
    };
    TransactionReceipt {
        inner: receipt.map_logs(placed),
        transaction_hash,
        transaction_index: Some(index),
        block_hash: Some(header.hash),
        block_number: Some(header.inner.number),
        gas_used: GAS,
        effective_gas_price: GAS_PRICE_WEI,
        blob_gas_used: None,
        blob_gas_price: None,
        from: ISSUER,
        to: Some(REGISTRY.address),
        contract_address: None,
    }
}
