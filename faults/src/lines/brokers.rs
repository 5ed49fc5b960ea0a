//! Kafka dies in the middle of a transaction, gets its end too late, or takes too long over a message.

use std::time::{Duration, Instant};

use eyre::Result;
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

use super::{BLOCKS_A_CHAIN, judge, p99, something_happens};
use crate::{
    ground::Ground,
    kafka_proxy::{KafkaProxy, Request, Side, Step},
    line::Outcome,
    load::Load,
    world::{Detours, World},
};

/// Between a transaction's beginning and the broker's word that it has ended.
const IN_MID_TRANSACTION: [Step; 5] = [
    Step { request: Request::AddPartitionsToTxn, side: Side::After },
    Step { request: Request::Produce, side: Side::Before },
    Step { request: Request::Produce, side: Side::After },
    Step { request: Request::EndTxn, side: Side::Before },
    Step { request: Request::EndTxn, side: Side::After },
];

/// Line 18.
pub(crate) async fn killed(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut recoveries_ms = Vec::new();
    let kafka = ground.stack.kafka()?;
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let proxy = KafkaProxy::start(kafka.bootstrap()).await?;
        world.detour(&Detours { kafka_port: Some(proxy.port), ..Detours::default() })?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let indexer = world.index()?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            let caught = proxy.snare.set(*IN_MID_TRANSACTION.choose(random).unwrap_or(&IN_MID_TRANSACTION[0]));
            blocks += something_happens(&world, &mut load, random, 4).await?;
            load.blocks(world.chain()?, random, 3).await?;
            blocks += 3;
            let caught = tokio::time::timeout(Duration::from_secs(90), caught).await??;
            kafka.kill().await;
            drop(caught);
            kafka.restart().await?;
            let begun = Instant::now();
            // Were a transaction left hanging, nobody would see what came after it.
            outcome.broken.extend(world.audit(world.chain()?).await?);
            recoveries_ms.push(begun.elapsed().as_millis());
            outcome.tried += 1;
            if !outcome.broken.is_empty() {
                return Ok(outcome);
            }
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    outcome.figure = format!(
        "hanging transactions 0; the topic is whole again p99 {} ms after the broker is back",
        p99(recoveries_ms)
    );
    Ok(outcome)
}

/// Line 19.
pub(crate) async fn late_end(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let proxy = KafkaProxy::start(ground.stack.kafka()?.bootstrap()).await?;
        // Several requests a transaction, so that its end can come between them.
        world.detour(&Detours {
            kafka_port: Some(proxy.port),
            kafka_client: vec![("batch.num.messages", "4")],
            ..Detours::default()
        })?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let indexer = world.index()?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN {
            let before = proxy.late.delivered();
            proxy.late.keep_next();
            let deadline = Instant::now() + Duration::from_secs(120);
            while proxy.late.delivered() == before && blocks < BLOCKS_A_CHAIN * 2 {
                load.blocks(world.chain()?, random, 2).await?;
                blocks += 2;
                world.caught_up(world.chain()?).await?;
                if Instant::now() > deadline {
                    outcome.broken.push(format!("{}: no transaction followed a late end", world.name));
                    return Ok(outcome);
                }
            }
            outcome.tried += proxy.late.delivered() - before;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        world.end().await;
    }
    outcome.figure = format!("{} delivered into another transaction; lost, doubled, reordered 0", outcome.tried);
    Ok(outcome)
}

/// Line 21: a request, or the answer to it, is held until the relay has given its messages up.
pub(crate) async fn timed_out(ground: &Ground, random: &mut StdRng, times: u64) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let mut done = 0;
    while outcome.tried < times {
        let world = World::new(ground).await?;
        let proxy = KafkaProxy::start(ground.stack.kafka()?.bootstrap()).await?;
        let kafka_client = vec![("message.timeout.ms", "2000")];
        world.detour(&Detours { kafka_port: Some(proxy.port), kafka_client, ..Detours::default() })?;
        let mut load = Load::new(world.chain()?, world.registry.address).await?;
        let indexer = world.index()?;
        let mut blocks = 0;
        while outcome.tried < times && blocks < BLOCKS_A_CHAIN && outcome.broken.is_empty() {
            let given_up = || indexer.log().matches(NOT_DELIVERED).count();
            let (before, side) = (given_up(), if random.random_bool(0.5) { Side::Before } else { Side::After });
            let caught = proxy.snare.set(Step { request: Request::Produce, side });
            load.blocks(world.chain()?, random, 3).await?;
            blocks += 3;
            let caught = tokio::time::timeout(Duration::from_secs(90), caught).await??;
            world.until("the relay gives the messages up", async || Ok(given_up() > before)).await?;
            drop(caught);
            outcome.broken.extend(world.audit(world.chain()?).await?);
            done += u64::from(side == Side::After);
            outcome.tried += 1;
        }
        outcome.broken.extend(judge(&world, indexer).await?);
        if !outcome.broken.is_empty() {
            return Ok(outcome);
        }
        world.end().await;
    }
    outcome.figure = format!("incomplete commits 0; {done} of them were delivered all the same");
    Ok(outcome)
}

/// How the relay says so: by what librdkafka found first, they timed out or were purged from a transaction that had.
const NOT_DELIVERED: &str = "a message was not delivered";
