use alloy::primitives::{Address, B256};
use proptest::prelude::*;
use runproof_protocol::{
    ModelId,
    event::{self, Retraction},
};

use super::*;

/// The nth model of a chain that has one a block.
fn item(n: u8, fork: u8) -> Item {
    let block_hash = B256::repeat_byte(fork.wrapping_mul(100).wrapping_add(n));
    let origin = Origin {
        block_number: n.into(),
        block_hash,
        block_timestamp_s: 0,
        place: Some(event::Place { transaction_hash: block_hash, log_index: Some(0), item_index: 0 }),
    };
    Item { origin, event: Event::ModelRegistered { issuer: Address::ZERO, model: ModelId(block_hash) } }
}

/// A journal that saw `stale` on a fork, took it back and took `good` instead, after a beginning that both share.
fn journal(shared: u8, stale: u8, good: u8) -> (Vec<JournalEntry>, Vec<Item>) {
    let entry = |position: usize, item: &Item, retraction| JournalEntry {
        position: position as u64,
        retraction,
        event: item.event.clone(),
        origin: item.origin,
    };
    let chain: Vec<Item> = (1..=shared).map(|n| item(n, 0)).chain((1..=good).map(|n| item(shared + n, 1))).collect();
    let fork: Vec<Item> = (1..=stale).map(|n| item(shared + n, 0)).collect();
    let mut entries: Vec<JournalEntry> = Vec::new();
    for item in chain[..shared.into()].iter().chain(&fork) {
        entries.push(entry(entries.len() + 1, item, None));
    }
    for (back, item) in fork.iter().enumerate().rev() {
        let position = u64::from(shared) + back as u64 + 1;
        let retraction = Retraction { position, reason: "gone".into(), replaced_by: None };
        entries.push(entry(entries.len() + 1, item, Some(retraction)));
    }
    for item in &chain[shared.into()..] {
        entries.push(entry(entries.len() + 1, item, None));
    }
    (entries, chain)
}

fn judged(entries: &[JournalEntry], last: usize, chain: &[Item]) -> Judged {
    judge(Place::Postgres, entries, last as u64, chain)
}

proptest! {
    #[test]
    fn a_journal_that_comes_to_the_chain_has_no_differences(shared in 0u8..20, stale in 0u8..20, good in 0u8..20) {
        let (entries, chain) = journal(shared, stale, good);
        prop_assert!(judged(&entries, entries.len(), &chain).differences.is_empty());
    }

    #[test]
    fn a_standing_entry_that_is_gone_is_named_once(shared in 1u8..20, stale in 0u8..20, good in 0u8..20, which in any::<prop::sample::Index>()) {
        let (mut entries, chain) = journal(shared, stale, good);
        let gone = entries.remove(which.index(shared.into()));
        let judged = judged(&entries, entries.len() + 1, &chain);
        prop_assert_eq!(judged.differences.len(), 1, "{:?}", judged.differences);
        prop_assert_eq!(judged.positions, BTreeSet::from([gone.position]));
        prop_assert!(judged.differences[0].found.is_none());
    }

    #[test]
    fn an_altered_entry_is_named_once(shared in 1u8..20, good in 0u8..20, which in any::<prop::sample::Index>()) {
        let (mut entries, chain) = journal(shared, 0, good);
        let altered = which.index(entries.len());
        entries[altered].event = Event::ModelRegistered { issuer: Address::ZERO, model: ModelId(B256::repeat_byte(0xff)) };
        let judged = judged(&entries, entries.len(), &chain);
        prop_assert_eq!(judged.differences.len(), 1);
        prop_assert_eq!(judged.positions, BTreeSet::from([altered as u64 + 1]));
    }

    #[test]
    fn an_entry_that_comes_twice_is_named_once(shared in 1u8..20, good in 0u8..20, which in any::<prop::sample::Index>()) {
        let (mut entries, chain) = journal(shared, 0, good);
        let last = entries.len();
        let twice = entries[which.index(last)].clone();
        entries.push(twice.clone());
        let judged = judged(&entries, last, &chain);
        prop_assert_eq!(judged.differences.len(), 1);
        prop_assert_eq!(judged.positions, BTreeSet::from([twice.position]));
    }
}

#[test]
fn what_the_dead_fork_left_standing_is_named() {
    let (mut entries, chain) = journal(2, 2, 1);
    // The retraction of position 4 is lost: 3 is taken back while 4 stands.
    entries.remove(4);
    let judged = judged(&entries, 7, &chain);
    assert!(judged.positions.contains(&4), "{:?}", judged.differences);
}

#[test]
fn a_forged_position_costs_no_memory() {
    let (mut entries, chain) = journal(2, 0, 0);
    entries.push(JournalEntry { position: u64::MAX, ..entries[1].clone() });
    let judged = judged(&entries, 2, &chain);
    assert_eq!(judged.positions, BTreeSet::from([u64::MAX]));
}
