//! Logs as a dishonest node may give them: the number of topics, the topics, the data.
//!
//! None brings the decoder down; one that is decoded is, byte for byte, what the contract would emit for its event; what consumers get of it
//! reads back as the same.

#![no_main]

use alloy::{
    primitives::{B256, IntoLogData, Log, LogData},
    rpc::types::Log as PlacedLog,
    sol_types::SolEventInterface,
};
use libfuzzer_sys::fuzz_target;
use runproof_contracts::{ContractKind, InstanceRegistry::InstanceRegistryEvents};
use runproof_indexer::{
    block::Block,
    decode::{self, Item},
};
use runproof_protocol::event::Event;

fuzz_target!(|input: &[u8]| {
    let Some(log) = log(input) else { return };
    for kind in [ContractKind::Registry, ContractKind::Itrex] {
        let decoded = decode::decode(kind, &[block(log.clone())]);
        assert!(decoded.items.is_empty() || decoded.quarantined.is_empty(), "a log is taken whole or not at all");
        if kind == ContractKind::Registry && decoded.quarantined.is_empty() {
            assert!(!decoded.items.is_empty(), "no log is lost");
            let event = InstanceRegistryEvents::decode_raw_log(log.topics(), &log.data.data).expect("it was decoded");
            assert_eq!(event.to_log_data(), log.data, "the contract would have written it otherwise");
        }
        for Item { event, .. } in decoded.items {
            let text = serde_json::to_vec(&event).expect("an event is written");
            assert_eq!(serde_json::from_slice::<Event>(&text).expect("and read"), event);
        }
    }
});

fn log(input: &[u8]) -> Option<Log> {
    let (topics, rest) = input.split_first()?;
    let (topics, data) = rest.split_at_checked(usize::from(topics % 5) * B256::len_bytes())?;
    let topics = topics.chunks_exact(B256::len_bytes()).map(B256::from_slice).collect();
    Some(Log { data: LogData::new(topics, data.to_vec().into())?, ..Log::default() })
}

fn block(log: Log) -> Block {
    let log = PlacedLog { inner: log, ..PlacedLog::default() };
    let [hash, parent_hash] = [B256::ZERO; 2];
    Block { number: 1, hash, parent_hash, timestamp_s: 1, logs: vec![log], calls: vec![], transactions: vec![] }
}
