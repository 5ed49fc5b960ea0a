//! Logs and calldata as a dishonest node or a stranger may give them: the number of topics, the topics, the data.
//!
//! None brings the decoders down; what is decoded is, byte for byte, what the contract would emit or take; what consumers get of it reads back as
//! the same.

#![no_main]

use alloy::{
    primitives::{Address, B256, IntoLogData, Log, LogData},
    rpc::types::Log as PlacedLog,
    sol_types::{SolCall, SolEventInterface},
};
use libfuzzer_sys::fuzz_target;
use runproof_contracts::{
    ContractKind,
    InstanceRegistry::InstanceRegistryEvents,
    Itrex::{ItrexEvents, registerCertificateCall},
    itrex,
};
use runproof_indexer::{
    block::{Block, Call, Transaction},
    decode::{self, Item},
};
use runproof_protocol::event::Event;

fuzz_target!(|input: &[u8]| {
    if itrex::registers_certificate(input) {
        call(input);
    } else if let Some(data) = data(input) {
        for kind in [ContractKind::Registry, ContractKind::Itrex] {
            log(kind, &data);
        }
    }
});

fn log(kind: ContractKind, data: &LogData) {
    let log = Log { data: data.clone(), ..Log::default() };
    let log = PlacedLog { inner: log, transaction_hash: Some(B256::ZERO), ..PlacedLog::default() };
    let decoded = decode::decode(kind, &[Block { logs: vec![log], ..block() }]);
    assert!(decoded.items.is_empty() != decoded.quarantined.is_empty(), "a log is taken whole, or kept whole");
    if decoded.quarantined.is_empty() {
        let (topics, bytes) = (data.topics(), &data.data);
        let emitted = match kind {
            ContractKind::Registry => {
                InstanceRegistryEvents::decode_raw_log(topics, bytes).map(|event| event.to_log_data())
            }
            ContractKind::Itrex => ItrexEvents::decode_raw_log(topics, bytes).map(|event| event.to_log_data()),
        };
        assert_eq!(emitted.as_ref(), Ok(data), "the contract would have written it otherwise");
    }
    read_back(&decoded.items);
}

fn call(input: &[u8]) {
    let call = Call { transaction_hash: B256::ZERO, sender: Address::ZERO, input: input.to_vec().into() };
    let decoded = decode::decode(ContractKind::Itrex, &[Block { calls: vec![call], ..block() }]);
    if !decoded.items.is_empty() {
        let taken = registerCertificateCall::abi_decode(input).expect("it was decoded");
        // What follows the arguments is nothing to the contract.
        assert!(input.starts_with(&taken.abi_encode()), "the contract would have read it otherwise");
    }
    read_back(&decoded.items);
}

fn read_back(items: &[Item]) {
    for Item { event, .. } in items {
        let text = serde_json::to_vec(event).expect("an event is written");
        assert_eq!(serde_json::from_slice::<Event>(&text).expect("and read"), *event);
    }
}

fn data(input: &[u8]) -> Option<LogData> {
    let (topics, rest) = input.split_first()?;
    let (topics, data) = rest.split_at_checked(usize::from(topics % 5) * B256::len_bytes())?;
    let topics = topics.chunks_exact(B256::len_bytes()).map(B256::from_slice).collect();
    LogData::new(topics, data.to_vec().into())
}

fn block() -> Block {
    let [hash, parent_hash] = [B256::ZERO; 2];
    let transaction = Transaction {
        hash: B256::ZERO,
        sender: Address::ZERO,
        recipient: None,
        gas_used: 0,
        effective_gas_price_wei: 0,
    };
    Block { number: 1, hash, parent_hash, timestamp_s: 1, logs: vec![], calls: vec![], transactions: vec![transaction] }
}
