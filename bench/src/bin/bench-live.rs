//! A node whose chain grows by a block a second, and a table of when each block was where. Prints the node's address when it listens; goes on when
//! Postgres and topic hold the history.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use clap::Parser;
use eyre::{Result, WrapErr, eyre};
use futures::future::OptionFuture;
use runproof_bench::{
    chain::Recipe,
    live::{self, subscriber::Subscriber, watch},
    replay::{self, Replay},
};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    time::{Duration, MissedTickBehavior, interval},
};

const BLOCK_TIME: Duration = Duration::from_secs(1);

#[derive(Parser)]
struct Arguments {
    /// The folder of the chains
    #[arg(long)]
    cache: PathBuf,
    #[command(flatten)]
    recipe: Recipe,
    /// Of the blocks of each load, how many do not count
    #[arg(long)]
    warm_up: usize,
    /// The indexer's database
    #[arg(long)]
    postgres_url: String,
    /// Kafka's, if the topic is read
    #[arg(long, requires = "topic")]
    bootstrap: Option<String>,
    /// The relay's topic of events
    #[arg(long, requires = "bootstrap")]
    topic: Option<String>,
    /// Where the API serves, if a subscription is read
    #[arg(long, requires = "certificate")]
    api: Option<SocketAddr>,
    /// Its certificate
    #[arg(long, requires = "api")]
    certificate: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let arguments = Arguments::parse();
    let recipe = arguments.recipe;
    let node = Arc::new(Replay::open(&recipe.build(&arguments.cache)?, recipe.blocks)?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("{}", listener.local_addr()?);
    tokio::select! {
        served = replay::serve(node.clone(), listener) => served,
        watched = watch_all(&arguments, &node) => watched,
    }
}

async fn watch_all(arguments: &Arguments, node: &Replay) -> Result<()> {
    let recipe = arguments.recipe;
    let all = recipe.events_until(recipe.last_block());
    let topic = match arguments.bootstrap.clone().zip(arguments.topic.clone()) {
        Some((bootstrap, topic)) => {
            let (read, reading) = oneshot::channel();
            let kafka = move || watch::kafka(&bootstrap, &topic, recipe.events, all, read);
            let topic = tokio::task::spawn_blocking(kafka);
            reading.await.wrap_err("the topic cannot be read")?;
            Some(topic)
        }
        None => None,
    };
    let position = watch::position(&arguments.postgres_url, recipe.events).await?;
    let subscriber = match arguments.api.zip(arguments.certificate.as_ref()) {
        Some((api, certificate)) => Some(Subscriber::connect(api, certificate, position).await?),
        None => None,
    };
    let (arrived, in_postgres, in_topic, at_subscriber) = tokio::try_join!(
        grow(node, recipe.last_block() - recipe.blocks),
        watch::postgres(&arguments.postgres_url, &recipe),
        async { OptionFuture::from(topic).await.transpose()?.transpose() },
        async { OptionFuture::from(subscriber.map(|one| one.watch(recipe.events, all))).await.transpose() },
    )?;
    let places: Vec<_> = [Some(in_postgres), in_topic, at_subscriber].into_iter().flatten().collect();
    println!("{}", live::render(&recipe, &arrived, &places, arguments.warm_up));
    Ok(())
}

/// Shows the next blocks, each at its time; returns the moments at which each was shown.
async fn grow(node: &Replay, blocks: u64) -> Result<Vec<Instant>> {
    let mut second = interval(BLOCK_TIME);
    second.set_missed_tick_behavior(MissedTickBehavior::Burst);
    let mut arrived = Vec::new();
    for _ in 0..blocks {
        second.tick().await;
        arrived.push(Instant::now());
        node.grow();
    }
    Ok(arrived)
}
