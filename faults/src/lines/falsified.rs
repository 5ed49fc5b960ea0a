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
use runproof_stack::Chain;
use serde_json::Value;

use super::{BLOCKS_A_CHAIN, judge_on, something_happens};
use crate::{
    ground::Ground,
    line::Outcome,
    load::Load,
    node,
    process::Role,
    rpc_proxy::{Meddled, RpcProxy},
    status::Status,
    world::{Detours, World},
};

/// Where answers are falsified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Where {
    /// While blocks come and go.
    Live,
    /// There first, then on the way through what the chain holds by now, by one indexer after the other, of which every other one is not strict: no
    /// block has to be waited for.
    AlsoOnTheWay,
}

/// Of a chain: answers falsified live before those on the way, how many indexers read it anew, and blocks that these find more.
const LIVE: u64 = 25;
const ANEW: u64 = 20;
const BLOCKS_MORE: u64 = 150;

/// Runs indexers on falsified answers until so many were given, each noticed before the next; then they must still agree with the chain.
///
/// The meddler is told whether it may falsify, and sees all answers.
pub(super) async fn falsified<M>(
    ground: &Ground,
    random: &mut StdRng,
    times: u64,
    place: Where,
    meddler: impl Fn() -> M,
) -> Result<Outcome>
where
    M: FnMut(&Value, &mut Value, &mut StdRng, bool) -> Meddled + Send + 'static,
{
    let (mut outcome, mut unread) = (Outcome::default(), 0);
    while outcome.tried < times && outcome.broken.is_empty() {
        let world = World::new(ground).await?;
        let chain = world.chain()?;
        let mut load = Load::new(chain, world.registry.address).await?;
        load.blocks(chain, random, 30).await?;
        let left = times - outcome.tried;
        let live = if place == Where::Live { left } else { LIVE.min(left.div_ceil(2)) };
        let allowed = Arc::new(AtomicBool::new(false));
        let told = one_at_a_time(allowed.clone(), meddler());
        let mut deceived = Deceived::start(&world, chain, true, random, told).await?;
        let lasted = deceived.live(&allowed, &mut load, random, live).await;
        deceived.end(lasted, &mut outcome, &mut unread).await?;
        if place == Where::AlsoOnTheWay {
            load.blocks(chain, random, BLOCKS_MORE.min(left)).await?;
            for time in 0..ANEW {
                let left = times.saturating_sub(outcome.tried);
                if left == 0 || !outcome.broken.is_empty() {
                    break;
                }
                let anew = World::on(ground, ground.name(), world.registry, chain).await?;
                let told = until_asked_again(left, meddler());
                let mut deceived = Deceived::start(&anew, chain, time % 2 == 1, random, told).await?;
                let lasted = deceived.on_the_way().await;
                deceived.end(lasted, &mut outcome, &mut unread).await?;
                anew.end().await;
            }
        }
        world.end().await;
    }
    let Outcome { tried, .. } = outcome;
    outcome.figure = format!("injected {tried}, detected {}, read by nobody {unread}, accepted 0", tried - unread);
    if unread * 20 > tried {
        outcome.broken.push(format!("{unread} of {tried} falsified answers were not noticed"));
    }
    Ok(outcome)
}

/// An indexer, and what it is told.
struct Deceived<'a> {
    world: &'a World<'a>,
    chain: &'a Chain,
    proxy: RpcProxy,
    status: Status,
    indexer: Role,
    given: u64,
    unread: u64,
}

impl<'a> Deceived<'a> {
    async fn start(
        world: &'a World<'a>,
        chain: &'a Chain,
        strict: bool,
        random: &mut StdRng,
        meddler: impl FnMut(&Value, &mut Value, &mut StdRng) -> Meddled + Send + 'static,
    ) -> Result<Self> {
        let proxy = RpcProxy::start(chain.http_url()).await?;
        let status = Status::at_free_port()?;
        world.detour(&Detours {
            rpc_url: Some(proxy.http_url()),
            operations_port: Some(status.port),
            chain: format!("strict = {strict}"),
            ..Detours::default()
        })?;
        proxy.meddle(StdRng::seed_from_u64(random.random()), meddler);
        let indexer = world.index()?;
        Ok(Self { world, chain, proxy, status, indexer, given: 0, unread: 0 })
    }

    /// Has answers falsified while blocks come and go.
    async fn live(&mut self, allowed: &AtomicBool, load: &mut Load, random: &mut StdRng, times: u64) -> Result<()> {
        let mut blocks = 30;
        while self.given < times && blocks < BLOCKS_A_CHAIN {
            let faults = self.faults().await?;
            allowed.store(true, Ordering::Relaxed);
            blocks += something_happens(self.world, load, random, 8).await?;
            if self.is_given(allowed).await? && !self.is_noticed(faults).await? {
                // Nobody read it, if the journal goes past what is there.
                load.blocks(self.chain, random, 1).await?;
                self.world.caught_up(self.chain).await?;
                self.unread += u64::from(self.faults().await? <= faults);
            }
        }
        Ok(())
    }

    /// Lets it go through what the chain holds, while answers are falsified.
    async fn on_the_way(&mut self) -> Result<()> {
        self.world.caught_up(self.chain).await?;
        self.given = self.proxy.meddled();
        self.unread = self.given.saturating_sub(self.faults().await?);
        Ok(())
    }

    /// Waits until an answer is falsified, or the journal is where the chain is. None is given before this is asked again.
    async fn is_given(&mut self, allowed: &AtomicBool) -> Result<bool> {
        let (_, head) = node::head(self.chain).await?;
        let given = || async { Ok(self.proxy.meddled() > self.given || self.world.cursor_is(head).await?) };
        let seen = self.world.until("an answer is falsified, or none was asked for", given).await;
        allowed.store(false, Ordering::Relaxed);
        let before = std::mem::replace(&mut self.given, self.proxy.meddled());
        seen.map(|()| self.given > before)
    }

    /// Waits until the indexer notices what was falsified. On a busy machine it may have given the call up before the answer came: then nobody reads it, and
    /// the journal goes past it.
    async fn is_noticed(&self, faults: u64) -> Result<bool> {
        let (_, head) = node::head(self.chain).await?;
        let noticed = || async { Ok(self.status.of_endpoint(0, "faults").await? > faults) };
        let noticed_or_past = || async { Ok(noticed().await? || self.world.cursor_is(head).await?) };
        self.world.until("a falsified answer is noticed, or nobody reads it", noticed_or_past).await?;
        noticed().await
    }

    async fn faults(&self) -> Result<u64> {
        let faults = || async { Ok(Some(self.status.of_endpoint(0, "faults").await?)) };
        self.world.answer("/status answers", faults).await
    }

    /// From now on the answers are true: what was indexed must agree with the chain, if the indexer lasted.
    async fn end(mut self, lasted: Result<()>, outcome: &mut Outcome, unread: &mut u64) -> Result<()> {
        outcome.tried += self.given;
        *unread += self.unread;
        self.proxy.be_honest();
        if let Err(error) = lasted {
            let ended = self.indexer.ended(Duration::ZERO).await;
            outcome.broken.push(format!("{error} (the indexer: {ended:?}), see index.log"));
            return Ok(());
        }
        if self.given == 0 {
            let nothing = format!("{}: nothing that could be falsified was asked for", self.world.name);
            outcome.broken.push(nothing);
        }
        outcome.broken.extend(judge_on(self.world, self.chain, self.indexer).await?);
        Ok(())
    }
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

/// Falsifies so many answers at most, and after each none before the same is asked again: then what came first was noticed, and the answer is the true one.
fn until_asked_again<M>(
    mut left: u64,
    mut meddler: M,
) -> impl FnMut(&Value, &mut Value, &mut StdRng) -> Meddled + Send + 'static
where
    M: FnMut(&Value, &mut Value, &mut StdRng, bool) -> Meddled + Send + 'static,
{
    let mut believed = None;
    move |call, answer, random| {
        // What is asked again may reach less far.
        let from = call["params"][0].get("fromBlock").unwrap_or(&call["params"]);
        let asked = (call["method"].clone(), from.clone());
        let again = believed.as_ref() == Some(&asked);
        let meddled = meddler(call, answer, random, believed.is_none() && left > 0);
        match meddled {
            Meddled::Not if again => believed = None,
            Meddled::Not => {}
            _ => {
                believed = Some(asked);
                left -= 1;
            }
        }
        meddled
    }
}
