//! A chain full of registrations, as the answers that a node would give about it: real header hashes, blooms and receipts roots.
//!
//! Built once and kept in a folder: `answers` holds the JSON of all blocks one after another, `index.json` where each begins.

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use alloy::{
    consensus::{
        Eip658Value, Header as Fields, Receipt, ReceiptEnvelope, ReceiptWithBloom, proofs::calculate_receipt_root,
    },
    primitives::{Address, B256, Bloom, LogData, U256, address, b256, keccak256},
    rpc::types::{Block, BlockTransactions, Header, Log, TransactionReceipt},
    sol_types::SolEvent,
};
use clap::ValueEnum;
use eyre::{Context, Result};
use runproof_contracts::InstanceRegistry::{InstanceRegistered, StatesRegistered};
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    head::{self, Batch, Registry},
};
use serde::{Deserialize, Serialize};

/// The contract, on a chain of its own.
pub const REGISTRY: Registry =
    Registry { chain_id: 7_264_017, address: address!("0x00000000000000000000000000000000000c0de5") };
const ISSUER: Address = address!("0x00000000000000000000000000000000000155e3");
const MODEL: ModelId = ModelId(b256!("0x6d6f64656c000000000000000000000000000000000000000000000000000000"));
const GENESIS_TIMESTAMP_S: u64 = 1_700_000_000;
const GAS: u64 = 54_771;
const GAS_PRICE_WEI: u128 = 1_000_000_007;

/// How events are spread over logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One a log and a transaction, as the paper's contract emits them.
    Single,
    /// The states of a block in one log.
    Batched,
}

/// What is built.
#[derive(Debug, Clone, Copy)]
pub struct Recipe {
    /// Spread over logs.
    pub shape: Shape,
    /// Events in all.
    pub events: u64,
    /// Blocks that hold them, after the empty block 0.
    pub blocks: u64,
}

/// Where a block's answers lie in the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answers {
    /// Its hash.
    pub hash: B256,
    /// `eth_getBlockByNumber`, offset and length in bytes.
    pub block: (u64, usize),
    /// `eth_getLogs`, without the brackets.
    pub logs: (u64, usize),
    /// `eth_getBlockReceipts`.
    pub receipts: (u64, usize),
}

impl Recipe {
    /// The folder that holds the chain; built if it is not there yet.
    pub fn build(&self, cache: &Path) -> Result<PathBuf> {
        let name = format!("{:?}-{}-{}", self.shape, self.events, self.blocks).to_lowercase();
        let folder = cache.join(&name);
        if folder.join("index.json").exists() {
            return Ok(folder);
        }
        let unfinished = cache.join(format!("{name}.unfinished"));
        fs::create_dir_all(&unfinished).wrap_err_with(|| format!("creating {}", unfinished.display()))?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(unfinished.join("answers"))?);
        let (mut index, mut runs, mut parent, mut offset) = (Vec::new(), Runs::default(), B256::ZERO, 0);
        for number in 0..=self.blocks {
            let logs = runs.logs(self, number);
            let block = Built::new(number, parent, logs);
            parent = block.header.hash;
            index.push(block.write(&mut out, &mut offset)?);
        }
        out.flush()?;
        fs::write(unfinished.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::rename(&unfinished, &folder)?;
        Ok(folder)
    }

    fn run_length(&self) -> u64 {
        match self.shape {
            Shape::Single => 100,
            Shape::Batched => 2_500,
        }
    }
}

/// Time of a block.
fn timestamp_s(number: u64) -> u64 {
    GENESIS_TIMESTAMP_S + 12 * number
}

/// Runs one after another; the first event of each is its registration.
#[derive(Default)]
struct Runs {
    events: u64,
    head: B256,
    issuer_head: B256,
}

impl Runs {
    /// The logs of the next block, each of a transaction of its own.
    fn logs(&mut self, recipe: &Recipe, number: u64) -> Vec<LogData> {
        let until = u64::try_from(u128::from(recipe.events) * u128::from(number) / u128::from(recipe.blocks.max(1)))
            .unwrap_or(recipe.events);
        let mut logs = Vec::new();
        while self.events < until {
            let (ordinal, place) = (self.events / recipe.run_length(), self.events % recipe.run_length());
            let instance = InstanceId(keccak256(ordinal.to_be_bytes()));
            if place == 0 {
                logs.push(self.instance(instance, ordinal));
                continue;
            }
            let longest = match recipe.shape {
                Shape::Single => 1,
                Shape::Batched => recipe.run_length() - place,
            };
            logs.push(self.states(instance, place - 1, longest.min(until - self.events), number));
        }
        logs
    }

    fn instance(&mut self, instance: InstanceId, ordinal: u64) -> LogData {
        self.events += 1;
        self.head = head::genesis(REGISTRY, ISSUER, instance, MODEL, ordinal);
        self.issuer_head = keccak256([self.issuer_head, self.head].concat());
        InstanceRegistered {
            issuer: ISSUER,
            instance: instance.0,
            model: MODEL.0,
            ordinal: U256::from(ordinal).to(),
            head: self.head,
            issuerHead: self.issuer_head,
        }
        .encode_log_data()
    }

    fn states(&mut self, instance: InstanceId, first: u64, count: u64, block_number: u64) -> LogData {
        let states: Vec<StateId> =
            (self.events..self.events + count).map(|n| StateId(keccak256(n.to_le_bytes()))).collect();
        self.events += count;
        let words = states.iter().map(|state| state.0).collect();
        let batch =
            Batch { first, states, predecessors: vec![], block_number, block_timestamp_s: timestamp_s(block_number) };
        self.head = head::extend(self.head, &batch);
        StatesRegistered {
            issuer: ISSUER,
            instance: instance.0,
            first,
            head: self.head,
            states: words,
            predecessors: Default::default(),
        }
        .encode_log_data()
    }
}

/// A block with its receipts.
struct Built {
    header: Header,
    receipts: Vec<TransactionReceipt>,
}

impl Built {
    fn new(number: u64, parent_hash: B256, logs: Vec<LogData>) -> Self {
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
        let header = Header::new(fields);
        let receipts = (0..).zip(consensus).map(|(index, receipt)| answered(&header, index, receipt)).collect();
        Self { header, receipts }
    }

    fn write(self, out: &mut impl Write, offset: &mut u64) -> Result<Answers> {
        let mut append = |json: &[u8]| -> Result<(u64, usize)> {
            let at = (*offset, json.len());
            out.write_all(json)?;
            *offset += json.len() as u64;
            Ok(at)
        };
        let hash = self.header.hash;
        let logs: Vec<&Log> = self.receipts.iter().flat_map(|receipt| receipt.inner.logs()).collect();
        let logs = serde_json::to_vec(&logs)?;
        let receipts = append(&serde_json::to_vec(&self.receipts)?)?;
        let transactions = self.receipts.iter().map(|receipt| receipt.transaction_hash).collect();
        let block: Block<B256> = Block::new(self.header, BlockTransactions::Hashes(transactions));
        let block = append(&serde_json::to_vec(&block)?)?;
        Ok(Answers { hash, block, logs: append(&logs[1..logs.len() - 1])?, receipts })
    }
}

fn envelope(nth: u64, data: LogData) -> ReceiptEnvelope {
    let logs = vec![alloy::primitives::Log { address: REGISTRY.address, data }];
    let receipt = Receipt { status: Eip658Value::success(), cumulative_gas_used: GAS * nth, logs };
    ReceiptEnvelope::Eip1559(ReceiptWithBloom::from(receipt))
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
