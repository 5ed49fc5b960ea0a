//! `runproof quarantine`: logs that could not be decoded, and their way into the journal.

use eyre::{Result, WrapErr};
use runproof_indexer::quarantine::{Held, Quarantine, Replay};
use url::Url;

use crate::{cli::QuarantineCommand, config::Config, database};

/// Runs one of its commands.
pub async fn run(config: &Config, command: &QuarantineCommand) -> Result<()> {
    database::migrate(config).await?.close().await?;
    let postgres_url = Url::parse(&config.postgres.url).wrap_err("postgres.url")?;
    let quarantine = Quarantine::open(&postgres_url, config.chain.registry, config.chain.kind).await?;
    match command {
        QuarantineCommand::List { json } => {
            let held = quarantine.logs().await?;
            if *json {
                println!("{}", serde_json::to_string_pretty(&held)?);
            } else {
                print(&held);
            }
        }
        QuarantineCommand::Replay { dry_run } => tell(&quarantine.replay(*dry_run).await?, *dry_run),
    }
    Ok(())
}

fn print(held: &[Held]) {
    println!("{:>12} {:>5}  {:42}  reason", "block", "log", "contract");
    for Held { block_number, log_index, reason, log, .. } in held {
        println!("{block_number:>12} {log_index:>5}  {:#x}  {reason}", log.address());
    }
}

fn tell(replay: &Replay, dry_run: bool) {
    let done = if dry_run { "would be" } else { "are" };
    println!("logs that can be decoded now   {}", replay.decodable);
    println!("logs that still cannot         {}", replay.undecodable.len());
    if replay.kind_changed || replay.decodable > 0 {
        let from = replay.stands_up_to_block.map_or("the beginning".to_owned(), |block| format!("block {}", block + 1));
        println!("entries that {done} taken back  {}", replay.retracted);
        println!("Blocks from {from} on {done} indexed again by `runproof index`.");
    }
    if !replay.undecodable.is_empty() {
        print(&replay.undecodable);
    }
}
