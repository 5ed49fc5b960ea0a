//! What the fuzzer throws at the reading of answers: every kind of value, from the same bytes, as far as the checks.

use alloy::{
    consensus::Transaction as _,
    primitives::{Address, Bytes, U64},
    rpc::types::{Block as RpcBlock, Header, Log},
};
use serde::de::DeserializeOwned;

use super::Answer;
use crate::{
    body::Body,
    check,
    receipt::{PlacedLog, Receipt},
};

/// Reads `body` as the answer to each method that the indexer calls, and checks what it read.
pub fn read(body: &[u8]) {
    let Ok(body) = std::str::from_utf8(body) else { return };
    drop((one::<U64>(body), one::<Bytes>(body)));
    let headers: Vec<Header> = many(body).unwrap_or_else(|| one(body).into_iter().collect());
    for header in &headers {
        let _ = check::header(Some(header.inner.number), header);
    }
    let _ = check::links(&headers);
    if let Some(logs) = one::<Vec<PlacedLog>>(body) {
        let logs: Vec<Log> = logs.into_iter().map(Log::from).collect();
        let contract = logs.first().map_or(Address::ZERO, |log| log.address());
        // A header for each log, so that what comes after the first check is reached too.
        let headers: Vec<Header> = logs.iter().map(header_of).collect();
        let _ = check::logs(&headers, logs, contract);
    }
    for receipts in many::<Vec<Receipt>>(body).or_else(|| Some(vec![one(body)?])).unwrap_or_default() {
        check_receipts(receipts);
    }
    for block in many(body).unwrap_or_else(|| one(body).into_iter().collect()) {
        check_body(block);
    }
}

fn check_body(block: RpcBlock) {
    let header = block.header.clone();
    let called = block.transactions.txns().find_map(|one| one.to()).unwrap_or_default();
    let body = Body::from(block);
    let _ = check::body(&header, &body);
    let _ = body.calls(called, |_| true);
}

fn check_receipts(receipts: Vec<Receipt>) {
    let Some(first) = receipts.first() else { return };
    let contract = first.logs.first().map_or(first.from, |log| log.address);
    let mut header: Header = Header { hash: first.block_hash, ..Header::default() };
    header.inner.receipts_root = crate::receipt::root(&receipts);
    let mut blocks = check::logs(std::slice::from_ref(&header), vec![], contract).unwrap_or_default();
    for block in &mut blocks {
        let _ = check::agreeing(&receipts, contract, block);
        let _ = check::proven(&header, receipts.clone(), contract, block);
    }
}

/// Admits every log of its block.
fn header_of(log: &Log) -> Header {
    let mut header: Header = Header { hash: log.block_hash.unwrap_or_default(), ..Header::default() };
    header.inner.number = log.block_number.unwrap_or_default();
    header.inner.logs_bloom.0.0 = [0xff; 256];
    header
}

fn one<R: DeserializeOwned>(body: &str) -> Option<R> {
    serde_json::from_str::<Answer<R>>(body).ok()?.value("fuzzed").ok()?
}

fn many<R: DeserializeOwned>(body: &str) -> Option<Vec<R>> {
    let answers: Vec<Answer<R>> = serde_json::from_str(body).ok()?;
    Some(answers.into_iter().filter_map(|answer| answer.value("fuzzed").ok().flatten()).collect())
}
