//! The node is of another chain.

use std::time::Duration;

use eyre::Result;
use rand::rngs::StdRng;
use serde_json::json;

use crate::{
    ground::{self, Ground},
    line::Outcome,
    load::Load,
    rpc_proxy::{Meddled, RpcProxy},
    world::{Detours, World},
};

/// Line 12: by turns another chain id, no code at the address, other code, and another chain of the same id whose contract has the same address.
pub(crate) async fn other_chains(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut refused, mut rows) = (0, 0);
    for time in 0..times {
        let world = World::new(ground).await?;
        let chain = world.chain()?;
        let mut load = Load::new(chain, world.registry.address).await?;
        load.blocks(chain, random, 80).await?;
        let indexer = world.index()?;
        world.caught_up(chain).await?;
        outcome.broken.extend(world.audit(chain).await?);
        indexer.stop().await?;

        let before = world.number(EVERYTHING).await?;
        let proxy = RpcProxy::start(chain.http_url()).await?;
        world.detour(&Detours { rpc_url: Some(proxy.http_url()), ..Detours::default() })?;
        let stranger = if time % 4 == 3 {
            let stranger = ground::chain(&world.folder.join("stranger")).await?;
            let mut other = Load::new(stranger.chain()?, world.registry.address).await?;
            other.blocks(stranger.chain()?, random, 100).await?;
            proxy.lead_to(stranger.chain()?.http_url());
            Some(stranger)
        } else {
            let (method, lie) = LIES[(time % 4) as usize];
            proxy.meddle(random.clone(), move |call, answer, _| {
                if call["method"] == method {
                    answer["result"] = json!(lie);
                }
                Meddled::Not
            });
            None
        };
        let case = LIES.get((time % 4) as usize).map_or("another genesis", |(method, _)| method);
        let mut indexer = world.index()?;
        let ended = indexer.ended(Duration::from_secs(30)).await;
        if ended.is_none_or(|status| status.success()) || !indexer.log().contains(SENTENCES[(time % 4) as usize]) {
            outcome.broken.push(format!("{}: {case}: it did not refuse with a sentence ({ended:?})", world.name));
        } else {
            refused += 1;
        }
        let written = world.number(EVERYTHING).await? - before;
        if written != 0 {
            outcome.broken.push(format!("{}: {case}: {written} rows written", world.name));
        }
        rows += written;
        outcome.tried += 1;
        if let Some(stranger) = stranger {
            stranger.stop().await;
        }
        world.end().await;
    }
    outcome.figure = format!("injected {}, refused with a sentence {refused}; rows written {rows}", outcome.tried);
    Ok(outcome)
}

/// Methods and what they are answered instead: another chain, no contract, another one.
const LIES: [(&str, &str); 3] = [("eth_chainId", "0x1"), ("eth_getCode", "0x"), ("eth_getCode", "0x6001")];
/// What is said of each, and of another genesis.
const SENTENCES: [&str; 4] =
    ["the node is on chain 1, not", "there is no contract at", "hashes to", "began with block"];
const EVERYTHING: &str = "select (select count(*) from journal.entry) + (select count(*) from journal.block)";
