use alloy::primitives::B256;
use proptest::prelude::*;

use super::*;

fn block(number: u64) -> BlockRef {
    BlockRef { number, hash: B256::ZERO }
}

proptest! {
    #[test]
    fn a_tag_is_looked_up_exactly_if_it_is_new_and_the_journal_has_come_to_it(
        reached in prop::option::of(0u64..6), safe in 0u64..6, finalized in 0u64..6,
        safe_tag in prop::option::of(0u64..6), finalized_tag in prop::option::of(0u64..6),
    ) {
        let cursor = Cursor { source_id: 1, epoch: 1, block: reached.map(block), position: 0, safe, finalized };
        let head = Head { latest: block(6), safe: safe_tag.map(block), finalized: finalized_tag.map(block) };
        let within = |known: u64, tag: Option<u64>| (known + 1..=reached.unwrap_or(0)).any(|number| tag == Some(number));
        prop_assert_eq!(may_advance(&cursor, &head), within(safe, safe_tag) || within(finalized, finalized_tag));
    }
}
