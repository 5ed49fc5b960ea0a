//! Builds a chain if it is not there yet, and plays a node of it until it is ended. Prints its URL when it listens.

use std::{path::PathBuf, sync::Arc};

use clap::Parser;
use eyre::Result;
use runproof_bench::{
    chain::Recipe,
    replay::{self, Replay},
};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Arguments {
    /// The folder of the chains
    #[arg(long)]
    cache: PathBuf,
    #[command(flatten)]
    recipe: Recipe,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { cache, recipe } = Arguments::parse();
    let node = Arc::new(Replay::open(&recipe.build(&cache)?, recipe.last_block())?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    replay::serve(node, listener).await
}
