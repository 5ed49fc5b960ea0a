//! Measures, in turn and more than once, on the same rows and a private Postgres with its default durability: what Postgres itself can take, the
//! indexer alone, and the indexer with the relay. Prints a table.

use std::{num::NonZeroU64, path::PathBuf};

use clap::Parser;
use eyre::{Result, WrapErr, eyre};
use runproof_bench::{
    chain::{Recipe, Shape},
    measure::Bench,
    table,
};

#[derive(Parser)]
struct Arguments {
    /// The folder in which chains are kept
    #[arg(long)]
    cache: PathBuf,
    /// The folder of the optimised programs bench-replay and bench-subject
    #[arg(long)]
    programs: PathBuf,
    /// How events are spread over logs
    #[arg(long, value_enum, default_values = ["single", "batched"])]
    shape: Vec<Shape>,
    /// Events in all
    #[arg(long, default_value = "500000")]
    events: NonZeroU64,
    /// Blocks that hold them
    #[arg(long, default_value = "2000")]
    blocks: NonZeroU64,
    /// How often each is measured
    #[arg(long, default_value_t = 3)]
    rounds: usize,
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let Arguments { cache, programs, shape, events, blocks, rounds } = Arguments::parse();
    std::fs::create_dir_all(&cache).wrap_err_with(|| format!("creating {}", cache.display()))?;
    let bench = Bench::start(cache, programs).await?;
    for shape in shape {
        let recipe = Recipe { shape, events: events.get(), blocks: blocks.get() };
        let figures = bench.measure(recipe, rounds).await?;
        println!("{}", table::render(&recipe, &figures));
    }
    bench.stop().await;
    Ok(())
}
