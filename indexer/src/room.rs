//! What blocks take of memory, so that a range ends where it has taken enough, whatever a chain holds.

use alloy::{rpc::types::Log, sol_types::SolEvent};
use runproof_contracts::InstanceRegistry::StatesRegistered;

use crate::{block::Block, decode::Item};

/// Bytes that the blocks of a range and what is decoded from them may take together, about. Two ranges are held at a time.
pub const RANGE_BYTES: usize = 48 << 20;
/// A state of a batch is one word of the log's data, and an entry of its own.
const WORD: usize = 32;
/// Words of such a log beside states and predecessors: first, head, and where each of the two lists begins and how long it is.
const FRAME: usize = 6;

/// What is left of it.
#[derive(Debug)]
pub(crate) struct Room {
    left_bytes: usize,
}

impl Room {
    /// For so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left_bytes: bytes }
    }

    /// Takes a block in, whether it fits or not.
    pub(crate) fn take_in(&mut self, block: &Block) {
        self.left_bytes = self.left_bytes.saturating_sub(bytes(block));
    }

    /// Takes blocks in until it is full. Returns how many.
    pub(crate) fn take_in_all(&mut self, blocks: &[Block]) -> usize {
        let taken = blocks.iter().take_while(|block| {
            let fits = !self.is_full();
            self.take_in(block);
            fits
        });
        taken.count()
    }

    /// Whether there is room for nothing more.
    pub(crate) fn is_full(&self) -> bool {
        self.left_bytes == 0
    }
}

/// Of a block and of the entries that its logs become. Endpoints that have the same block count the same.
fn bytes(block: &Block) -> usize {
    let calls = block.calls.iter().map(|call| size_of_val(call) + size_of::<Item>() + call.input.len());
    let transactions = size_of_val(block.transactions.as_slice());
    size_of::<Block>() + transactions + block.logs.iter().map(log_bytes).chain(calls).sum::<usize>()
}

fn log_bytes(log: &Log) -> usize {
    let data_bytes = log.inner.data.data.len();
    let entries = match log.topic0() {
        Some(topic) if *topic == StatesRegistered::SIGNATURE_HASH => (data_bytes / WORD).saturating_sub(FRAME).max(1),
        _ => 1,
    };
    size_of::<Log>() + size_of_val(log.topics()) + data_bytes + entries * size_of::<Item>()
}
