//! A chain full of registrations, as the answers that a node would give about it: real header hashes, blooms and receipts roots.
//!
//! Built once and kept in a folder: `answers` holds the JSON of all blocks one after another, `index.json` where each begins.

mod block;
mod runs;

use std::{
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256, address};
use block::Built;
use clap::{Args, ValueEnum};
use eyre::{Context, Result};
use runproof_protocol::head::Registry;
use runs::Runs;
use serde::{Deserialize, Serialize};

/// The contract, on a chain of its own.
pub const REGISTRY: Registry =
    Registry { chain_id: 7_264_017, address: address!("0x00000000000000000000000000000000000c0de5") };
/// Events a block of the live part, one load after another.
pub const LOADS: [u64; 3] = [1, 100, 5_000];
const ISSUER: Address = address!("0x00000000000000000000000000000000000155e3");
const GENESIS_TIMESTAMP_S: u64 = 1_700_000_000;

/// How events are spread over logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shape {
    /// One a log and a transaction, as the paper's contract emits them.
    Single,
    /// The states of a block in one log.
    Batched,
}

/// What is built.
#[derive(Debug, Clone, Copy, Args)]
pub struct Recipe {
    /// How events are spread over logs
    #[arg(long)]
    pub shape: Shape,
    /// Events of the history
    #[arg(long)]
    pub events: u64,
    /// Blocks that hold them, after the empty block 0
    #[arg(long)]
    pub blocks: u64,
    /// Blocks of each of [`LOADS`] after the history
    #[arg(long)]
    pub live_blocks: u64,
}

/// Where a block's answers lie in the file, offset and length in bytes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Answers {
    /// Its hash.
    pub hash: B256,
    /// `eth_getBlockByNumber` with hashes of transactions.
    pub block: (u64, usize),
    /// `eth_getBlockByNumber` with whole transactions.
    pub whole: (u64, usize),
    /// `eth_getLogs`, without the brackets.
    pub logs: (u64, usize),
    /// `eth_getBlockReceipts`.
    pub receipts: (u64, usize),
}

impl Recipe {
    /// As a program of the benchmark is told it.
    pub fn arguments(&self) -> Vec<String> {
        let Self { shape, events, blocks, live_blocks } = self;
        let shape = format!("{shape:?}").to_lowercase();
        let (events, blocks, live_blocks) = (events.to_string(), blocks.to_string(), live_blocks.to_string());
        let pairs = [("--shape", shape), ("--events", events), ("--blocks", blocks), ("--live-blocks", live_blocks)];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    /// The folder that holds the chain; built if it is not there yet.
    pub fn build(&self, cache: &Path) -> Result<PathBuf> {
        let Self { shape, events, blocks, live_blocks } = self;
        let name = format!("{shape:?}-{events}-{blocks}-{live_blocks}").to_lowercase();
        let folder = cache.join("chains").join(&name);
        if folder.join("index.json").exists() {
            return Ok(folder);
        }
        let unfinished = folder.with_extension("unfinished");
        fs::create_dir_all(&unfinished).wrap_err_with(|| format!("creating {}", unfinished.display()))?;
        let mut out = BufWriter::with_capacity(1 << 20, File::create(unfinished.join("answers"))?);
        let (mut index, mut runs, mut parent, mut offset) = (Vec::new(), Runs::default(), B256::ZERO, 0);
        for number in 0..=self.last_block() {
            let block = Built::new(number, parent, runs.logs(self, number));
            parent = block.hash();
            index.push(block.write(&mut out, &mut offset)?);
        }
        out.flush()?;
        fs::write(unfinished.join("index.json"), serde_json::to_vec(&index)?)?;
        fs::rename(&unfinished, &folder)?;
        Ok(folder)
    }

    /// Number of the last block.
    pub fn last_block(&self) -> u64 {
        self.blocks + self.live_blocks * LOADS.len() as u64
    }

    /// Events up to a block, which is the position of its last one in the journal.
    pub fn events_until(&self, number: u64) -> u64 {
        let history = u128::from(self.events) * u128::from(number.min(self.blocks)) / u128::from(self.blocks.max(1));
        let live = number.saturating_sub(self.blocks);
        let taken = |nth: usize| live.saturating_sub(nth as u64 * self.live_blocks).min(self.live_blocks);
        let live: u64 = LOADS.iter().enumerate().map(|(nth, load)| load * taken(nth)).sum();
        u64::try_from(history).unwrap_or(self.events) + live
    }
}

/// Time of a block.
fn timestamp_s(number: u64) -> u64 {
    GENESIS_TIMESTAMP_S + 12 * number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_follow_the_history() {
        let recipe = Recipe { shape: Shape::Single, events: 10, blocks: 4, live_blocks: 2 };
        let until: Vec<u64> = (0..=recipe.last_block()).map(|number| recipe.events_until(number)).collect();
        assert_eq!(until, [0, 2, 5, 7, 10, 11, 12, 112, 212, 5_212, 10_212]);
    }
}
