//! Measures the executor on a private Postgres, chain and emulator: one long execution, many at once, and the paper's run at its own pace. Prints tables.

use std::path::{Path, PathBuf};

use clap::Parser;
use eyre::{OptionExt, Result, WrapErr, eyre};
use runproof_bench::executor::{Bench, Figures, HEADINGS};
use runproof_stack::Recording;

/// Between two blocks of Ethereum.
const ETHEREUM_BLOCK_S: u64 = 12;

#[derive(Parser)]
struct Arguments {
    /// The optimised `runproof`
    #[arg(long)]
    runproof: PathBuf,
    /// States of a long execution; given more than once, it is seen how the cost grows
    #[arg(long, default_values = ["2500", "25000"])]
    long: Vec<usize>,
    /// Executions at once
    #[arg(long, default_value_t = 200)]
    executions: usize,
    /// States of each
    #[arg(long, default_value_t = 50)]
    states: usize,
    /// Executions at once that take several blocks of Ethereum, of as many states
    #[arg(long, default_value_t = 4_000)]
    many_blocks: usize,
    /// Items of a distributed Map, each an execution of two states
    #[arg(long, default_value_t = 10_000)]
    items: usize,
    /// Seconds for which an execution stands still
    #[arg(long, default_value_t = 60)]
    waiting_s: u32,
    /// Seconds between two blocks, where many executions are followed at once
    #[arg(long, default_value_t = 1)]
    block_s: u64,
    /// Folder of the paper's own run: `models`, `instances` and `states` as published; without it, that is left out
    #[arg(long)]
    paper_run: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> Result<()> {
    rustls::crypto::aws_lc_rs::default_provider().install_default().map_err(|_| eyre!("two TLS providers"))?;
    let arguments = Arguments::parse();
    let bench = Bench::start(arguments.runproof.clone()).await?;
    let measured = measure(&bench, &arguments).await;
    bench.stop().await;
    measured
}

async fn measure(bench: &Bench, arguments: &Arguments) -> Result<()> {
    let Arguments { executions, states, many_blocks, items, block_s, .. } = *arguments;
    let alone_s = bench.emulator_alone(executions, states).await?;
    println!(
        "The emulator alone: {executions} executions of {states} states in {alone_s:.1} s, {:.0} states/s\n",
        (executions * states) as f64 / alone_s
    );
    println!("{HEADINGS}");
    for states in &arguments.long {
        told("one long execution, recorded", &bench.long(*states, ETHEREUM_BLOCK_S).await?);
    }
    told("many, recorded", &bench.many(executions, states, block_s).await?);
    told("many, recorded, until blocks are full", &bench.many(many_blocks, states, ETHEREUM_BLOCK_S).await?);
    told("many, on the emulator", &bench.emulated(executions, states, block_s).await?);
    told("a distributed Map, recorded", &bench.map_run(items, block_s).await?);
    told("one that stands still", &bench.waiting(arguments.waiting_s, block_s).await?);
    if let Some(folder) = &arguments.paper_run {
        told("the paper's run, at its own pace", &bench.replayed(recording(folder)?, ETHEREUM_BLOCK_S).await?);
    }
    Ok(())
}

fn told(what: &str, figures: &Figures) {
    println!("{}", figures.row(what));
}

/// The last state's file holds all of the trace.
fn recording(folder: &Path) -> Result<Recording> {
    let [model, instance, trace] = ["models", "instances", "states"].map(|part| longest(&folder.join(part)));
    Recording::of_documents(&model?, &instance?, &trace?).ok_or_eyre("the documents are not of the paper's form")
}

fn longest(folder: &Path) -> Result<Vec<u8>> {
    let files = std::fs::read_dir(folder).wrap_err_with(|| format!("{}", folder.display()))?;
    let files = files.map(|file| Ok(std::fs::read(file?.path())?)).collect::<Result<Vec<_>>>()?;
    files.into_iter().max_by_key(Vec::len).ok_or_eyre("an empty folder")
}
