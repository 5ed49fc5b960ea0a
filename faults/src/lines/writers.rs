//! More than one indexer, of which each may believe to be the one.

use std::time::{Duration, Instant};

use eyre::Result;
use nix::sys::signal::Signal;
use rand::{Rng, rngs::StdRng};

use super::{BLOCKS_A_CHAIN, judge, p99, panics, some_time, something_happens};
use crate::{ground::Ground, line::Outcome, load::Load, process::Role, world::World};

/// How long a zombie may take to notice; it does at its next write.
const FENCED_WITHIN: Duration = Duration::from_secs(30);

/// Ends the sessions that hold a lease, and nothing else of their processes.
const END_LEASES: &str =
    "select count(pg_terminate_backend(l.pid)) from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and d.datname = current_database() and l.classid::bigint >> 8 = x'727000'::bigint";
/// That of the journal's writer only.
const END_WRITERS_LEASE: &str = "select count(pg_terminate_backend(l.pid)) from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and d.datname = current_database() and l.classid::bigint = x'72700001'::bigint and l.granted";

/// Line 20. A frozen process keeps its sessions: those of its leases are ended, as somebody would who wants a successor at once. What it has open
/// besides, such as a transaction in the middle, is left as it is.
pub(crate) async fn zombie(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut fenced, mut takeovers_ms) = (0, Vec::new());
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let mut current = world.index_as("index-0")?;
        world.taken_over(0).await?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            blocks += something_happens(&world, &mut load, random, 6).await?;
            some_time(random, 150).await;
            let epoch = world.epoch().await?;
            current.signal(Signal::SIGSTOP)?;
            world.number(END_LEASES).await?;
            let next = world.index_as(&format!("index-{}", outcome.tried + 1))?;
            let begun = Instant::now();
            world.taken_over(epoch).await?;
            takeovers_ms.push(begun.elapsed().as_millis());
            blocks += something_happens(&world, &mut load, random, 6).await?;
            world.caught_up(world.chain()?).await?;
            current.signal(Signal::SIGCONT)?;
            blocks += something_happens(&world, &mut load, random, 6).await?;
            fenced += u64::from(is_fenced(&mut current).await);
            outcome.broken.extend(panics(&world, &current));
            current.kill().await?;
            current = next;
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, current).await?);
        world.end().await;
    }
    if fenced != outcome.tried {
        outcome.broken.push(format!("{fenced} of {} zombies were fenced", outcome.tried));
    }
    outcome.figure = format!("fenced {fenced} of {}; replaced within {} ms (p99)", outcome.tried, p99(takeovers_ms));
    Ok(outcome)
}

/// A thawed indexer finds out that it was replaced, and ends or stands by.
async fn is_fenced(thawed: &mut Role) -> bool {
    let deadline = Instant::now() + FENCED_WITHIN;
    while Instant::now() < deadline {
        let ended = thawed.ended(Duration::from_millis(100)).await.is_some();
        if ended || thawed.log().contains("standing by") {
            return true;
        }
    }
    false
}

/// Line 22, with a standby that takes over at once.
pub(crate) async fn session_lost(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut takeovers_ms = Vec::new();
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let (one, other) = (world.index()?, world.index_as("standby")?);
        world.taken_over(0).await?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            blocks += something_happens(&world, &mut load, random, 8).await?;
            some_time(random, 100).await;
            let epoch = world.epoch().await?;
            let (ended, begun) = (world.number(END_WRITERS_LEASE).await?, Instant::now());
            let happening = something_happens(&world, &mut load, random, 8);
            let taken_over = async {
                world.taken_over(if ended > 0 { epoch } else { 0 }).await?;
                Ok(begun.elapsed().as_millis())
            };
            let (more, took_ms) = tokio::try_join!(happening, taken_over)?;
            blocks += more;
            if ended > 0 {
                takeovers_ms.push(took_ms);
                outcome.tried += 1;
            }
        }
        world.caught_up(world.chain()?).await?;
        outcome.broken.extend(panics(&world, &other));
        outcome.broken.extend(judge_any(&world, vec![one, other]).await?);
        world.end().await;
    }
    outcome.figure = format!("another epoch writes within {} ms (p99)", p99(takeovers_ms));
    Ok(outcome)
}

/// Line 23: started at once, and the lease taken from whoever has it.
pub(crate) async fn race(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    const ROUNDS: usize = 8;
    let mut outcome = Outcome::default();
    let (mut epochs, mut skipped) = (0, 0);
    for _ in 0..times {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        load.blocks(world.chain()?, random, 20).await?;
        let racing =
            ["one", "two", "three"].map(|name| world.index_as(name)).into_iter().collect::<Result<Vec<_>>>()?;
        for _ in 0..ROUNDS {
            something_happens(&world, &mut load, random, 8).await?;
            some_time(random, 400).await;
            if random.random_bool(0.7) {
                world.number(END_LEASES).await?;
            }
        }
        outcome.broken.extend(judge_any(&world, racing).await?);
        epochs += world.epoch().await?;
        skipped += world.number("select coalesce(max(position), 0) - count(*) from journal.entry").await?;
        outcome.tried += 1;
        world.end().await;
    }
    if skipped != 0 {
        outcome.broken.push(format!("{skipped} positions were skipped"));
    }
    outcome.figure = format!("{epochs} times another writer, positions skipped {skipped}");
    Ok(outcome)
}

/// Of several indexers at least one must be up, and the journal must agree with the chain.
async fn judge_any(world: &World<'_>, indexers: Vec<Role>) -> Result<Vec<String>> {
    let mut broken = world.audit(world.chain()?).await?;
    for mut indexer in indexers {
        broken.extend(panics(world, &indexer));
        if indexer.ended(Duration::ZERO).await.is_none() {
            indexer.kill().await?;
        }
    }
    Ok(broken)
}
