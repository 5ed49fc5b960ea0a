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

/// Line 12: by turns another chain id, no code at the address, and another chain of the same id whose contract has the same address.
pub(crate) async fn other_chains(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
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
        let (method, lie) = [("eth_chainId", "0x1"), ("eth_getCode", "0x")][(time % 2) as usize];
        let stranger = if time % 3 == 2 {
            let stranger = ground::chain(&world.folder.join("stranger")).await?;
            let mut other = Load::new(stranger.chain()?, world.registry.address).await?;
            other.blocks(stranger.chain()?, random, 100).await?;
            proxy.lead_to(stranger.chain()?.http_url());
            Some(stranger)
        } else {
            proxy.meddle(random.clone(), move |call, answer, _| {
                if call["method"] == method {
                    answer["result"] = json!(lie);
                }
                Meddled::Not
            });
            None
        };
        let case = if stranger.is_some() { "another genesis" } else { method };
        let mut indexer = world.index()?;
        let ended = indexer.ended(Duration::from_secs(30)).await;
        if ended.is_none_or(|status| status.success()) {
            outcome.broken.push(format!("{}: {case}: it did not refuse ({ended:?})", world.name));
        }
        let written = world.number(EVERYTHING).await? - before;
        if written != 0 {
            outcome.broken.push(format!("{}: {case}: {written} rows written", world.name));
        }
        outcome.tried += 1;
        if let Some(stranger) = stranger {
            stranger.stop().await;
        }
        world.end().await;
    }
    outcome.figure = "refused with a sentence; rows written 0".into();
    Ok(outcome)
}

const EVERYTHING: &str = "select (select count(*) from journal.entry) + (select count(*) from journal.block)";
