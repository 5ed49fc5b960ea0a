//! One falsified answer after the other, none believed and none overlooked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use eyre::Result;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::Value;

use super::{BLOCKS_A_CHAIN, judge, something_happens};
use crate::{
    ground::Ground,
    line::Outcome,
    load::Load,
    node,
    rpc_proxy::{Meddled, RpcProxy},
    status::Status,
    world::{Detours, World},
};

/// Runs an indexer on falsified answers until so many were given, each noticed before the next; then it must still agree with the chain.
///
/// The meddler is told whether it may falsify, and sees all answers.
pub(super) async fn falsified<M>(
    ground: &Ground,
    random: &mut StdRng,
    times: u64,
    meddler: impl Fn() -> M,
) -> Result<Outcome>
where
    M: FnMut(&Value, &mut Value, &mut StdRng, bool) -> Meddled + Send + 'static,
{
    let (mut outcome, mut unread) = (Outcome::default(), 0);
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let proxy = RpcProxy::start(world.chain()?.http_url()).await?;
        let status = Status::at_free_port()?;
        let rpc_url = Some(proxy.http_url());
        world.detour(&Detours { rpc_url, operations_port: Some(status.port), ..Detours::default() })?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        load.blocks(world.chain()?, random, 30).await?;
        let allowed = Arc::new(AtomicBool::new(false));
        proxy.meddle(StdRng::seed_from_u64(random.random()), one_at_a_time(allowed.clone(), meddler()));
        let mut indexer = world.index()?;
        let (mut blocks, mut falsified) = (30, 0);
        while outcome.tried + falsified < times && blocks < BLOCKS_A_CHAIN {
            let faults = world
                .answer("/status answers", || async move { Ok(Some(status.of_endpoint(0, "faults").await?)) })
                .await?;
            allowed.store(true, Ordering::Relaxed);
            blocks += something_happens(&world, &mut load, random, 8).await?;
            let (_, head) = node::head(world.chain()?).await?;
            let given = || async { Ok(proxy.meddled() > falsified || world.cursor_is(head).await?) };
            let mut seen = world.until("an answer is falsified, or none was asked for", given).await.map(|()| true);
            // None is given between this round's count of faults and the next one's.
            allowed.store(false, Ordering::Relaxed);
            if seen.is_ok() && proxy.meddled() > falsified {
                seen = is_noticed(&world, &mut load, random, status, faults).await;
            }
            match seen {
                Ok(noticed) => unread += u64::from(!noticed),
                Err(error) => {
                    let ended = indexer.ended(Duration::ZERO).await;
                    outcome.broken.push(format!("{error} (the indexer: {ended:?}), see index.log"));
                    return Ok(outcome);
                }
            }
            falsified = proxy.meddled();
        }
        if falsified == 0 {
            outcome.broken.push(format!("{}: nothing that could be falsified was asked for", world.name));
            return Ok(outcome);
        }
        outcome.tried += falsified;
        proxy.be_honest();
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    let Outcome { tried, .. } = outcome;
    outcome.figure = format!("injected {tried}, detected {}, read by nobody {unread}, accepted 0", tried - unread);
    if unread * 20 > tried {
        outcome.broken.push(format!("{unread} of {tried} falsified answers were not noticed"));
    }
    Ok(outcome)
}

/// Whether the indexer notices what was falsified. On a busy machine it may have given the call up before the answer came: then nobody reads it, and the
/// journal goes past it.
async fn is_noticed(
    world: &World<'_>,
    load: &mut Load,
    random: &mut StdRng,
    status: Status,
    faults: u64,
) -> Result<bool> {
    let chain = world.chain()?;
    let (_, head) = node::head(chain).await?;
    let noticed = || async { Ok(status.of_endpoint(0, "faults").await? > faults) };
    let noticed_or_past = || async { Ok(noticed().await? || world.cursor_is(head).await?) };
    world.until("a falsified answer is noticed, or nobody reads it", noticed_or_past).await?;
    if !noticed().await? {
        load.blocks(chain, random, 1).await?;
        world.caught_up(chain).await?;
    }
    noticed().await
}

/// Falsifies one answer for each time that it is allowed.
fn one_at_a_time<M>(
    allowed: Arc<AtomicBool>,
    mut meddler: M,
) -> impl FnMut(&Value, &mut Value, &mut StdRng) -> Meddled + Send + 'static
where
    M: FnMut(&Value, &mut Value, &mut StdRng, bool) -> Meddled + Send + 'static,
{
    move |call, answer, random| {
        let meddled = meddler(call, answer, random, allowed.load(Ordering::Relaxed));
        if !matches!(meddled, Meddled::Not) {
            allowed.store(false, Ordering::Relaxed);
        }
        meddled
    }
}
