//! What each line does.

pub(crate) mod brokers;
pub(crate) mod clouds;
pub(crate) mod crashes;
pub(crate) mod databases;
pub(crate) mod engine;
pub(crate) mod executors;
mod falsified;
pub(crate) mod forks;
pub(crate) mod liars;
pub(crate) mod nodes;
pub(crate) mod providers;
pub(crate) mod strangers;
pub(crate) mod transactions;
pub(crate) mod writers;

use std::time::Duration;

use eyre::Result;
use rand::{Rng, rngs::StdRng};

use crate::{
    load::{Load, Method},
    node::Node,
    process::Role,
    world::World,
};

/// Blocks that one anvil keeps well when it is reorganised.
const BLOCKS_A_CHAIN: u64 = 400;

/// The value below which 99 of 100 are; 0 of none.
fn p99(mut values: Vec<u128>) -> u128 {
    values.sort_unstable();
    values.get((values.len() * 99).div_ceil(100).saturating_sub(1)).copied().unwrap_or_default()
}

/// Waits for some time of up to so many milliseconds: a moment that nobody chose.
async fn some_time(random: &mut StdRng, up_to_ms: u64) {
    tokio::time::sleep(Duration::from_millis(random.random_range(0..=up_to_ms))).await;
}

/// One to three blocks, or sometimes a reorganisation of up to `depth`. Returns how many blocks that made.
async fn something_happens(world: &World<'_>, load: &mut Load, random: &mut StdRng, depth: u64) -> Result<u64> {
    let chain = world.chain()?;
    if random.random_bool(0.3) {
        let depth = random.random_range(1..=depth);
        let method = if random.random_bool(0.5) { Method::Replace } else { Method::RollBack };
        load.reorganise(chain, random, method, depth).await?;
        return Ok(depth + 1);
    }
    let blocks = random.random_range(1..=3);
    load.blocks(chain, random, blocks).await?;
    Ok(blocks)
}

/// What an indexer that is up must have held to: it agrees with the chain, did not panic, and stops when asked.
async fn judge(world: &World<'_>, indexer: Role) -> Result<Vec<String>> {
    judge_on(world, world.chain()?, indexer).await
}

async fn judge_on(world: &World<'_>, node: &impl Node, indexer: Role) -> Result<Vec<String>> {
    let mut broken = world.audit(node).await?;
    broken.extend(panics(world, &indexer));
    if !indexer.stop().await? {
        broken.push(format!("{}: the indexer did not stop gracefully", world.name));
    }
    Ok(broken)
}

fn panics(world: &World<'_>, indexer: &Role) -> Option<String> {
    indexer.log().contains("panicked").then(|| format!("{}: a panic, see index.log", world.name))
}
