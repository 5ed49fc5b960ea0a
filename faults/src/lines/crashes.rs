//! The indexer is killed: at any moment, and at those that matter.

use std::time::{Duration, Instant};

use eyre::Result;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};
use runproof_stack::Kafka;

use super::{BLOCKS_A_CHAIN, judge, p99, some_time, something_happens};
use crate::{
    ground::Ground,
    kafka_proxy::{KafkaProxy, Request, Side, Step},
    line::Outcome,
    load::Load,
    postgres_proxy::{CommitPoint, PostgresProxy},
    world::{Detours, World},
};

/// Line 1.
pub(crate) async fn at_random(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut restarts_ms = Vec::new();
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        load.blocks(world.chain()?, random, 10).await?;
        let mut blocks = 10;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            let epoch = world.epoch().await?;
            let begun = Instant::now();
            let indexer = world.index()?;
            world.taken_over(epoch).await?;
            restarts_ms.push(begun.elapsed().as_millis());
            // Half of the kills come while there is much to catch up with, half while things happen.
            if random.random_bool(0.5) {
                some_time(random, 40).await;
            } else {
                blocks += something_happens(&world, &mut load, random, 8).await?;
                some_time(random, 120).await;
            }
            indexer.kill().await?;
            outcome.tried += 1;
            blocks += something_happens(&world, &mut load, random, 8).await?;
        }
        let indexer = world.index()?;
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    outcome.figure = format!("restart p99 {} ms", p99(restarts_ms));
    Ok(outcome)
}

/// A point at which the indexer is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Point {
    Postgres(CommitPoint),
    Kafka(Step),
}

fn points() -> Vec<Point> {
    let kafka =
        Request::ALL.into_iter().flat_map(|request| [Side::Before, Side::After].map(|side| Step { request, side }));
    [CommitPoint::Before, CommitPoint::After].map(Point::Postgres).into_iter().chain(kafka.map(Point::Kafka)).collect()
}

/// Line 2.
pub(crate) async fn at_commits(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let points = points();
    let mut covered = Vec::new();
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let postgres = PostgresProxy::start(world.postgres_port()?).await?;
        let kafka = KafkaProxy::start(ground.stack.kafka().map(Kafka::bootstrap)?).await?;
        let detours =
            Detours { postgres_port: Some(postgres.port), kafka_port: Some(kafka.port), ..Detours::default() };
        world.detour(&detours)?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            let point = match points.get(usize::try_from(outcome.tried)?) {
                Some(point) => *point,
                None => *points.choose(random).unwrap_or(&points[0]),
            };
            let caught = match point {
                Point::Postgres(point) => postgres.snare.set(point),
                Point::Kafka(step) => kafka.snare.set(step),
            };
            let indexer = world.index()?;
            // Transactions of Kafka need something to tell.
            blocks += something_happens(&world, &mut load, random, 4).await?;
            load.blocks(world.chain()?, random, 2).await?;
            blocks += 2;
            match tokio::time::timeout(Duration::from_secs(60), caught).await {
                Ok(Ok(caught)) => {
                    indexer.kill().await?;
                    drop(caught);
                    covered.push(point);
                    outcome.tried += 1;
                }
                _ => {
                    outcome.broken.push(format!("{}: {point:?} was never reached", world.name));
                    indexer.kill().await?;
                    break;
                }
            }
        }
        let indexer = world.index()?;
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    let distinct = points.iter().filter(|point| covered.contains(point)).count();
    outcome.figure = format!("{distinct} of {} points covered", points.len());
    Ok(outcome)
}
