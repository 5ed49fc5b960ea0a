//! The fault campaign: the real binary, between real and faulty parts, and after each fault the one question whether everything still agrees.
//!
//! Each line does one kind of fault so many times, at moments that a seed decides, and ends with the invariant: contract = clean re-index =
//! Postgres = folded topic, by `runproof audit`. A line that does not hold tells what differed; the seed brings it back.

mod aws_late;
mod aws_proxy;
mod aws_redrive;
mod disk;
mod followed;
mod ground;
mod hints;
mod kafka_proxy;
mod line;
mod lines;
mod load;
mod miner;
mod node;
mod postgres_proxy;
mod process;
mod registered;
mod rpc_proxy;
mod runs;
mod status;
mod table;
mod trap;
mod websocket;
mod world;

use std::path::PathBuf;

use eyre::Result;
use rand::{SeedableRng, rngs::StdRng};
use tracing::{info, warn};

use crate::{ground::Ground, line::LINES};
pub use crate::{
    line::Times,
    table::{Row, Table},
};

/// Which faults are done, and how often.
#[derive(Debug, Clone)]
pub struct Campaign {
    /// Decides everything that is random; of each line apart, so that a line alone does what it does among others.
    pub seed: u64,
    /// Numbers of the lines; none: all.
    pub lines: Vec<u8>,
    /// How often.
    pub times: Times,
    /// The binary `runproof`.
    pub binary: PathBuf,
    /// Folder of databases, chains and logs.
    pub folder: PathBuf,
}

impl Campaign {
    /// Does all of it, and returns the table.
    ///
    /// # Errors
    /// What kept the campaign itself from running. What did not hold is in the table.
    pub async fn run(&self) -> Result<Table> {
        let ground = Ground::start(&self.folder, &self.binary).await?;
        let mut table = Table::new(self.seed);
        for line in LINES.iter().filter(|line| self.lines.is_empty() || self.lines.contains(&line.number)) {
            let times = self.times.of(line);
            info!(line = line.number, times, "{}", line.fault);
            let mut random = StdRng::seed_from_u64(self.seed.wrapping_mul(1_000).wrapping_add(line.number.into()));
            let row = line.run(&ground, &mut random, times).await;
            info!(line = line.number, tried = row.tried, seconds = row.seconds, "{}", row.figure);
            row.broken.iter().for_each(|broken| warn!(line = line.number, broken, "does not hold"));
            table.rows.push(row);
        }
        ground.stop().await;
        Ok(table)
    }
}
