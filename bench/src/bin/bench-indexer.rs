//! Measures the indexer on a private Postgres with its default durability. Back-fill, in turn and more than once, on the same rows: what the node can
//! give, what Postgres can take, the indexer alone and with its relay, and a peer. Live: from a block to Postgres, topic and subscription. Prints tables.

use std::{collections::BTreeSet, num::NonZeroU64, path::PathBuf};

use clap::Parser;
use eyre::{Result, WrapErr, eyre};
use runproof_bench::{
    chain::{Recipe, Shape},
    live::Reader,
    measure::{Bench, Peer},
    table,
};

/// Blocks of the history before which live latency is measured: a short one, and one as long as the back-fill's.
const SHORT: u64 = 100;

#[derive(Parser)]
struct Arguments {
    /// The folder in which chains and peers are kept
    #[arg(long)]
    cache: PathBuf,
    /// The folder of the optimised programs
    #[arg(long)]
    programs: PathBuf,
    /// How events are spread over logs
    #[arg(long, value_enum, default_values = ["single", "batched"])]
    shape: Vec<Shape>,
    /// Events in all; given more than once, it is told how the time grows
    #[arg(long, default_values = ["500000"])]
    events: Vec<NonZeroU64>,
    /// Events a block
    #[arg(long, default_value = "250")]
    density: NonZeroU64,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Another project's indexer to measure beside ours; installed if it is not there
    #[arg(long, value_enum)]
    peer: Option<Peer>,
    /// Live blocks of each load that are measured, one a second; 0 leaves live latency out
    #[arg(long, default_value_t = 60)]
    live_blocks: u64,
    /// Live blocks before them that do not count
    #[arg(long, default_value_t = 10)]
    warm_up: u64,
    /// Who reads what is live, beside Postgres: all that runs shares the cores
    #[arg(long, value_enum, default_values = ["topic", "subscription"])]
    reader: Vec<Reader>,
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let arguments = Arguments::parse();
    std::fs::create_dir_all(&arguments.cache).wrap_err_with(|| format!("creating {}", arguments.cache.display()))?;
    let bench = Bench::start(arguments.cache.clone(), arguments.programs.clone()).await?;
    let measured = measure(&bench, &arguments).await;
    bench.stop().await;
    measured
}

async fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let recipe =
        |shape, events: u64| Recipe { shape, events, blocks: events.div_ceil(arguments.density.get()), live_blocks: 0 };
    for shape in arguments.shape.iter().filter(|_| arguments.rounds > 0) {
        let mut all = Vec::new();
        for events in &arguments.events {
            let recipe = recipe(*shape, events.get());
            let figures = bench.measure(recipe, arguments.rounds, arguments.peer).await?;
            println!("{}", table::render(&recipe, &figures));
            all.push((recipe, figures));
        }
        println!("{}", table::render_growth(&all));
    }
    if arguments.live_blocks > 0 {
        let long = arguments.events.iter().max().map_or(0, |events| events.get());
        for events in BTreeSet::from([SHORT * arguments.density.get(), long]) {
            // A block has gas for thousands of states only if they come in batches.
            let recipe =
                Recipe { live_blocks: arguments.live_blocks + arguments.warm_up, ..recipe(Shape::Batched, events) };
            let (name, readers) = (format!("live_{events}"), &arguments.reader[..]);
            println!("{}", bench.live(&name, recipe, arguments.warm_up, readers).await?);
        }
    }
    Ok(())
}
