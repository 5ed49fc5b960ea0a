//! Postgres goes away, stands still, keeps to itself what it did, or has no room for it.

use std::time::Duration;

use eyre::{Result, ensure};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::{Rng, rngs::StdRng};

use super::{BLOCKS_A_CHAIN, judge, p99, some_time, something_happens};
use crate::{
    disk::Disk,
    ground::Ground,
    line::Outcome,
    load::Load,
    postgres_proxy::{CommitPoint, PostgresProxy},
    process::Role,
    world::{Detours, World},
};

/// Line 15: by turns.
pub(crate) async fn killed(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let (mut ambiguous, mut recoveries_ms) = (0, Vec::new());
    let postgres = ground.stack.postgres()?;
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let proxy = PostgresProxy::start(world.postgres_port()?).await?;
        world.detour(&Detours { postgres_port: Some(proxy.port), ..Detours::default() })?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let indexer = world.index()?;
        // Without a database it would not start at all, and say so.
        world.taken_over(0).await?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            if outcome.tried % 2 == 0 {
                blocks += something_happens(&world, &mut load, random, 8).await?;
                some_time(random, 60).await;
                postgres.kill().await;
                postgres.restart().await?;
            } else {
                let caught = proxy.snare.set(CommitPoint::After);
                load.blocks(world.chain()?, random, 2).await?;
                blocks += 2;
                drop(tokio::time::timeout(Duration::from_secs(60), caught).await??);
                ambiguous += 1;
            }
            let begun = std::time::Instant::now();
            world.caught_up(world.chain()?).await?;
            recoveries_ms.push(begun.elapsed().as_millis());
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    outcome.figure =
        format!("ambiguous commits resolved {ambiguous} of {ambiguous}; caught up again p99 {} ms", p99(recoveries_ms));
    Ok(outcome)
}

/// Line 16: by turns the indexer's own sessions are frozen, and its tables locked.
pub(crate) async fn frozen(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut frozen = 0;
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let indexer = world.index()?;
        world.taken_over(0).await?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            if outcome.tried % 2 == 0 {
                frozen += freeze(&world, &mut load, random).await?;
            } else {
                lock(&world, &mut load, random).await?;
            }
            blocks += 10;
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    outcome.figure = format!("{frozen} sessions frozen, partial writes 0");
    Ok(outcome)
}

/// Freezes the sessions that the indexer has now, which are children of a server of ours, while blocks come.
async fn freeze(world: &World<'_>, load: &mut Load, random: &mut StdRng) -> Result<usize> {
    let sql = "select pid from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()";
    let sessions: Vec<i32> = sqlx::query_scalar(sql).fetch_all(&world.pool).await?;
    let ours: Vec<i32> = sqlx::query_scalar("select pg_backend_pid()").fetch_all(&world.pool).await?;
    let sessions: Vec<Pid> = sessions.into_iter().filter(|pid| !ours.contains(pid)).map(Pid::from_raw).collect();
    some_time(random, 30).await;
    // One that has ended meanwhile cannot be frozen.
    let send = |signal| sessions.iter().filter(|pid| kill(**pid, signal).is_ok()).count();
    let frozen = send(Signal::SIGSTOP);
    let happened = something_happens(world, load, random, 4).await;
    some_time(random, 1_500).await;
    send(Signal::SIGCONT);
    happened?;
    Ok(frozen)
}

/// Holds a lock that the indexer's writes wait for; sometimes both wait for each other.
async fn lock(world: &World<'_>, load: &mut Load, random: &mut StdRng) -> Result<()> {
    let mut other = world.pool.begin().await?;
    sqlx::query("lock table journal.record in access exclusive mode").execute(&mut *other).await?;
    something_happens(world, load, random, 4).await?;
    some_time(random, 800).await;
    if random.random_bool(0.5) {
        // The indexer holds its cursor's row and waits for the table: a circle, in which Postgres ends one of the two.
        let _ = sqlx::query("update journal.source set updated_at = now()").execute(&mut *other).await;
    }
    let _ = other.rollback().await;
    Ok(())
}

/// Line 17.
pub(crate) async fn full(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    if !Disk::may_be_mounted() {
        return Ok(Outcome::skipped("only root may mount a disk"));
    }
    let mut recoveries_ms = Vec::new();
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let disk = Disk::under(&world).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let indexer = world.index()?;
        world.taken_over(0).await?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            let before = refused_for_room(&indexer);
            disk.fill()?;
            while refused_for_room(&indexer) == before {
                ensure!(blocks < 2 * BLOCKS_A_CHAIN, "{}: the full disk was never noticed", world.name);
                blocks += something_happens(&world, &mut load, random, 8).await?;
                some_time(random, 60).await;
            }
            disk.free()?;
            let begun = std::time::Instant::now();
            world.caught_up(world.chain()?).await?;
            recoveries_ms.push(begun.elapsed().as_millis());
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        let name = world.name.clone();
        world.end().await;
        disk.leave(&name).await?;
    }
    outcome.figure = format!("caught up again p99 {} ms after there is room; corrupt 0", p99(recoveries_ms));
    Ok(outcome)
}

fn refused_for_room(indexer: &Role) -> usize {
    indexer.log().matches("No space left on device").count()
}
