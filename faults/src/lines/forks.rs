//! The chain changes its mind.

use std::time::Duration;

use alloy::providers::{DynProvider, Provider};
use eyre::Result;
use rand::{Rng, rngs::StdRng};

use super::{BLOCKS_A_CHAIN, judge, some_time};
use crate::{
    ground::Ground,
    line::Outcome,
    load::{Load, Method},
    node::{Node, head},
    rpc_proxy::RpcProxy,
    world::{Detours, World},
};

/// Blocks behind the head that the development chain calls final.
const FINALIZED_BEHIND: u64 = 64;

/// Line 3.
pub(crate) async fn deep(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut retracted_in_all, mut deepest) = (0, 0);
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let chain = world.chain()?;
        let mut load = Load::new(chain, world.registry.address).await?;
        let indexer = world.index()?;
        load.blocks(chain, random, FINALIZED_BEHIND).await?;
        let mut blocks = FINALIZED_BEHIND;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            let new = random.random_range(1..=4);
            load.blocks(chain, random, new).await?;
            world.caught_up(chain).await?;
            // Shallow ones are more usual; every depth comes up.
            let depth = if random.random_bool(0.5) {
                random.random_range(1..=6)
            } else {
                random.random_range(1..FINALIZED_BEHIND)
            };
            let method = if outcome.tried % 2 == 0 { Method::Replace } else { Method::RollBack };
            let standing = standing(&world, head(chain).await?.0 - depth).await?;
            let before = world.number(RETRACTIONS).await?;
            load.reorganise(chain, random, method, depth).await?;
            world.caught_up(chain).await?;
            let retracted = world.number(RETRACTIONS).await? - before;
            let removed = removed(chain, &standing).await?;
            if retracted != removed {
                outcome.broken.push(format!(
                    "{}: {retracted} retractions of {removed} rows, depth {depth}, {method:?}",
                    world.name
                ));
            }
            retracted_in_all += retracted;
            deepest = deepest.max(depth);
            blocks += new + depth + 1;
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    outcome.figure = format!("{retracted_in_all} rows removed = retractions; deepest {deepest}");
    Ok(outcome)
}

pub(super) const RETRACTIONS: &str = "select count(*) from journal.entry where retracts is not null";

/// Height, hash and number of rows.
pub(super) type BlockRows = (i64, Vec<u8>, i64);

/// Blocks above a height with the rows of theirs that stand.
pub(super) async fn standing(world: &World<'_>, above: u64) -> Result<Vec<BlockRows>> {
    let sql = "select block_number, block_hash, count(*) from journal.entry
               where retracts is null and retracted_by is null and block_number > $1 group by 1, 2";
    Ok(sqlx::query_as(sql).bind(i64::try_from(above)?).fetch_all(&world.pool).await?)
}

/// Rows whose block the node does not have any more. One that is replaced by its like, empty and of the same second, is the same block.
pub(super) async fn removed(node: &impl Node, standing: &[BlockRows]) -> Result<i64> {
    let mut removed = 0;
    for (number, hash, rows) in standing {
        let now = node.provider().get_block_by_number(u64::try_from(*number)?.into()).await?;
        removed += if now.is_some_and(|block| block.header.hash == hash[..]) { 0 } else { *rows };
    }
    Ok(removed)
}

/// Line 4: two nodes that share a beginning, and a proxy that leads to the one or the other.
pub(crate) async fn there_and_back(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    const TURNS_A_WORLD: u64 = 25;
    let mut outcome = Outcome::default();
    let (mut kills, mut retracted, mut residues) = (0, 0, 0);
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        load.blocks(world.chain()?, random, 5).await?;
        let second = world.fork().await?;
        let (a, b) = (world.chain()?, second.chain()?);
        let proxy = RpcProxy::start(a.http_url()).await?;
        world.detour(&Detours { rpc_url: Some(proxy.http_url()), ..Detours::default() })?;
        let mut indexer = world.index()?;
        let (mut on_b, turns) = (load.clone(), TURNS_A_WORLD.min(times - outcome.tried));
        for turn in 0..turns {
            load.blocks(a, random, 1).await?;
            if turn % 2 == 0 {
                on_b.blocks(b, random, 1).await?;
            }
            world.caught_up(a).await?;
            proxy.lead_to(b.http_url());
            // Long enough to have begun with it, seldom long enough to have come to its end.
            some_time(random, 700).await;
            if random.random_bool(0.2) {
                indexer.kill().await?;
                indexer = world.index()?;
                kills += 1;
                some_time(random, 200).await;
            }
            proxy.lead_to(a.http_url());
            world.caught_up(a).await?;
            outcome.tried += 1;
        }
        retracted += world.number(RETRACTIONS).await?;
        residues += residue(&world, a.provider()).await?;
        outcome.broken.extend(judge(&world, indexer).await?);
        second.stop().await;
        world.end().await;
    }
    if residues != 0 {
        outcome.broken.push(format!("rows of {residues} blocks of the dead fork stand"));
    }
    outcome.figure =
        format!("residue of the dead fork {residues}; {retracted} rows taken back, {kills} kills in between");
    Ok(outcome)
}

/// Blocks of standing rows that the node does not have at their height.
pub(super) async fn residue(world: &World<'_>, node: &DynProvider) -> Result<usize> {
    let sql =
        "select distinct block_number, block_hash from journal.entry where retracts is null and retracted_by is null";
    let blocks: Vec<(i64, Vec<u8>)> = sqlx::query_as(sql).fetch_all(&world.pool).await?;
    let mut residue = 0;
    for (number, hash) in blocks {
        let block = node.get_block_by_number((number.unsigned_abs()).into()).await?;
        residue += usize::from(block.is_none_or(|block| block.header.hash.as_slice() != hash));
    }
    Ok(residue)
}

/// Line 5: live, and at the next start.
pub(crate) async fn below_finalized(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for live in (0..times).map(|time| time % 2 == 0) {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        load.blocks(world.chain()?, random, 3).await?;
        let second = world.fork().await?;
        let (a, b) = (world.chain()?, second.chain()?);
        load.clone().blocks(b, random, FINALIZED_BEHIND + 12).await?;
        load.blocks(a, random, FINALIZED_BEHIND + 10).await?;
        let proxy = RpcProxy::start(a.http_url()).await?;
        world.detour(&Detours { rpc_url: Some(proxy.http_url()), ..Detours::default() })?;
        let mut indexer = world.index()?;
        world.caught_up(a).await?;
        // Everything is also in the topic before the chain lies.
        outcome.broken.extend(world.audit(a).await?);
        if live {
            proxy.lead_to(b.http_url());
        } else {
            indexer.stop().await?;
            proxy.lead_to(b.http_url());
            indexer = world.index()?;
        }
        match indexer.ended(Duration::from_secs(30)).await {
            Some(status) if !status.success() && indexer.log().contains("nothing was written") => {}
            other => outcome.broken.push(format!("{}: it ended with {other:?}, without the alarm", world.name)),
        }
        outcome.broken.extend(world.audit(a).await?);
        outcome.tried += 1;
        second.stop().await;
        world.end().await;
    }
    outcome.figure = "halts with an alarm; rows written 0".into();
    Ok(outcome)
}
