use alloy::primitives::{Address, B256};
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    event::{Event, Origin, Place, Retraction},
};

use super::*;

const REGISTRY: Registry = Registry { chain_id: 31337, address: Address::repeat_byte(0xc0) };

fn entry(event: Event) -> JournalEntry {
    JournalEntry {
        position: 7,
        retraction: None,
        event,
        origin: Origin {
            block_number: 12,
            block_hash: B256::repeat_byte(0xb1),
            block_timestamp_s: 1_700_000_000,
            place: Some(Place { transaction_hash: B256::repeat_byte(0x77), log_index: Some(3), item_index: 1 }),
        },
    }
}

fn shown(entry: &JournalEntry) -> serde_json::Value {
    let message = event(&REGISTRY, entry).expect("an entry is JSON");
    serde_json::json!({
        "key": message.key,
        "headers": message.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect::<Vec<_>>(),
        "value": serde_json::from_slice::<serde_json::Value>(&message.value.expect("an entry is no tombstone")).expect("JSON"),
    })
}

#[test]
fn a_state() {
    insta::assert_json_snapshot!(shown(&entry(Event::StateRegistered {
        issuer: Address::repeat_byte(0x15),
        instance: InstanceId(B256::repeat_byte(0x1d)),
        state: StateId(B256::repeat_byte(0x5a)),
        sequence: 1,
        predecessor: Some(0),
        batch: 0,
    })));
}

#[test]
fn a_retraction() {
    let retraction = Retraction {
        position: 5,
        reason: "block 12 is no longer canonical".into(),
        replaced_by: Some(B256::repeat_byte(0xb2)),
    };
    let model = Event::ModelRegistered { issuer: Address::repeat_byte(0x15), model: ModelId(B256::repeat_byte(0x3d)) };
    insta::assert_json_snapshot!(shown(&JournalEntry { retraction: Some(retraction), ..entry(model) }));
}

#[test]
fn a_promotion() {
    let promotion = entry(Event::BlockFinalized);
    insta::assert_json_snapshot!(shown(&JournalEntry {
        origin: Origin { place: None, ..promotion.origin },
        ..promotion
    }));
}

#[test]
fn a_time_that_rfc_3339_cannot_say_is_left_out() {
    assert_eq!(rfc3339(u64::MAX), None);
    assert_eq!(rfc3339(1_700_000_000).as_deref(), Some("2023-11-14T22:13:20Z"));
}
