use alloy::{
    primitives::{Address, Bytes, LogData},
    sol_types::SolEvent,
};
use proptest::prelude::*;
use runproof_contracts::InstanceRegistry;
use runproof_protocol::StateId;

use super::*;

fn block(logs: impl IntoIterator<Item = LogData>) -> Block {
    let log = |(index, data): (u64, LogData)| Log {
        inner: alloy::primitives::Log { address: Address::ZERO, data },
        transaction_hash: Some(B256::repeat_byte(7)),
        log_index: Some(index),
        ..Log::default()
    };
    Block {
        number: 5,
        hash: B256::repeat_byte(5),
        parent_hash: B256::ZERO,
        timestamp_s: 9,
        logs: (0..).zip(logs).map(log).collect(),
        calls: vec![],
        transactions: vec![],
    }
}

fn states(first: u64, count: u8, predecessors: Vec<u8>) -> LogData {
    InstanceRegistry::StatesRegistered {
        issuer: Address::repeat_byte(1),
        instance: B256::repeat_byte(2),
        first,
        head: B256::repeat_byte(3),
        states: (0..count).map(B256::with_last_byte).collect(),
        predecessors: predecessors.into(),
    }
    .encode_log_data()
}

fn sequences(decoded: &Decoded) -> Vec<(u64, Option<u32>, u64, u64)> {
    let of = |item: &Item| match item.event {
        Event::StateRegistered { sequence, predecessor, batch, .. } => {
            (sequence, predecessor, batch, item.origin.place.expect("a log").item_index)
        }
        ref other => panic!("{other:?}"),
    };
    decoded.items.iter().map(of).collect()
}

#[test]
fn a_batch_is_one_item_for_each_state() {
    let linear = decode(ContractKind::Registry, &[block([states(0, 3, vec![])])]);
    assert_eq!(sequences(&linear), [(0, None, 0, 0), (1, Some(0), 0, 1), (2, Some(1), 0, 2)]);
    let Event::StateRegistered { state, .. } = linear.items[2].event else { panic!("a state") };
    assert_eq!(state, StateId(B256::with_last_byte(2)));
    let forked =
        decode(ContractKind::Registry, &[block([states(4, 2, [1u32.to_be_bytes(), u32::MAX.to_be_bytes()].concat())])]);
    assert_eq!(sequences(&forked), [(4, Some(1), 4, 0), (5, None, 4, 1)]);
}

fn root(first: u64, count: u64) -> LogData {
    InstanceRegistry::StatesRootRegistered {
        issuer: Address::repeat_byte(1),
        instance: B256::repeat_byte(2),
        first,
        count,
        head: B256::repeat_byte(3),
        root: B256::repeat_byte(4),
        predecessorsHash: B256::repeat_byte(5),
    }
    .encode_log_data()
}

#[test]
fn a_root_is_one_item_however_many_states_it_stands_for() {
    let decoded = decode(ContractKind::Registry, &[block([root(3, 1 << 62), root(3, u64::MAX - 3), root(3, 0)])]);
    assert_eq!(decoded.items.len(), 1);
    let Event::StatesRootRegistered { first, count, root, predecessors_hash, .. } = decoded.items[0].event else {
        panic!("{:?}", decoded.items)
    };
    let words = (B256::repeat_byte(4), B256::repeat_byte(5));
    assert_eq!((first, count, (root, predecessors_hash)), (3, 1 << 62, words));
    assert!(decoded.quarantined[0].reason.contains("was never counted to"), "{:?}", decoded.quarantined);
    assert!(decoded.quarantined[1].reason.contains("without states"), "{:?}", decoded.quarantined);
}

#[test]
fn what_cannot_be_an_event_is_kept_with_its_reason_and_the_rest_goes_on() {
    let garbage = LogData::new_unchecked(vec![B256::repeat_byte(0xee)], Bytes::from_static(b"\0\xff"));
    let uncounted = states(u64::MAX - 9, 2, vec![]);
    let decoded =
        decode(ContractKind::Registry, &[block([garbage, states(0, 1, vec![]), uncounted, states(1, 1, vec![])])]);
    assert_eq!(decoded.items.len(), 2);
    assert_eq!(decoded.quarantined.iter().map(|one| one.log_index).collect::<Vec<_>>(), [0, 2]);
    assert!(decoded.quarantined[1].reason.contains("was never counted to"), "{:?}", decoded.quarantined);
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_quarantined_and_never_lost(
        topics in prop::collection::vec(prop::sample::select(vec![
            InstanceRegistry::StatesRegistered::SIGNATURE_HASH, InstanceRegistry::StatesRootRegistered::SIGNATURE_HASH,
            InstanceRegistry::CertificateBound::SIGNATURE_HASH, B256::ZERO,
        ]), 0..5),
        data in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let decoded = decode(ContractKind::Registry, &[block([LogData::new_unchecked(topics, data.into())])]);
        prop_assert_eq!(decoded.items.is_empty(), decoded.quarantined.len() == 1);
        prop_assert!(decoded.quarantined.iter().all(|one| !one.reason.contains('\0')));
    }
}
