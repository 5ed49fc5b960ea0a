//! A node whose chain grows by a block a second, and a table of when each block was where. Prints the node's address when it listens; goes on when
//! Postgres and topic hold the history.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Instant};

use clap::Parser;
use eyre::{Result, WrapErr, eyre};
use runproof_bench::{
    chain::Recipe,
    live::{self, subscriber::Subscriber, watch},
    replay::{self, Replay},
};
use sqlx::{Connection, PgConnection};
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
    /// Kafka's
    #[arg(long)]
    bootstrap: String,
    /// The relay's topic of events
    #[arg(long)]
    topic: String,
    /// Where the API serves
    #[arg(long)]
    api: SocketAddr,
    /// Its certificate
    #[arg(long)]
    certificate: PathBuf,
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
    let (read, reading) = oneshot::channel();
    let (bootstrap, topic) = (arguments.bootstrap.clone(), arguments.topic.clone());
    let topic = tokio::task::spawn_blocking(move || watch::kafka(&bootstrap, &topic, recipe.events, all, read));
    reading.await.wrap_err("the topic cannot be read")?;
    let mut connection = PgConnection::connect(&arguments.postgres_url).await?;
    let position: i64 = sqlx::query_scalar("select position from journal.source").fetch_one(&mut connection).await?;
    let subscriber = Subscriber::connect(arguments.api, &arguments.certificate, u64::try_from(position)?).await?;
    let (arrived, in_postgres, in_topic, at_subscriber) = tokio::try_join!(
        grow(node, recipe.last_block() - recipe.blocks),
        watch::postgres(&arguments.postgres_url, &recipe),
        async { topic.await? },
        subscriber.watch(recipe.events, all),
    )?;
    let places = [in_postgres, in_topic, at_subscriber];
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
