//! One measurement: a fresh database, what is measured, and what it used.

mod database;
mod index;
mod live;
mod peer;

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Instant,
};

use eyre::{OptionExt, Result, WrapErr, ensure};
pub use peer::Peer;
use runproof_stack::{Part, Ports, Stack, StackOptions};
use sqlx::{Connection, PgConnection};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader, Lines},
    process::{Child, ChildStdout, Command},
};

use crate::{chain::Recipe, process};

const TEMPLATE: &str = "bench_template";

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// The node, read by who throws all away.
    Node,
    /// psql's COPY of the final rows, then the final indexes.
    Copy,
    /// The indexer, its relay off.
    Index,
    /// The indexer and the relay side by side.
    IndexAndRelay,
    /// Another project's indexer.
    Peer(Peer),
}

/// What was found.
#[derive(Debug, Clone)]
pub struct Figures {
    /// Of the measurement's rounds.
    pub round: usize,
    /// What was measured.
    pub subject: Subject,
    /// Until rows and indexes stood, and with the relay until the topic held all.
    pub took_s: f64,
    /// CPU seconds of the indexer.
    pub indexer_cpu_s: Option<f64>,
    /// CPU seconds of the relay.
    pub relay_cpu_s: Option<f64>,
    /// CPU seconds of all of Postgres' processes.
    pub postgres_cpu_s: f64,
    /// CPU seconds of the replaying node.
    pub node_cpu_s: f64,
    /// The most that the indexer had resident.
    pub peak_memory_bytes: Option<u64>,
    /// Tables and indexes.
    pub disk_bytes: Option<u64>,
}

/// The parts that measurements share.
pub struct Bench {
    cache: PathBuf,
    programs: PathBuf,
    stack: Stack,
    postmaster: u32,
    data: TempDir,
}

/// What is used from now on.
struct Meter {
    postmaster: u32,
    node: u32,
    postgres_cpu_s: f64,
    node_cpu_s: f64,
    begun: Instant,
}

impl Meter {
    fn start(bench: &Bench, node: &Child) -> Result<Self> {
        let (postmaster, node) = (bench.postmaster, node.id().ok_or_eyre("bench-replay has ended")?);
        let (postgres_cpu_s, node_cpu_s) = (process::family_cpu_s(postmaster)?, process::cpu_s(node)?);
        Ok(Self { postmaster, node, postgres_cpu_s, node_cpu_s, begun: Instant::now() })
    }

    fn stop(self, subject: Subject) -> Result<Figures> {
        Ok(Figures {
            round: 0,
            subject,
            took_s: self.begun.elapsed().as_secs_f64(),
            indexer_cpu_s: None,
            relay_cpu_s: None,
            postgres_cpu_s: process::family_cpu_s(self.postmaster)? - self.postgres_cpu_s,
            node_cpu_s: process::cpu_s(self.node)? - self.node_cpu_s,
            peak_memory_bytes: None,
            disk_bytes: None,
        })
    }
}

impl Bench {
    /// A private Postgres and a private Kafka, in a folder that goes when the bench does.
    pub async fn start(cache: PathBuf, programs: PathBuf) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("runproof-bench").tempdir()?;
        let parts = [Part::Postgres, Part::Kafka].into();
        let options = StackOptions { ports: Ports::free()?, parts, ..StackOptions::new(data.path()) };
        let stack = Stack::start(options).await?;
        let url = stack.postgres()?.create_database(TEMPLATE).await?;
        let database = sea_orm::Database::connect(&url).await?;
        runproof_migrations::migrate(&database).await?;
        database.close().await?;
        let mut connection = PgConnection::connect(&stack.postgres()?.url()).await?;
        let folder: String = sqlx::query_scalar("show data_directory").fetch_one(&mut connection).await?;
        Ok(Self { cache, programs, postmaster: process::postmaster(Path::new(&folder))?, stack, data })
    }

    /// Measures each subject in turn, `rounds` times. A first run, which makes the rows that COPY is given, is not counted.
    pub async fn measure(&self, recipe: Recipe, rounds: usize, peer: Option<Peer>) -> Result<Vec<Figures>> {
        let (node, rpc_url) = self.replay(recipe).await?;
        let rows = tempfile::tempdir()?;
        self.index("warm_up", &rpc_url, &node, recipe, None).await?;
        self.dump("warm_up", rows.path()).await?;
        let mut figures = Vec::new();
        for round in 0..rounds {
            let mut add = |measured| figures.push(Figures { round, ..measured });
            add(self.read(&rpc_url, &node, recipe).await?);
            add(self.copy(&format!("copy_{round}"), rows.path(), &node, recipe).await?);
            add(self.index(&format!("index_{round}"), &rpc_url, &node, recipe, None).await?);
            let Recipe { shape, events, .. } = recipe;
            let (name, topic) = (format!("relay_{round}"), format!("{shape:?}-{events}-{round}"));
            add(self.index(&name, &rpc_url, &node, recipe, Some(&topic)).await?);
            if let Some(peer) = peer {
                add(self.peer(peer, &format!("peer_{round}"), &rpc_url, &node, recipe).await?);
            }
        }
        Ok(figures)
    }

    /// Ends the parts.
    pub async fn stop(self) {
        self.stack.stop().await;
    }

    async fn replay(&self, recipe: Recipe) -> Result<(Child, String)> {
        let mut node = self.program("bench-replay");
        node.arg("--cache").arg(&self.cache).args(recipe.arguments());
        let (node, url, _) = started(node).await?;
        Ok((node, url))
    }

    /// What the node can give at most.
    async fn read(&self, rpc_url: &str, node: &Child, recipe: Recipe) -> Result<Figures> {
        let meter = Meter::start(self, node)?;
        let mut reader = self.program("bench-subject");
        let status = reader.args(["read", rpc_url, &recipe.blocks.to_string()]).status().await?;
        ensure!(status.success(), "the node could not be read: {status}");
        meter.stop(Subject::Node)
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.kill_on_drop(true);
        command
    }
}

/// A program that prints its address when it listens, the address, and what it prints then.
async fn started(mut command: Command) -> Result<(Child, String, Lines<BufReader<ChildStdout>>)> {
    let mut child =
        command.stdout(Stdio::piped()).spawn().wrap_err("starting a program of the benchmark: build it first")?;
    let mut lines = BufReader::new(child.stdout.take().ok_or_eyre("no output")?).lines();
    let address = lines.next_line().await?.ok_or_eyre("a program ended before it listened")?;
    Ok((child, address, lines))
}
