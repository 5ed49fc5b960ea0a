//! The clean index: what the chain holds, read anew and kept in memory.

use std::ops::RangeInclusive;

use alloy::primitives::B256;
use eyre::{Result, ensure};
use runproof_contracts::ContractKind;

use crate::{
    allowed_range::allowed_range,
    block::{Block, BlockRef},
    decode::{self, Item, Quarantined},
    error::IndexError,
    source::Source,
    span::Span,
};

/// Blocks of one request at most.
const SPAN: u64 = 500;

/// All that the contract did, as the chain tells it.
#[derive(Default)]
pub(super) struct Index {
    /// Every block, without its logs.
    pub(super) blocks: Vec<Block>,
    /// In the chain's order.
    pub(super) items: Vec<Item>,
    /// Likewise.
    pub(super) quarantined: Vec<Quarantined>,
}

impl Index {
    /// The last block.
    pub(super) fn tip(&self) -> Option<BlockRef> {
        self.blocks.last().map(Block::reference)
    }

    fn append(&mut self, kind: ContractKind, blocks: Vec<Block>) {
        let decoded = decode::decode(kind, &blocks);
        self.items.extend(decoded.items);
        self.quarantined.extend(decoded.quarantined);
        self.blocks.extend(blocks.into_iter().map(|block| Block { logs: Vec::new(), ..block }));
    }
}

/// Reads and checks the blocks of a range, which the node must have.
pub(super) async fn index(source: &Source, range: RangeInclusive<u64>) -> Result<Index> {
    let mut index = Index::default();
    let (mut next, last) = range.into_inner();
    let mut span = Span::new(SPAN);
    while next <= last {
        let end = last.min(next + span.blocks() - 1);
        let blocks = match source.blocks(next..=end).await {
            Ok(blocks) => blocks,
            // As the indexer does: a provider that refuses a range, or takes too long over it, may answer a smaller one.
            Err(error @ (IndexError::Refused { .. } | IndexError::Rpc { .. }))
                if span.refused(allowed_range(&error.to_string())) =>
            {
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        span.answered(0);
        let parent: Option<B256> = blocks.first().map(|block| block.parent_hash);
        let follows = index.tip().is_none_or(|tip| parent == Some(tip.hash));
        ensure!(follows, "the chain was reorganised while it was read: audit again");
        // Of a range that holds much, the first blocks come.
        next = blocks.last().map_or(end, |block| block.number) + 1;
        index.append(source.kind(), blocks);
    }
    Ok(index)
}
