//! The node lies, or answers what nobody can use.

use axum::{http::StatusCode, response::IntoResponse};
use eyre::Result;
use rand::{
    Rng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};

use super::falsified::{Where, falsified};
use crate::{ground::Ground, line::Outcome, rpc_proxy::Meddled};

/// Name of a call's method.
pub(super) fn method(call: &Value) -> &str {
    call["method"].as_str().unwrap_or_default()
}

/// Line 6.
pub(crate) async fn lagging(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    falsified(ground, random, times, Where::Live, || {
        let (mut heads, mut told) = (Vec::<Value>::new(), 0);
        move |call, answer, random, allowed| match method(call) {
            _ if has_logs(call, answer) && allowed && random.random_bool(0.2) => {
                answer["result"] = [json!([]), Value::Null][random.random_range(0..2)].clone();
                Meddled::Changed
            }
            "eth_getBlockByNumber" if call["params"][0] == "latest" => {
                heads.push(answer["result"].clone());
                let newest = heads.iter().rev().take(6);
                // A head that was not told before may as well be the newest.
                let older: Vec<&Value> = newest.filter(|head| number(head) < told).collect();
                let lagging = older.choose(random).copied().cloned().filter(|_| allowed && random.random_bool(0.2));
                let meddled = if lagging.is_some() { Meddled::Changed } else { Meddled::Not };
                if let Some(older) = lagging {
                    answer["result"] = older;
                }
                told = number(&answer["result"]);
                meddled
            }
            _ => Meddled::Not,
        }
    })
    .await
}

/// Number of a block.
fn number(block: &Value) -> u64 {
    let digits = block["number"].as_str().map(|number| number.trim_start_matches("0x"));
    digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or_default()
}

/// Whether an answer tells logs, by eth_getLogs or by receipts.
pub(super) fn has_logs(call: &Value, answer: &Value) -> bool {
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
    falsified(ground, random, times, Where::AlsoOnTheWay, || {
        let mut earlier = Value::Null;
        move |call, answer, random, allowed| {
            if !has_logs(call, answer) {
                return Meddled::Not;
            }
            let true_answer = answer["result"].clone();
            if allowed && random.random_bool(0.5) {
                spoil(&mut answer["result"], &earlier, random);
            }
            let changed = answer["result"] != true_answer;
            earlier = true_answer;
            if changed { Meddled::Changed } else { Meddled::Not }
        }
    })
    .await
}

/// Does one thing that no node may to an answer that tells logs, of which there is at least one.
pub(super) fn spoil(result: &mut Value, earlier: &Value, random: &mut StdRng) {
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

/// Drops, doubles, shuffles or alters logs, of which there is at least one. Of the logs of one block in an answer to `eth_getLogs`, never all are dropped: an
/// indexer that is not strict believes that.
fn spoil_logs(logs: &mut Vec<Value>, fields: &[&str], random: &mut StdRng) {
    let which = random.random_range(0..logs.len());
    let block = &logs[which]["blockHash"];
    let others = logs.iter().filter(|log| log["blockHash"] == *block).count() - 1;
    let droppable = others > 0 || !fields.contains(&"blockHash");
    match random.random_range(0..6) {
        0 if droppable => drop(logs.remove(which)),
        0 => logs.insert(which, logs[which].clone()),
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
    /// More than anybody reads into memory at once.
    const HUGE: usize = 65 << 20;
    let mut outcome = falsified(ground, random, times, Where::Live, || {
        |call, answer, random, allowed| {
            // A chain may name no safe block, by null.
            let tagged = matches!(call["params"][0].as_str(), Some("safe" | "finalized"));
            if !allowed || tagged || !random.random_bool(0.1) {
                return Meddled::Not;
            }
            let text = answer.to_string();
            let raw = |body: String| Meddled::Instead(([("content-type", "application/json")], body).into_response());
            match random.random_range(0..7) {
                0 => answer["result"] = Value::Null,
                1 => return raw(text[..text.len() / 2].to_owned()),
                2 => return raw("<html>no JSON</html>".into()),
                3 if random.random_bool(0.2) => return raw(format!("{}{text}", " ".repeat(HUGE))),
                3 | 4 => return Meddled::Instead(StatusCode::BAD_GATEWAY.into_response()),
                5 => answer["result"] = json!({"unexpected": [1, 2, 3]}),
                _ => *answer = json!({"jsonrpc": "2.0", "id": answer["id"]}),
            }
            Meddled::Changed
        }
    })
    .await?;
    outcome.figure += ", panics 0";
    Ok(outcome)
}

/// Line 13.
pub(crate) async fn forged(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    falsified(ground, random, times, Where::Live, || {
        |call, answer, random, allowed| {
            let result = &mut answer["result"];
            if !allowed || !random.random_bool(0.2) {
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
    .await
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
