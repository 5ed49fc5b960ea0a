//! Whether what a journal says of safe and finalized blocks can be so. Pure.
//!
//! When a promotion was seen cannot be found out afterwards, so a clean index has none to compare with. What can be held against the chain: each
//! names a block of it, no later one than the chain's own tags, and a level only goes on, but for retractions, which finality does not know.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use runproof_protocol::event::{Event, JournalEntry};

use super::{
    ledger::Judged,
    report::{Difference, Place},
};
use crate::block::{Block, BlockRef, Head};

/// What the chain says.
pub(super) struct Canonical {
    hashes: BTreeMap<u64, B256>,
    safe: Option<BlockRef>,
    finalized: Option<BlockRef>,
}

impl Canonical {
    /// Blocks in any order, and the tags as they are now.
    pub(super) fn new(blocks: &[Block], head: &Head) -> Self {
        let hashes = blocks.iter().map(|block| (block.number, block.hash)).collect();
        Self { hashes, safe: head.safe, finalized: head.finalized }
    }

    fn tag(&self, event: &Event) -> Option<u64> {
        let tag = if *event == Event::BlockFinalized { self.finalized } else { self.safe };
        tag.map(|tag| tag.number)
    }
}

/// Judges the promotions among `entries`, which are in order.
pub(super) fn judge(place: Place, entries: &[JournalEntry], canonical: &Canonical) -> Judged {
    let mut judged = Judged::default();
    let mut standing: BTreeMap<u64, &JournalEntry> = BTreeMap::new();
    for entry in entries.iter().filter(|entry| entry.event.is_promotion()) {
        let wrong = match &entry.retraction {
            None => {
                let before = newest(&standing, &entry.event);
                standing.insert(entry.position, entry);
                before
                    .filter(|before| *before >= entry.origin.block_number)
                    .map(|before| format!("above block {before}"))
            }
            Some(_) if entry.event == Event::BlockFinalized => Some("no retraction of what was final".into()),
            Some(retraction) => {
                standing.remove(&retraction.position);
                None
            }
        };
        judged.name(place, entry, wrong);
    }
    for entry in standing.into_values() {
        let number = entry.origin.block_number;
        let hash = canonical.hashes.get(&number);
        let another = (hash != Some(&entry.origin.block_hash))
            .then(|| hash.map_or("a block of the chain".to_owned(), |hash| format!("block {number} {hash}")));
        let tag = canonical.tag(&entry.event);
        let beyond = (tag < Some(number)).then(|| match tag {
            Some(tag) => format!("at most block {tag}"),
            None => "none: the chain has no such tag".into(),
        });
        judged.name(place, entry, another.or(beyond));
    }
    judged
}

/// The newest block that has an event's level.
fn newest(standing: &BTreeMap<u64, &JournalEntry>, event: &Event) -> Option<u64> {
    standing.values().rev().find(|entry| entry.event == *event).map(|entry| entry.origin.block_number)
}

impl Judged {
    /// Names an entry if something else is expected of it, once.
    fn name(&mut self, place: Place, entry: &JournalEntry, expected: Option<String>) {
        let Some(expected) = expected.filter(|_| self.positions.insert(entry.position)) else { return };
        let at = format!("position {}", entry.position);
        let found = format!("{} {} {}", entry.event.kind(), entry.origin.block_number, entry.origin.block_hash);
        self.differences.push(Difference::new(place, at, Some(expected), Some(found)));
    }
}

#[cfg(test)]
#[path = "finality_tests.rs"]
mod tests;
