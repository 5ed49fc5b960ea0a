//! The node is what providers are: limited, slow, sometimes silent, with websockets that do not do what they promise.

use std::time::{Duration, Instant};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use eyre::Result;
use rand::{
    Rng, SeedableRng,
    rngs::StdRng,
    seq::{IndexedRandom, SliceRandom},
};
use serde_json::{Value, json};

use super::{judge, nodes::method, p99};
use crate::{
    ground::Ground,
    line::Outcome,
    load::Load,
    rpc_proxy::{Meddled, RpcProxy},
    websocket::Manners,
    world::{Detours, World},
};

/// Error codes and texts by which providers refuse a range; the figures put in are what the node here really allows.
const REFUSALS: [(i64, &str); 11] = [
    (-32005, "query returned more than 10000 results. Try with this block range [{from}, {to}]."),
    (
        -32602,
        "Log response size exceeded. Based on your parameters and the response size limit, this block range should work: [{from}, {to}]",
    ),
    (-32614, "eth_getLogs is limited to a {limit} range"),
    (-32000, "block range is too wide"),
    (-32047, "Invalid eth_getLogs request. 'fromBlock'-'toBlock' range too large. Max range: {limit}"),
    (-32000, "exceed maximum block range: {limit}"),
    (-32000, "block range too large, range: 500, max: {limit}"),
    (-32005, "ranges over {limit} blocks are not supported on freetier"),
    (-32000, "query exceeds max results 20000, retry with the range {from}-{to}"),
    (-32602, "eth_getLogs block range should be less than {limit}"),
    (-32099, "not today"),
];

/// More than an audit asks for at once.
const QUIET: u64 = 600;

/// Line 9.
pub(crate) async fn refused_ranges(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut refused = 0;
    for (code, text) in (0..times as usize).map(|time| REFUSALS[(REFUSALS.len() - 1 + time) % REFUSALS.len()]) {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        // Few blocks with logs, so that logs are asked for over wide ranges.
        world.chain()?.mine(QUIET).await?;
        for _ in 0..3 {
            world.chain()?.mine(120).await?;
            load.blocks(world.chain()?, random, 2).await?;
        }
        let proxy = RpcProxy::start(world.chain()?.http_url()).await?;
        let limit = random.random_range(1..=30);
        proxy.meddle(StdRng::seed_from_u64(0), move |call, answer, _| refuse(call, answer, code, text, limit));
        world.detour(&Detours { rpc_url: Some(proxy.http_url()), ..Detours::default() })?;
        let indexer = world.index()?;
        world.caught_up(world.chain()?).await?;
        let of_the_indexer = proxy.meddled();
        outcome.broken.extend(world.audit_through(proxy.http_url()).await?);
        if of_the_indexer == 0 || proxy.meddled() == of_the_indexer {
            outcome.broken.push(format!("{}: indexer or audit were never refused a range", world.name));
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        refused += proxy.meddled();
        outcome.tried += 1;
        world.end().await;
    }
    outcome.figure = format!("{refused} refusals to indexer and audit, blocks skipped 0");
    Ok(outcome)
}

fn refuse(call: &Value, answer: &mut Value, code: i64, text: &str, limit: u64) -> Meddled {
    let number = |name: &str| {
        let text = call["params"][0][name].as_str()?;
        u64::from_str_radix(text.trim_start_matches("0x"), 16).ok()
    };
    let (Some(from), Some(to)) = (number("fromBlock"), number("toBlock")) else { return Meddled::Not };
    if method(call) != "eth_getLogs" || to + 1 - from <= limit {
        return Meddled::Not;
    }
    let message = text
        .replace("{limit}", &limit.to_string())
        .replace("{from}", &format!("{from:#x}"))
        .replace("{to}", &format!("{:#x}", from + limit - 1));
    *answer = json!({"jsonrpc": "2.0", "id": answer["id"], "error": {"code": code, "message": message}});
    Meddled::Changed
}

/// Line 10.
pub(crate) async fn slow(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut recoveries_ms: [Vec<u128>; 4] = Default::default();
    let world = World::new(ground).await?;
    let chain = world.chain()?;
    let proxy = RpcProxy::start(chain.http_url()).await?;
    world.detour(&Detours { rpc_url: Some(proxy.http_url()), ..Detours::default() })?;
    let mut load = Load::new(chain, world.registry.address).await?;
    let indexer = world.index()?;
    world.caught_up(chain).await?;
    for time in 0..times {
        let kind = (time % 4) as usize;
        let mut left = if kind == 2 { 1 } else { 5 };
        proxy.meddle(StdRng::seed_from_u64(time), move |_, answer, _| {
            if left == 0 {
                return Meddled::Not;
            }
            left -= 1;
            match kind {
                0 => Meddled::Instead(too_many_requests()),
                1 => Meddled::Later(Duration::from_millis(400)),
                2 => Meddled::Never,
                _ => {
                    let error = json!({"code": -32005, "message": "project rate limit exceeded", "data": {"rate": {"backoff_seconds": 1}}});
                    *answer = json!({"jsonrpc": "2.0", "id": answer["id"], "error": error});
                    Meddled::Changed
                }
            }
        });
        load.blocks(chain, random, 1).await?;
        let begun = Instant::now();
        world.caught_up(chain).await?;
        recoveries_ms[kind].push(begun.elapsed().as_millis());
        outcome.tried += 1;
    }
    outcome.broken.extend(judge(&world, indexer).await?);
    world.end().await;
    let [refused, delayed, silent, limited] = recoveries_ms.map(p99);
    outcome.figure = format!(
        "recovery p99: five 429 {refused} ms, as JSON-RPC {limited} ms, five delays of 400 ms {delayed} ms, no answer {silent} ms"
    );
    Ok(outcome)
}

fn too_many_requests() -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "slow down").into_response()
}

/// Line 11.
pub(crate) async fn websockets(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut detections_ms = Vec::new();
    let world = World::new(ground).await?;
    let chain = world.chain()?;
    let proxy = RpcProxy::start(chain.http_url()).await?;
    world.detour(&Detours { ws_url: Some(proxy.ws_url()), ..Detours::default() })?;
    let mut load = Load::new(chain, world.registry.address).await?;
    let mut manners = Manners::ALL.to_vec();
    manners.shuffle(random);
    for manner in manners {
        proxy.behave(manner);
        let indexer = world.index()?;
        world.caught_up(chain).await?;
        for _ in 0..times.div_ceil(Manners::ALL.len() as u64) {
            let blocks = *[1, 1, 2].choose(random).unwrap_or(&1);
            load.blocks(chain, random, blocks).await?;
            let begun = Instant::now();
            world.caught_up(chain).await?;
            detections_ms.push(begun.elapsed().as_millis());
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
    }
    world.end().await;
    outcome.figure = format!("a block is noticed within {} ms (p99)", p99(detections_ms));
    Ok(outcome)
}
