//! The executor is killed, or is not the only one.

use std::time::Duration;

use eyre::Result;
use rand::{Rng, rngs::StdRng};

use super::some_time;
use crate::{ground::Ground, line::Outcome, rpc_proxy::Passing, runs::Runs};

/// Tries on one world: anvil becomes slow with more.
pub(super) const TRIES_A_WORLD: u64 = 40;
/// anvil calls a block final that has so many above it.
const FINAL_BELOW: u64 = 64;

/// A point at which the executor is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    /// Something of a transaction passes the proxy.
    Passing(Passing),
    /// Postgres has what the receipt told.
    ReceiptNoted,
}

const POINTS: [Point; 6] = [
    Point::Passing(Passing::Estimate),
    Point::Passing(Passing::Sending),
    Point::Passing(Passing::Sent),
    Point::Passing(Passing::Receipt),
    Point::ReceiptNoted,
    Point::Passing(Passing::Finalized),
];

/// Line 24.
pub(crate) async fn killed(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    while outcome.tried < times {
        let mut runs = Runs::new(ground, random).await?;
        let until = times.min(outcome.tried + TRIES_A_WORLD);
        while outcome.tried < until {
            let point = POINTS[usize::try_from(outcome.tried)? % POINTS.len()];
            if !kill_at(&mut runs, random, point).await? {
                outcome.broken.push(format!("{}: {point:?} was never reached", runs.world.name));
            }
            outcome.tried += 1;
        }
        let executor = runs.follow()?;
        outcome.broken.extend(runs.judge(&runs.desk, &executor).await?);
        executor.kill().await?;
        runs.end().await;
    }
    let covered = POINTS.len().min(usize::try_from(outcome.tried)?);
    outcome.figure = format!("{covered} of {} points covered, effects of each state 1", POINTS.len());
    Ok(outcome)
}

/// Whether the point was reached.
async fn kill_at(runs: &mut Runs<'_>, random: &mut StdRng, point: Point) -> Result<bool> {
    let executor = runs.follow()?;
    let started = random.random_range(1..=2);
    let caught = match point {
        Point::ReceiptNoted => {
            let before = runs.count("included").await?;
            runs.start(started).await?;
            let noted = || async { Ok(runs.count("included").await? > before) };
            runs.world.until("a receipt is noted", noted).await?;
            executor.kill().await?;
            return Ok(true);
        }
        Point::Passing(Passing::Finalized) => {
            runs.start(started).await?;
            runs.quiet(&runs.desk).await?;
            let caught = runs.proxy.snare.set(Passing::Finalized);
            runs.world.chain()?.mine(FINAL_BELOW).await?;
            caught
        }
        Point::Passing(passing) => {
            let caught = runs.proxy.snare.set(passing);
            runs.start(started).await?;
            caught
        }
    };
    let caught = tokio::time::timeout(Duration::from_secs(60), caught).await;
    executor.kill().await?;
    Ok(matches!(caught, Ok(Ok(_))))
}

/// Ends the sessions by which executors lead, and nothing else of their processes.
const END_LEASES: &str =
    "select count(pg_terminate_backend(l.pid)) from pg_locks l join pg_database d on d.oid = l.database
    where l.locktype = 'advisory' and d.datname = current_database() and l.granted and l.mode = 'ExclusiveLock'";

/// Line 29: by turns on one database, where one leads until its session is lost, and each on a database of its own, where nothing but the
/// contract and the nonces stand between them.
pub(crate) async fn two(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    const WAVES: u64 = 3;
    let mut outcome = Outcome::default();
    let (mut wasted, mut sent) = (0, 0);
    while outcome.tried < times {
        let mut runs = Runs::new(ground, random).await?;
        let second = if outcome.tried.is_multiple_of(2) { None } else { Some(runs.second_desk().await?) };
        let other_desk = second.as_ref().unwrap_or(&runs.desk);
        let (one, other) = (runs.follow()?, runs.follow_at(other_desk, "follow-2")?);
        for _ in 0..WAVES {
            let started = random.random_range(1..=3);
            runs.start(started).await?;
            some_time(random, 300).await;
            if second.is_none() {
                runs.world.number(END_LEASES).await?;
            }
            some_time(random, 300).await;
        }
        outcome.broken.extend(runs.judge(&runs.desk, &one).await?);
        outcome.broken.extend(runs.judge(second.as_ref().unwrap_or(&runs.desk), &other).await?);
        wasted += runs.count("reverted").await?;
        sent += runs.count("included").await?;
        one.kill().await?;
        other.kill().await?;
        outcome.tried += 1;
        runs.end().await;
    }
    outcome.figure = format!("double registrations 0; {wasted} transactions reverted beside {sent}");
    Ok(outcome)
}
