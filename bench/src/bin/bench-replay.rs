//! Builds a chain if it is not there yet, and plays a node of it until it is ended. Prints its URL when it listens.

use std::{path::PathBuf, sync::Arc};

use clap::Parser;
use eyre::Result;
use runproof_bench::{
    chain::{Recipe, Shape},
    replay::{self, Replay},
};
use tokio::net::TcpListener;

#[derive(Parser)]
struct Arguments {
    /// The folder of the chains
    #[arg(long)]
    cache: PathBuf,
    /// How events are spread over logs
    #[arg(long)]
    shape: Shape,
    /// Events in all
    #[arg(long)]
    events: u64,
    /// Blocks that hold them
    #[arg(long)]
    blocks: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Arguments { cache, shape, events, blocks } = Arguments::parse();
    let folder = Recipe { shape, events, blocks, live_blocks: 0 }.build(&cache)?;
    let node = Arc::new(Replay::open(&folder, blocks)?);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    println!("http://{}", listener.local_addr()?);
    replay::serve(node, listener).await
}
