use alloy::primitives::keccak256;
use proptest::prelude::*;

use super::*;

/// A chain is its hashes by height; each hash covers the one before it, so two chains that agree at a height agree below it.
#[derive(Debug, Clone)]
struct Chain(Vec<B256>);

impl Chain {
    fn genesis() -> Self {
        Self(vec![keccak256(b"genesis")])
    }

    fn grow(&mut self, blocks: usize, fork: u8) {
        for _ in 0..blocks {
            self.0.push(keccak256([self.head().hash.as_slice(), &[fork]].concat()));
        }
    }

    fn reorganise(&mut self, depth: usize, blocks: usize, fork: u8) {
        self.0.truncate((self.0.len() - depth.min(self.0.len() - 1)).max(1));
        self.grow(blocks, fork);
    }

    fn head(&self) -> BlockRef {
        BlockRef { number: self.0.len() as u64 - 1, hash: self.0[self.0.len() - 1] }
    }

    fn hash(&self, number: u64) -> Option<B256> {
        self.0.get(usize::try_from(number).ok()?).copied()
    }
}

/// One step as the writer does it, on a journal that is only the canonical blocks from `start` on.
fn step(journal: &mut Vec<BlockRef>, chain: &Chain, start: u64, span: usize) -> Plan {
    let cursor = journal.last().copied();
    let ours = cursor.and_then(|_| journal.iter().find(|block| block.number == chain.head().number)).map(|b| b.hash);
    let mut planned = plan(cursor, start, chain.head(), ours);
    if let Plan::Take(range) = &planned {
        let parent = range.start().checked_sub(1).and_then(|number| chain.hash(number)).unwrap_or_default();
        if follows(cursor, parent) {
            journal.extend(
                range.clone().take(span).filter_map(|number| Some(BlockRef { number, hash: chain.hash(number)? })),
            );
        } else {
            planned = Plan::Rewind;
        }
    }
    if planned == Plan::Rewind {
        let newest_first: Vec<BlockRef> = journal.iter().rev().copied().collect();
        let theirs: Vec<Option<B256>> = newest_first.iter().map(|block| chain.hash(block.number)).collect();
        let fork = newest_common(&newest_first, &theirs);
        journal.retain(|block| fork.is_some_and(|fork| block.number <= fork.number));
    }
    planned
}

fn settle(journal: &mut Vec<BlockRef>, chain: &Chain, start: u64, span: usize) {
    let steps = (0..200).find(|_| step(journal, chain, start, span) == Plan::Wait);
    assert!(steps.is_some(), "the loop does not come to rest");
}

proptest! {
    #[test]
    fn whatever_the_chain_does_the_journal_becomes_the_chain(
        start in 0u64..4,
        changes in prop::collection::vec((0usize..12, 0usize..14, 0u8..3, 1usize..9, any::<bool>()), 1..20),
    ) {
        let (mut chain, mut journal) = (Chain::genesis(), Vec::new());
        for (depth, blocks, fork, span, rest) in changes {
            chain.reorganise(depth, blocks, fork);
            // The chain changes again while the journal is still on its way, or not.
            if rest { settle(&mut journal, &chain, start, span) } else { step(&mut journal, &chain, start, span); }
        }
        chain.grow(14, 9);
        settle(&mut journal, &chain, start, 5);
        let expected: Vec<BlockRef> = (start..=chain.head().number).filter_map(|number| Some(BlockRef { number, hash: chain.hash(number)? })).collect();
        prop_assert_eq!(journal, expected);
    }
}

#[test]
fn a_node_that_lags_behind_the_cursor_on_the_same_chain_is_waited_for() {
    let mut chain = Chain::genesis();
    chain.grow(10, 0);
    let cursor = chain.head();
    let lagging = BlockRef { number: 6, hash: chain.0[6] };
    assert_eq!(plan(Some(cursor), 0, lagging, chain.hash(6)), Plan::Wait);
    let other = BlockRef { number: 6, hash: keccak256(b"other") };
    assert_eq!(plan(Some(cursor), 0, other, chain.hash(6)), Plan::Rewind);
}

#[test]
fn a_chain_below_the_start_block_is_waited_for() {
    let chain = Chain::genesis();
    assert_eq!(plan(None, 5, chain.head(), None), Plan::Wait);
}
