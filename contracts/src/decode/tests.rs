//! Logs as a dishonest or broken node may give them.

use alloy::{primitives::LogData, sol_types::SolEvent};
use proptest::{collection::vec, prelude::*};

use super::*;

fn log(event: &impl SolEvent) -> Log {
    Log { address: Address::ZERO, data: event.encode_log_data() }
}

fn with_data(log: &Log, data: Vec<u8>) -> Log {
    Log { address: log.address, data: LogData::new_unchecked(log.topics().to_vec(), data.into()) }
}

fn states(n: u8) -> abi::StatesRegistered {
    abi::StatesRegistered {
        issuer: Address::repeat_byte(1),
        instance: B256::repeat_byte(2),
        first: 7,
        head: B256::repeat_byte(3),
        states: (0..n).map(B256::repeat_byte).collect(),
        predecessors: Bytes::new(),
    }
}

fn certificate(uri: &str) -> abi::CertificateBound {
    abi::CertificateBound {
        subject: Address::repeat_byte(1),
        fingerprint: B256::repeat_byte(2),
        uri: uri.into(),
        notBefore: 1,
        notAfter: 2,
        signature: Bytes::from_static(&[7; 65]),
    }
}

#[test]
fn states_come_with_their_predecessors() {
    let mut event = states(3);
    event.predecessors = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7, 0, 0, 0, 0]);
    let Ok(RegistryEvent::StatesRegistered { predecessors, states, first, .. }) = decode(&log(&event)) else {
        panic!("a batch is decoded")
    };
    assert_eq!(predecessors, [None, Some(7), Some(0)]);
    assert_eq!((states.len(), first), (3, 7));
}

#[test]
fn impossible_batches_are_refused() {
    assert_eq!(decode(&log(&states(0))), Err(DecodeError::NoStates));

    let overflowing = abi::StatesRegistered { first: u64::MAX, ..states(1) };
    assert_eq!(decode(&log(&overflowing)), Err(DecodeError::SequenceOverflow { first: u64::MAX, count: 1 }));

    for bytes in [1, 4, 11, 16] {
        let event = abi::StatesRegistered { predecessors: vec![0; bytes].into(), ..states(3) };
        assert_eq!(decode(&log(&event)), Err(DecodeError::PredecessorsLength { bytes, states: 3 }));
    }

    let itself = abi::StatesRegistered { predecessors: vec![0, 0, 0, 7].into(), ..states(1) };
    assert_eq!(decode(&log(&itself)), Err(DecodeError::Predecessor { sequence: 7, predecessor: 7 }));
}

#[test]
fn rights_to_all_instances_name_none() {
    let event = abi::DelegateSet {
        issuer: Address::repeat_byte(1),
        instance: B256::ZERO,
        delegate: Address::repeat_byte(2),
        allowed: true,
    };
    assert!(matches!(decode(&log(&event)), Ok(RegistryEvent::DelegateSet { instance: None, .. })));
}

#[test]
fn unknown_outcomes_are_refused() {
    for outcome in [0, 5, 255] {
        let event = abi::InstanceTerminated {
            issuer: Address::ZERO,
            instance: B256::ZERO,
            count: 0,
            outcome,
            head: B256::ZERO,
        };
        assert_eq!(decode(&log(&event)), Err(DecodeError::UnknownOutcome(outcome)));
    }
}

#[test]
fn uris_that_no_database_or_page_should_see_are_refused() {
    assert!(decode(&log(&certificate("https://issuer.example"))).is_ok());
    for uri in ["", "http://issuer.example", "https://a\0b", "https://a b", "https://ü", "javascript:alert(1)"] {
        assert_eq!(decode(&log(&certificate(uri))), Err(DecodeError::Uri(uri.into())));
    }
}

#[test]
fn invalid_utf8_is_malformed() {
    let good = log(&certificate("https://issuer.example"));
    let mut data = good.data.data.to_vec();
    data[5 * 32 + 8] = 0xff; // the sixth word holds the URI, its host behind "https://"
    assert!(matches!(decode(&with_data(&good, data)), Err(DecodeError::Malformed(_))));
}

#[test]
fn huge_offsets_and_lengths_are_malformed() {
    let good = log(&states(3));
    for word in 2..good.data.data.len() / 32 {
        for value in [[0xff; 32], U64_MAX, HUGE] {
            let mut data = good.data.data.to_vec();
            data[word * 32..(word + 1) * 32].copy_from_slice(&value);
            let states_themselves = (5..8).contains(&word);
            assert_eq!(decode(&with_data(&good, data)).is_ok(), states_themselves, "word {word}");
        }
    }
}

const U64_MAX: [u8; 32] = alloy::primitives::U256::from_limbs([u64::MAX, 0, 0, 0]).to_be_bytes();
const HUGE: [u8; 32] = alloy::primitives::U256::from_limbs([1 << 40, 0, 0, 0]).to_be_bytes();

#[test]
fn trailing_missing_or_dirty_bytes_are_malformed() {
    let good = log(&states(3));
    let bytes = good.data.data.to_vec();
    for length in 0..bytes.len() {
        assert!(decode(&with_data(&good, bytes[..length].to_vec())).is_err(), "cut to {length}");
    }
    assert!(decode(&with_data(&good, [bytes.clone(), vec![0; 32]].concat())).is_err(), "trailing");
    let mut dirty = bytes;
    dirty[0] = 1; // above the 64 bits of `first`
    assert!(decode(&with_data(&good, dirty)).is_err(), "dirty");
}

#[test]
fn other_topics_are_no_event() {
    let foreign = Log { address: Address::ZERO, data: LogData::new_unchecked(vec![B256::ZERO], Bytes::new()) };
    assert_eq!(
        decode(&foreign),
        Err(DecodeError::UnknownEvent { topic: Some(B256::ZERO), contract: "InstanceRegistry" })
    );
    let anonymous = Log { address: Address::ZERO, data: LogData::new_unchecked(vec![], Bytes::new()) };
    assert_eq!(decode(&anonymous), Err(DecodeError::UnknownEvent { topic: None, contract: "InstanceRegistry" }));

    let mut topics = log(&states(1)).topics().to_vec();
    topics[1] = B256::repeat_byte(0xff); // no address
    let data = states(1).encode_log_data().data;
    let dirty = Log { address: Address::ZERO, data: LogData::new_unchecked(topics, data) };
    assert!(matches!(decode(&dirty), Err(DecodeError::Malformed(_))));
}

proptest! {
    #[test]
    fn random_logs_give_a_value_or_an_error(
        event in prop::sample::select(Abi::SELECTORS),
        topics in vec(any::<[u8; 32]>(), 0..4),
        data in vec(prop_oneof![4 => Just(0u8), 1 => any::<u8>()], 0..600),
    ) {
        let topics = [event].into_iter().chain(topics).map(B256::from).collect();
        let _ = decode(&Log { address: Address::ZERO, data: LogData::new_unchecked(topics, data.into()) });
    }

    #[test]
    fn one_flipped_bit_is_never_read_as_the_same_event(n in 1u8..6, bit in 0usize..4096) {
        let good = log(&states(n));
        let mut data = good.data.data.to_vec();
        let bit = bit % (data.len() * 8);
        data[bit / 8] ^= 1 << (bit % 8);
        prop_assert_ne!(decode(&with_data(&good, data)), decode(&good));
    }
}
