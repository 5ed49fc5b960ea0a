//! The node lies, or answers what nobody can use.

use std::time::Duration;

use axum::{http::StatusCode, response::IntoResponse};
use eyre::Result;
use rand::{Rng, SeedableRng, rngs::StdRng, seq::SliceRandom};
use serde_json::{Value, json};

use super::{BLOCKS_A_CHAIN, judge, some_time, something_happens};
use crate::{
    ground::Ground,
    line::Outcome,
    load::Load,
    rpc_proxy::{Meddled, RpcProxy},
    world::{Detours, World},
};

/// Runs an indexer on falsified answers until so many were given; then it must still agree with the chain.
async fn falsified<M>(ground: &Ground, random: &mut StdRng, times: u64, meddler: impl Fn() -> M) -> Result<Outcome>
where
    M: FnMut(&Value, &mut Value, &mut StdRng) -> Meddled + Send + 'static,
{
    let mut outcome = Outcome::default();
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let proxy = RpcProxy::start(world.chain()?.http_url()).await?;
        world.detour(&Detours { rpc_url: Some(proxy.http_url()), ..Detours::default() })?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        load.blocks(world.chain()?, random, 30).await?;
        proxy.meddle(StdRng::seed_from_u64(random.random()), meddler());
        let mut indexer = world.index()?;
        let mut blocks = 30;
        while outcome.tried + proxy.meddled() < times && blocks < BLOCKS_A_CHAIN {
            blocks += something_happens(&world, &mut load, random, 8).await?;
            some_time(random, 300).await;
            if let Some(status) = indexer.ended(Duration::ZERO).await {
                outcome.broken.push(format!("{}: the indexer gave up ({status}), see index.log", world.name));
                return Ok(outcome);
            }
        }
        if proxy.meddled() == 0 {
            outcome.broken.push(format!("{}: nothing that could be falsified was asked for", world.name));
            return Ok(outcome);
        }
        outcome.tried += proxy.meddled();
        proxy.be_honest();
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    Ok(outcome)
}

/// Name of a call's method.
pub(super) fn method(call: &Value) -> &str {
    call["method"].as_str().unwrap_or_default()
}

/// Line 6.
pub(crate) async fn lagging(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = falsified(ground, random, times, || {
        let mut heads: Vec<Value> = Vec::new();
        move |call, answer, random| match method(call) {
            _ if has_logs(call, answer) && random.random_bool(0.2) => {
                answer["result"] = [json!([]), Value::Null][random.random_range(0..2)].clone();
                Meddled::Changed
            }
            "eth_getBlockByNumber" if call["params"][0] == "latest" => {
                heads.push(answer["result"].clone());
                let behind = heads.len().saturating_sub(random.random_range(1..=6)).min(heads.len() - 1);
                let older = heads[behind].clone();
                let lags = random.random_bool(0.2) && older != answer["result"];
                if lags {
                    answer["result"] = older;
                }
                if lags { Meddled::Changed } else { Meddled::Not }
            }
            _ => Meddled::Not,
        }
    })
    .await?;
    outcome.figure = format!("{} answers behind or empty, none believed", outcome.tried);
    Ok(outcome)
}

/// Whether an answer tells logs, by eth_getLogs or by receipts.
fn has_logs(call: &Value, answer: &Value) -> bool {
    match method(call) {
        "eth_getLogs" => answer["result"].as_array().is_some_and(|logs| !logs.is_empty()),
        "eth_getBlockReceipts" => answer["result"].as_array().is_some_and(|receipts| receipts.iter().any(emits)),
        _ => false,
    }
}

fn emits(receipt: &Value) -> bool {
    receipt["logs"].as_array().is_some_and(|logs| !logs.is_empty())
}

/// Line 7.
pub(crate) async fn wrong_logs(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = falsified(ground, random, times, || {
        let mut earlier = Value::Null;
        move |call, answer, random| {
            if !has_logs(call, answer) {
                return Meddled::Not;
            }
            let true_answer = answer["result"].clone();
            if random.random_bool(0.5) {
                spoil(&mut answer["result"], &earlier, random);
            }
            let changed = answer["result"] != true_answer;
            earlier = true_answer;
            if changed { Meddled::Changed } else { Meddled::Not }
        }
    })
    .await?;
    outcome.figure = format!("{} falsified, corrupt accepted 0", outcome.tried);
    Ok(outcome)
}

/// Does one thing that no node may to an answer that tells logs, of which there is at least one.
fn spoil(result: &mut Value, earlier: &Value, random: &mut StdRng) {
    if random.random_bool(0.1) && earlier.is_array() {
        // Of another block.
        *result = earlier.clone();
        return;
    }
    let Some(answered) = result.as_array_mut() else { return };
    let emitting = answered.iter_mut().find(|receipt| emits(receipt));
    if let Some(receipt) = emitting {
        if random.random_bool(0.1) {
            receipt["blockHash"] = anything(random);
        } else if let Some(logs) = receipt["logs"].as_array_mut() {
            spoil_logs(logs, &["address", "topics", "data"], random);
        }
    } else {
        spoil_logs(answered, &["topics", "blockHash", "blockNumber", "logIndex", "transactionHash", "removed"], random);
    }
}

/// Drops, doubles, shuffles or alters logs, of which there is at least one.
fn spoil_logs(logs: &mut Vec<Value>, fields: &[&str], random: &mut StdRng) {
    let which = random.random_range(0..logs.len());
    match random.random_range(0..6) {
        0 => drop(logs.remove(which)),
        1 => logs.insert(which, logs[which].clone()),
        2 => logs.shuffle(random),
        _ => {
            let log = &mut logs[which];
            match fields[random.random_range(0..fields.len())] {
                "topics" => log["topics"][1] = anything(random),
                "removed" => log["removed"] = json!(true),
                "address" => log["address"] = json!(format!("0x{:040x}", random.random::<u64>())),
                field @ ("blockNumber" | "logIndex") => {
                    log[field] = json!(format!("0x{:x}", random.random_range(10_000..u64::MAX / 4)));
                }
                field => log[field] = anything(random),
            }
        }
    }
}

/// 32 bytes that were never there.
fn anything(random: &mut StdRng) -> Value {
    json!(format!("0x{:064x}", random.random::<u64>()))
}

/// Line 8.
pub(crate) async fn broken_answers(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    const HUGE: usize = 48 << 20;
    let mut outcome = falsified(ground, random, times, || {
        |_, answer, random| {
            if !random.random_bool(0.1) {
                return Meddled::Not;
            }
            let text = answer.to_string();
            let raw = |body: String| Meddled::Instead(([("content-type", "application/json")], body).into_response());
            match random.random_range(0..7) {
                0 => answer["result"] = Value::Null,
                1 => return raw(text[..text.len() / 2].to_owned()),
                2 => return raw("<html>no JSON</html>".into()),
                3 => return raw(format!("{}{text}", " ".repeat(if random.random_bool(0.1) { HUGE } else { 4096 }))),
                4 => return Meddled::Instead(StatusCode::BAD_GATEWAY.into_response()),
                5 => answer["result"] = json!({"unexpected": [1, 2, 3]}),
                _ => *answer = json!({"jsonrpc": "2.0", "id": answer["id"]}),
            }
            Meddled::Changed
        }
    })
    .await?;
    outcome.figure = format!("{} unusable answers, panics 0", outcome.tried);
    Ok(outcome)
}

/// Line 13.
pub(crate) async fn forged(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = falsified(ground, random, times, || {
        |call, answer, random| {
            let result = &mut answer["result"];
            if !random.random_bool(0.2) {
                return Meddled::Not;
            }
            let empty = json!(format!("0x{:0512x}", 0));
            match method(call) {
                "eth_getBlockByNumber" if result["logsBloom"].is_string() && result["logsBloom"] != empty => {
                    result["logsBloom"] = empty;
                    Meddled::Changed
                }
                "eth_getBlockReceipts" => {
                    result.as_array_mut().map_or(Meddled::Not, |receipts| forge(receipts, random))
                }
                _ => Meddled::Not,
            }
        }
    })
    .await?;
    outcome.figure = format!("{} forged, accepted 0", outcome.tried);
    Ok(outcome)
}

fn forge(receipts: &mut Vec<Value>, random: &mut StdRng) -> Meddled {
    let Some(receipt) = receipts.iter_mut().find(|receipt| emits(receipt)) else { return Meddled::Not };
    match random.random_range(0..4) {
        0 => receipt["logs"] = json!([]),
        1 => receipt["status"] = json!("0x0"),
        2 => receipt["logs"][0]["topics"][1] = anything(random),
        _ => receipts.clear(),
    }
    Meddled::Changed
}
