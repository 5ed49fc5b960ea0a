//! What consumers are told of messages (`docs/asyncapi.json`, `indexer/schema`), held against messages: one of every event, and all that tests relay.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use alloy::primitives::{Address, B256, Bytes};
use runproof_indexer::relay::{message, topic::Topic};
use runproof_protocol::{
    Fingerprint, InstanceId, ModelId, StateId,
    certificate::CertificateBinding,
    event::{Event, JournalEntry, Origin, Place, Retraction},
    head::{Outcome, Registry},
};
use serde_json::{Value, json};

use crate::kafka::KafkaMessage;

const SOMEBODY: Address = Address::repeat_byte(0x15);
const HASH: B256 = B256::repeat_byte(0xb1);
const INSTANCE: InstanceId = InstanceId(B256::repeat_byte(0x1d));
const STATE: StateId = StateId(B256::repeat_byte(0x5a));
const MODEL: ModelId = ModelId(B256::repeat_byte(0x3d));
const CERTIFICATE: Fingerprint = Fingerprint(B256::repeat_byte(0xce));

#[test]
fn every_event_is_as_described_also_when_it_is_taken_back() {
    let document = asyncapi();
    let mut told = BTreeSet::from(["runproof.retracted".to_owned()]);
    let all = std::iter::successors(Some(first()), following).chain(with_nothing());
    for event in all {
        told.insert(format!("runproof.{}", event.kind()));
        let place =
            (!event.is_promotion()).then_some(Place { transaction_hash: HASH, log_index: Some(3), item_index: 1 });
        let origin = Origin { block_number: 12, block_hash: HASH, block_timestamp_s: 1_700_000_000, place };
        let entry = JournalEntry { position: 7, retraction: None, event, origin };
        is_as_described(&document, Topic::Events, &relayed(&entry));
        for replaced_by in [Some(HASH), None] {
            let retraction = Retraction { position: 5, reason: "block 12 is no longer canonical".into(), replaced_by };
            let entry = JournalEntry { retraction: Some(retraction), ..entry.clone() };
            is_as_described(&document, Topic::Events, &relayed(&entry));
        }
    }
    let described = &document["components"]["messages"]["event"]["headers"]["properties"]["ce_type"]["enum"];
    let described: BTreeSet<String> = serde_json::from_value(described.clone()).expect("types");
    assert_eq!(described, told);
}

/// As the relay sends it.
fn relayed(entry: &JournalEntry) -> KafkaMessage {
    let registry = Registry { chain_id: 31337, address: Address::repeat_byte(0xc0) };
    let message = message::event(&registry, entry).expect("an entry is JSON");
    KafkaMessage {
        key: message.key,
        headers: message.headers.into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect(),
        value: serde_json::from_slice(&message.value.expect("no tombstone")).expect("JSON"),
    }
}

fn first() -> Event {
    Event::ModelRegistered { issuer: SOMEBODY, model: MODEL }
}

/// One event of each kind after the other. A kind that is new does not compile here before it has its place.
fn following(event: &Event) -> Option<Event> {
    let (issuer, instance, model, state, head) = (SOMEBODY, INSTANCE, MODEL, STATE, HASH);
    let (sequence, count, participant, client, fingerprint) = (1, 2, SOMEBODY, SOMEBODY, CERTIFICATE);
    Some(match event {
        Event::ModelRegistered { .. } => {
            Event::InstanceRegistered { issuer, instance, model, ordinal: 0, head, issuer_head: head }
        }
        Event::InstanceRegistered { .. } => {
            Event::StateRegistered { issuer, instance, state, sequence, predecessor: Some(0), batch: 0 }
        }
        Event::StateRegistered { .. } => {
            Event::StatesRootRegistered { issuer, instance, first: 1, count, root: head, predecessors_hash: head, head }
        }
        Event::StatesRootRegistered { .. } => {
            Event::InstanceTerminated { issuer, instance, count, outcome: Outcome::Succeeded, head }
        }
        Event::InstanceTerminated { .. } => {
            Event::DelegateSet { issuer, instance: Some(instance), delegate: client, allowed: true }
        }
        Event::DelegateSet { .. } => {
            Event::ParticipantSet { issuer, instance: Some(instance), participant, allowed: true }
        }
        Event::ParticipantSet { .. } => {
            Event::ParticipationSet { issuer, instance: Some(instance), participant, accepted: true }
        }
        Event::ParticipationSet { .. } => {
            let payload = Bytes::from_static(b"{\"approved\": true}");
            Event::TransitionRequested { issuer, instance, participant, sequence, payload }
        }
        Event::TransitionRequested { .. } => Event::CertificateBound(CertificateBinding {
            subject: SOMEBODY,
            fingerprint,
            uri: "https://example.org".into(),
            not_before_s: 1,
            not_after_s: u64::MAX,
            signature: Bytes::from_static(&[7; 65]),
        }),
        Event::CertificateBound(_) => {
            Event::CertificateRevoked { subject: SOMEBODY, fingerprint: Some(fingerprint), by: SOMEBODY, from_block: 9 }
        }
        Event::CertificateRevoked { .. } => Event::GuardianSet { subject: SOMEBODY, guardian: Some(SOMEBODY) },
        Event::GuardianSet { .. } => Event::ItrexModelRegistered { issuer, model },
        Event::ItrexModelRegistered { .. } => Event::ItrexInstanceRegistered { issuer, instance, model },
        Event::ItrexInstanceRegistered { .. } => Event::ItrexStateRegistered { issuer, instance, state },
        Event::ItrexStateRegistered { .. } => {
            Event::ItrexTransitionRegistered { issuer, instance, from_state: state, to_state: state }
        }
        Event::ItrexTransitionRegistered { .. } => Event::ItrexInstanceTerminated { issuer, instance },
        Event::ItrexInstanceTerminated { .. } => Event::ItrexClientNotified { issuer, state, client },
        Event::ItrexClientNotified { .. } => {
            let signature = Bytes::from_static(&[7; 80]);
            Event::ItrexCertificateRegistered { issuer, subject: SOMEBODY, fingerprint, signature }
        }
        Event::ItrexCertificateRegistered { .. } => Event::BlockSafe,
        Event::BlockSafe => Event::BlockFinalized,
        Event::BlockFinalized => return None,
    })
}

/// Those that may be about all, about nobody, or the first.
fn with_nothing() -> [Event; 6] {
    let (issuer, instance, participant) = (SOMEBODY, None, SOMEBODY);
    [
        Event::StateRegistered { issuer, instance: INSTANCE, state: STATE, sequence: 0, predecessor: None, batch: 0 },
        Event::DelegateSet { issuer, instance, delegate: SOMEBODY, allowed: false },
        Event::ParticipantSet { issuer, instance, participant, allowed: false },
        Event::ParticipationSet { issuer, instance, participant, accepted: false },
        Event::CertificateRevoked { subject: issuer, fingerprint: None, by: issuer, from_block: 0 },
        Event::GuardianSet { subject: issuer, guardian: None },
    ]
}

/// A file of the project.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What consumers are told of the topics.
pub fn asyncapi() -> Value {
    serde_json::from_slice(&std::fs::read(repository("docs/asyncapi.json")).expect("the document")).expect("JSON")
}

/// The document is the judge: names of topics, keys, headers, values, and that a message is there once. Returns the types.
pub fn each_message_is_there_once_and_as_described(messages: &[Vec<KafkaMessage>; 4]) -> BTreeSet<String> {
    let document = asyncapi();
    assert_eq!(document["channels"].as_object().expect("channels").len(), Topic::ALL.len());
    let mut types = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (messages, topic) in messages.iter().zip(Topic::ALL) {
        for message in messages {
            is_as_described(&document, topic, message);
            assert!(ids.insert(message.header("ce_id").to_owned()), "twice: {message:?}");
            types.insert(message.header("ce_type").to_owned());
        }
    }
    types
}

/// The description that its type asks for is met by headers, key and value.
fn is_as_described(document: &Value, topic: Topic, message: &KafkaMessage) {
    let candidates = channel(document, topic)["messages"].as_object().expect("messages");
    let described = candidates.values().map(|link| resolve(document, link)).find(|described| {
        let types = described["headers"]["properties"]["ce_type"]["enum"].as_array().expect("types");
        types.contains(&message.headers["ce_type"])
    });
    let described = described.unwrap_or_else(|| panic!("{topic:?} describes no {message:?}"));
    holds(&described["headers"], &message.headers);
    holds(&described["bindings"]["kafka"]["key"], &json!(message.key));
    match described["payload"]["schema"]["$ref"].as_str() {
        Some(file) => holds(&read_schema(file), &message.value),
        None => holds(&described["payload"], &message.value),
    }
}

/// Its part on a topic.
pub fn channel(document: &Value, topic: Topic) -> &Value {
    let name = topic.name("runproof.events");
    let mut channels = document["channels"].as_object().expect("channels").values();
    channels.find(|channel| channel["address"] == json!(name)).unwrap_or_else(|| panic!("no channel for {name}"))
}

fn resolve<'a>(document: &'a Value, link: &Value) -> &'a Value {
    let pointer = link["$ref"].as_str().and_then(|link| link.strip_prefix('#')).expect("a link");
    document.pointer(pointer).unwrap_or_else(|| panic!("{pointer} leads nowhere"))
}

fn read_schema(relative_to_docs: &str) -> Value {
    let path = repository("docs").join(relative_to_docs);
    serde_json::from_slice(&std::fs::read(path).expect("the schema is shipped")).expect("JSON")
}

fn holds(schema: &Value, value: &Value) {
    let validator = jsonschema::draft202012::new(schema).expect("a schema");
    let errors: Vec<String> = validator.iter_errors(value).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}\n{value:#}");
}
