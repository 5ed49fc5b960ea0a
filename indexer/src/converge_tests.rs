use alloy::primitives::keccak256;
use proptest::prelude::*;
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest, prop_state_machine};

use super::*;

/// A chain is its hashes by height; each hash covers the one before it, so two chains that agree at a height agree below it.
#[derive(Debug, Clone)]
struct Chain {
    start: u64,
    hashes: Vec<B256>,
    /// Blocks by which the node lags behind the chain.
    lag: usize,
}

impl Chain {
    fn genesis(start: u64) -> Self {
        Self { start, hashes: vec![keccak256(b"genesis")], lag: 0 }
    }

    fn grow(&mut self, blocks: usize, fork: u8) {
        for _ in 0..blocks {
            let parent = self.hashes[self.hashes.len() - 1];
            self.hashes.push(keccak256([parent.as_slice(), &[fork]].concat()));
        }
    }

    fn reorganise(&mut self, depth: usize, blocks: usize, fork: u8) {
        self.hashes.truncate((self.hashes.len() - depth.min(self.hashes.len() - 1)).max(1));
        self.grow(blocks, fork);
    }

    /// The newest block that the node shows.
    fn head(&self) -> BlockRef {
        let number = self.hashes.len() - 1 - self.lag.min(self.hashes.len() - 1);
        BlockRef { number: number as u64, hash: self.hashes[number] }
    }

    fn hash(&self, number: u64) -> Option<B256> {
        (number <= self.head().number).then(|| self.hashes[number as usize])
    }

    fn block(&self, number: u64) -> Option<BlockRef> {
        Some(BlockRef { number, hash: self.hash(number)? })
    }

    /// What the journal is to become.
    fn since_start(&self) -> Vec<BlockRef> {
        (self.start..=self.head().number).filter_map(|number| self.block(number)).collect()
    }
}

/// What may happen.
#[derive(Debug, Clone)]
enum Transition {
    /// The chain takes back blocks, and gets others.
    Reorganise { depth: usize, blocks: usize, fork: u8 },
    /// Another node answers, which may be behind.
    Lag(usize),
    /// The writer does one step, taking so many blocks at most.
    Step { span: usize },
    /// The same, but the writer dies before its commit, or does not get to know of it.
    Crash { span: usize, committed: bool },
    /// The writer goes on until there is nothing more to do.
    Settle { span: usize },
}

impl ReferenceStateMachine for Chain {
    type State = Self;
    type Transition = Transition;

    fn init_state() -> BoxedStrategy<Self> {
        (0u64..4).prop_map(Self::genesis).boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Transition> {
        // Few forks, so that one comes back after another.
        let reorganise = (0usize..12, 0usize..14, 0u8..3).prop_map(|(depth, blocks, fork)| Transition::Reorganise {
            depth,
            blocks,
            fork,
        });
        let span = || 1usize..9;
        prop_oneof![
            3 => reorganise,
            1 => (0usize..6).prop_map(Transition::Lag),
            4 => span().prop_map(|span| Transition::Step { span }),
            1 => (span(), any::<bool>()).prop_map(|(span, committed)| Transition::Crash { span, committed }),
            1 => span().prop_map(|span| Transition::Settle { span }),
        ]
        .boxed()
    }

    fn apply(mut chain: Self, transition: &Transition) -> Self {
        match *transition {
            Transition::Reorganise { depth, blocks, fork } => chain.reorganise(depth, blocks, fork),
            Transition::Lag(blocks) => chain.lag = blocks,
            _ => {}
        }
        chain
    }
}

/// An entry of the journal; a retraction names the position of what it takes back.
#[derive(Debug, Clone)]
struct Entry {
    block: BlockRef,
    retracts: Option<usize>,
    retracted: bool,
}

/// What is committed: entries in the order of their positions, and the blocks that stand, of which the last is the cursor.
#[derive(Debug, Clone, Default)]
struct Journal {
    entries: Vec<Entry>,
    canonical: Vec<BlockRef>,
}

impl Journal {
    /// One step as the writer does it.
    fn step(&mut self, chain: &Chain, span: usize) -> Plan {
        let (cursor, head) = (self.canonical.last().copied(), chain.head());
        let ours = self.canonical.iter().find(|block| block.number == head.number).map(|block| block.hash);
        let mut planned = plan(cursor, chain.start, head, ours);
        if let Plan::Take(range) = &planned {
            let parent = range.start().checked_sub(1).and_then(|number| chain.hash(number)).unwrap_or_default();
            if follows(cursor, parent) {
                range.clone().take(span).filter_map(|number| chain.block(number)).for_each(|block| self.commit(block));
            } else {
                planned = Plan::Rewind;
            }
        }
        if planned == Plan::Rewind {
            self.rewind(chain);
        }
        planned
    }

    /// A block has none to three entries.
    fn commit(&mut self, block: BlockRef) {
        let entries = usize::from(block.hash[31] % 4);
        self.entries.extend(std::iter::repeat_n(Entry { block, retracts: None, retracted: false }, entries));
        self.canonical.push(block);
    }

    fn rewind(&mut self, chain: &Chain) {
        let newest_first: Vec<BlockRef> = self.canonical.iter().rev().copied().collect();
        let theirs: Vec<Option<B256>> = newest_first.iter().map(|block| chain.hash(block.number)).collect();
        let fork = newest_common(&newest_first, &theirs).map(|fork| fork.number);
        let lost = |block: BlockRef| fork.is_none_or(|fork| block.number > fork);
        for place in (0..self.entries.len()).rev() {
            let entry = &mut self.entries[place];
            if entry.retracts.is_none() && !entry.retracted && lost(entry.block) {
                entry.retracted = true;
                let block = entry.block;
                self.entries.push(Entry { block, retracts: Some(place), retracted: false });
            }
        }
        self.canonical.retain(|block| !lost(*block));
    }

    /// Height of the block that comes next.
    fn next(&self, chain: &Chain) -> u64 {
        chain.start + self.canonical.len() as u64
    }

    fn settle(&mut self, chain: &Chain, span: usize) {
        let rests = (0..400).any(|_| self.step(chain, span) == Plan::Wait);
        assert!(rests, "the loop does not come to rest");
    }
}

struct Machine;

impl StateMachineTest for Machine {
    type SystemUnderTest = Journal;
    type Reference = Chain;

    fn init_test(_: &Chain) -> Journal {
        Journal::default()
    }

    fn apply(mut journal: Journal, chain: &Chain, transition: Transition) -> Journal {
        let before = journal.clone();
        match transition {
            Transition::Step { span } | Transition::Crash { span, committed: true } => drop(journal.step(chain, span)),
            Transition::Crash { span, committed: false } => {
                journal.step(chain, span);
                return before;
            }
            Transition::Settle { span } => {
                journal.settle(chain, span);
                // A node that lags behind the journal, on the same chain, is waited for.
                let common = journal.canonical.len().min(chain.since_start().len());
                let shown =
                    if chain.head().number + 1 < journal.next(chain) { common } else { journal.canonical.len() };
                assert_eq!(journal.canonical[..shown], chain.since_start());
            }
            Transition::Reorganise { .. } | Transition::Lag(_) => {}
        }
        let kept = before.entries.iter().zip(&journal.entries);
        assert!(kept.len() == before.entries.len(), "nothing that was told is untold");
        for (before, after) in kept {
            assert_eq!((before.block, before.retracts), (after.block, after.retracts));
            assert!(after.retracted || !before.retracted, "what was taken back stays so");
        }
        journal
    }

    /// Folded, the entries are those of the blocks that stand, each once and in order; and the blocks that stand follow each other.
    fn check_invariants(journal: &Journal, _: &Chain) {
        let mut standing = Vec::new();
        for (position, entry) in journal.entries.iter().enumerate() {
            match entry.retracts {
                None => standing.push((position, entry.block)),
                Some(retracted) => {
                    assert_eq!(standing.pop(), Some((retracted, entry.block)), "the newest is taken back first")
                }
            }
        }
        let expected =
            journal.canonical.iter().flat_map(|block| std::iter::repeat_n(*block, usize::from(block.hash[31] % 4)));
        assert!(standing.into_iter().map(|(_, block)| block).eq(expected));
        // A step changes no more than the newest.
        for pair in journal.canonical.windows(2).rev().take(10) {
            let forks = (0..3u8).map(|fork| keccak256([pair[0].hash.as_slice(), &[fork]].concat()));
            assert!(pair[1].number == pair[0].number + 1 && forks.into_iter().any(|hash| hash == pair[1].hash));
        }
    }
}

prop_state_machine! {
    #[test]
    fn whatever_the_chain_does_the_journal_becomes_the_chain(sequential 1..100 => Machine);
}

#[test]
fn a_node_that_lags_behind_the_cursor_on_the_same_chain_is_waited_for() {
    let mut chain = Chain::genesis(0);
    chain.grow(10, 0);
    let cursor = chain.head();
    let lagging = BlockRef { number: 6, hash: chain.hashes[6] };
    assert_eq!(plan(Some(cursor), 0, lagging, chain.hash(6)), Plan::Wait);
    let other = BlockRef { number: 6, hash: keccak256(b"other") };
    assert_eq!(plan(Some(cursor), 0, other, chain.hash(6)), Plan::Rewind);
}

#[test]
fn a_chain_below_the_start_block_is_waited_for() {
    let chain = Chain::genesis(0);
    assert_eq!(plan(None, 5, chain.head(), None), Plan::Wait);
}
