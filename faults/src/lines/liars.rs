//! One of three endpoints lies, while two must say the same.

use alloy::{
    eips::BlockNumberOrTag,
    providers::{Provider, ProviderBuilder},
};
use eyre::Result;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};

use super::{
    judge,
    nodes::{has_logs, method, spoil},
};
use crate::{
    ground::Ground,
    line::Outcome,
    load::Load,
    rpc_proxy::{Meddled, RpcProxy},
    status::Status,
    world::{Detours, World},
};

/// How the endpoint of `rpc_url` lies, by turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// It leads to a real chain that parted from the true one: all that it says fits, and only the others know better.
    Fork,
    /// Its head is far ahead, by a number that does not fit the hash.
    Ahead,
    /// Its logs are left out, doubled, altered.
    Logs,
    /// It says that it is of another chain.
    Stranger,
    /// It answers nothing.
    Nothing,
    /// Its newest block stays what it was, and falls further behind than is allowed.
    Lag,
}

const LIES: [Lie; 6] = [Lie::Fork, Lie::Ahead, Lie::Logs, Lie::Stranger, Lie::Nothing, Lie::Lag];
/// Blocks by which an endpoint may be behind here.
const MAX_LAG: u64 = 4;

/// Line 14.
pub(crate) async fn one_in_three(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let world = World::new(ground).await?;
    let mut load = Load::new(world.chain()?, world.registry.address).await?;
    load.blocks(world.chain()?, random, 20).await?;
    let fork = world.fork().await?;
    let chain = world.chain()?;
    let mut forked = load.clone();
    // The fork is longer, so that a head by itself would win.
    forked.blocks(fork.chain()?, random, 3).await?;

    let liar = RpcProxy::start(chain.http_url()).await?;
    let honest = [RpcProxy::start(chain.http_url()).await?, RpcProxy::start(chain.http_url()).await?];
    let status = Status::at_free_port()?;
    world.detour(&Detours {
        rpc_url: Some(liar.http_url()),
        endpoints: vec![("second", honest[0].http_url()), ("third", honest[1].http_url())],
        quorum: Some(2),
        chain: format!("max_lag_blocks = {MAX_LAG}"),
        operations_port: Some(status.port),
        ..Detours::default()
    })?;
    let indexer = world.index()?;
    world.caught_up(chain).await?;
    let mut slowest_ms = 0;
    for time in 0..times {
        let lie = LIES[(time as usize) % LIES.len()];
        // It was set aside for the lie before, comes back when it is honest, and is then asked before the others.
        let serves = || async move { Ok(status.text_of_endpoint(0, "state").await? == "serving") };
        world.until("the endpoint comes back", serves).await?;
        let before = status.of_endpoint(0, "faults").await?;
        match lie {
            Lie::Fork => {
                forked.blocks(fork.chain()?, random, 2).await?;
                liar.lead_to(fork.chain()?.http_url());
            }
            _ => {
                let mut stale = Value::Null;
                liar.meddle(StdRng::seed_from_u64(random.random()), move |call, answer, random| {
                    tell(lie, call, answer, &mut stale, random)
                });
                if lie == Lie::Lag {
                    // From now on, whoever asks for the newest block is told of this one.
                    let asking = ProviderBuilder::new().connect_http(liar.http_url().parse()?);
                    asking.get_block_by_number(BlockNumberOrTag::Latest).await?;
                }
            }
        }
        load.blocks(chain, random, if lie == Lie::Lag { MAX_LAG + 2 } else { 3 }).await?;
        let begun = std::time::Instant::now();
        world.caught_up(chain).await?;
        slowest_ms = slowest_ms.max(begun.elapsed().as_millis());
        world
            .until("the lie is noticed", || async move { Ok(status.of_endpoint(0, "faults").await? > before) })
            .await?;
        if lie == Lie::Lag {
            let evidence = || async move { Ok(status.text_of_endpoint(0, "last_evidence/fault").await? == "lags") };
            world.until("it is set aside for its lag", evidence).await?;
        }
        liar.lead_to(chain.http_url());
        liar.be_honest();
        outcome.tried += 1;
    }
    let times_aside = status.of_endpoint(0, "times_set_aside").await?;
    for (place, name) in [(1, "second"), (2, "third")] {
        let state = status.text_of_endpoint(place, "state").await?;
        if state != "serving" {
            outcome.broken.push(format!("{}: the honest endpoint {name} is {state}", world.name));
        }
    }
    outcome.broken.extend(judge(&world, indexer).await?);
    fork.stop().await;
    world.end().await;
    outcome.figure = format!(
        "{} times lying, false accepted 0; set aside {times_aside} times; caught up within {slowest_ms} ms beside it",
        outcome.tried
    );
    Ok(outcome)
}

fn tell(lie: Lie, call: &Value, answer: &mut Value, stale: &mut Value, random: &mut StdRng) -> Meddled {
    match lie {
        Lie::Lag if method(call) == "eth_getBlockByNumber" && call["params"][0] == "latest" => {
            if stale.is_null() {
                stale.clone_from(&answer["result"]);
            }
            answer["result"].clone_from(stale);
        }
        Lie::Ahead if answer["result"]["number"].is_string() => answer["result"]["number"] = json!("0x7fffffff"),
        Lie::Logs if has_logs(call, answer) => spoil(&mut answer["result"], &Value::Null, random),
        Lie::Stranger if method(call) == "eth_chainId" => answer["result"] = json!("0x1"),
        Lie::Nothing => return Meddled::Never,
        _ => return Meddled::Not,
    }
    Meddled::Changed
}
