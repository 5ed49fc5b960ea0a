use proptest::prelude::*;
use runproof_protocol::event::{Origin, Retraction};

use super::*;

const TIP: u64 = 40;

fn hash(number: u64, fork: u8) -> B256 {
    alloy::primitives::keccak256([number.to_be_bytes().as_slice(), &[fork]].concat())
}

/// A chain of 40 blocks, whose tags are at 30 and 20.
fn canonical() -> Canonical {
    let reference = |number| Some(BlockRef { number, hash: hash(number, 0) });
    Canonical {
        hashes: (0..=TIP).map(|number| (number, hash(number, 0))).collect(),
        safe: reference(30),
        finalized: reference(20),
    }
}

fn entry(position: u64, event: Event, number: u64, fork: u8) -> JournalEntry {
    let block_hash = hash(number, fork);
    let origin = Origin { block_number: number, block_hash, block_timestamp_s: 0, place: None };
    JournalEntry { position, retraction: None, event, origin }
}

fn retracted(position: u64, entry: &JournalEntry) -> JournalEntry {
    let retraction = Retraction { position: entry.position, reason: "gone".into(), replaced_by: None };
    JournalEntry { position, retraction: Some(retraction), ..entry.clone() }
}

fn named(entries: &[JournalEntry]) -> Vec<u64> {
    let judged = judge(Place::Postgres, entries, &canonical());
    assert_eq!(judged.differences.len(), judged.positions.len());
    judged.positions.into_iter().collect()
}

/// Each level's blocks, growing, with positions that interleave.
fn promotions(safe: &[u64], finalized: &[u64]) -> Vec<JournalEntry> {
    let of = |event: Event, numbers: &[u64], first: u64| {
        let all = numbers.iter().zip((first..).step_by(2));
        all.map(|(number, position)| entry(position, event.clone(), *number, 0)).collect::<Vec<_>>()
    };
    let mut all = of(Event::BlockSafe, safe, 1);
    all.extend(of(Event::BlockFinalized, finalized, 2));
    all.sort_by_key(|entry| entry.position);
    all
}

proptest! {
    #[test]
    fn promotions_that_go_on_up_to_the_tags_are_right(
        safe in prop::collection::btree_set(1u64..=30, 0..8), finalized in prop::collection::btree_set(1u64..=20, 0..8),
    ) {
        let (safe, finalized): (Vec<u64>, Vec<u64>) = (safe.into_iter().collect(), finalized.into_iter().collect());
        prop_assert!(named(&promotions(&safe, &finalized)).is_empty());
    }

    #[test]
    fn one_that_says_too_much_is_named(
        safe in prop::collection::btree_set(1u64..=30, 1..8), which in any::<prop::sample::Index>(), wrong in 0..3,
    ) {
        let safe: Vec<u64> = safe.into_iter().collect();
        let mut entries = promotions(&safe, &[]);
        let which = which.index(entries.len());
        match wrong {
            0 => entries[which].origin.block_hash = hash(safe[which], 1),
            1 => entries.last_mut().expect("one").origin = entry(0, Event::BlockSafe, 31, 0).origin,
            _ => entries.push(entry(99, Event::BlockSafe, safe[which], 0)),
        }
        let position = match wrong { 0 => entries[which].position, _ => entries.last().expect("one").position };
        prop_assert_eq!(named(&entries), [position]);
    }
}

#[test]
fn a_safe_block_may_be_taken_back_and_a_final_one_not() {
    let lost = entry(2, Event::BlockSafe, 25, 1);
    let back =
        [entry(1, Event::BlockSafe, 10, 0), lost.clone(), retracted(3, &lost), entry(4, Event::BlockSafe, 12, 0)];
    assert!(named(&back).is_empty());
    let lost = entry(1, Event::BlockFinalized, 15, 1);
    assert_eq!(named(&[lost.clone(), retracted(2, &lost)]), [1, 2]);
}
