//! One measurement: a fresh database, what is measured, and what it used.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use eyre::{OptionExt, Result, WrapErr, bail};
use runproof_stack::{Part, Ports, Stack, StackOptions};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use crate::{chain::Recipe, process, topic};

const TEMPLATE: &str = "bench_template";
/// How often the journal is looked at for its end: a hundredth of what a run takes at least.
const LOOK: Duration = Duration::from_millis(20);
/// Tables that are loaded, in the order of their references.
const TABLES: [&str; 4] = ["source", "block", "transaction", "entry"];

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// psql's COPY of the final rows, then the final indexes.
    Copy,
    /// The indexer, its relay off.
    Index,
    /// The indexer and the relay side by side.
    IndexAndRelay,
}

impl Subject {
    /// As it is called in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "(a) COPY",
            Self::Index => "(b) indexer",
            Self::IndexAndRelay => "(c) indexer and relay",
        }
    }
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
    pub node_cpu_s: Option<f64>,
    /// The most that the indexer had resident.
    pub peak_memory_bytes: Option<u64>,
    /// Tables and indexes.
    pub disk_bytes: u64,
}

/// The parts that measurements share.
pub struct Bench {
    cache: PathBuf,
    programs: PathBuf,
    stack: Stack,
    postmaster: u32,
    _data: TempDir,
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
        Ok(Self { cache, programs, postmaster: process::postmaster(Path::new(&folder))?, stack, _data: data })
    }

    /// Measures each subject in turn, `rounds` times. A first run, which makes the rows that COPY is given, is not counted.
    pub async fn measure(&self, recipe: Recipe, rounds: usize) -> Result<Vec<Figures>> {
        let (node, rpc_url) = self.replay(recipe).await?;
        let rows = tempfile::tempdir()?;
        self.index("warm_up", &rpc_url, &node, recipe, None).await?;
        self.dump("warm_up", rows.path()).await?;
        let mut figures = Vec::new();
        for round in 0..rounds {
            let mut add = |subject, measured| figures.push(Figures { round, subject, ..measured });
            add(Subject::Copy, self.copy(&format!("copy_{round}"), rows.path(), recipe).await?);
            let name = format!("index_{round}");
            add(Subject::Index, self.index(&name, &rpc_url, &node, recipe, None).await?);
            let name = format!("relay_{round}");
            let topic = format!("{:?}-{round}", recipe.shape);
            add(Subject::IndexAndRelay, self.index(&name, &rpc_url, &node, recipe, Some(&topic)).await?);
        }
        Ok(figures)
    }

    /// Ends the parts.
    pub async fn stop(self) {
        self.stack.stop().await;
    }

    async fn replay(&self, recipe: Recipe) -> Result<(Child, String)> {
        let mut node = self.program("bench-replay");
        node.arg("--cache").arg(&self.cache).args(["--shape", &format!("{:?}", recipe.shape).to_lowercase()]);
        node.args(["--events", &recipe.events.to_string(), "--blocks", &recipe.blocks.to_string()]);
        let mut node = node.stdout(Stdio::piped()).spawn().wrap_err("starting bench-replay: build it first")?;
        let mut lines = BufReader::new(node.stdout.take().ok_or_eyre("no output")?).lines();
        let url = lines.next_line().await?.ok_or_eyre("bench-replay ended before it listened")?;
        Ok((node, url))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command.kill_on_drop(true);
        command
    }

    /// An empty, migrated database, with nothing of the former left to be written.
    async fn fresh(&self, name: &str) -> Result<(String, PgConnection)> {
        let url = self.stack.postgres()?.create_database_from(name, TEMPLATE).await?;
        let mut connection = PgConnection::connect(&url).await?;
        sqlx::query("checkpoint").execute(&mut connection).await?;
        Ok((url, connection))
    }

    async fn copy(&self, name: &str, rows: &Path, recipe: Recipe) -> Result<Figures> {
        let (url, mut connection) = self.fresh(name).await?;
        sqlx::query("select journal.defer_indexes()").execute(&mut connection).await?;
        let load =
            TABLES.map(|table| format!("\\copy journal.{table} from '{}' (format binary)", rows.join(table).display()));
        let postgres_cpu_s = process::family_cpu_s(self.postmaster)?;
        let begun = Instant::now();
        psql(&url, load.iter().map(String::as_str).chain(["select journal.restore_indexes()"])).await?;
        let took_s = begun.elapsed().as_secs_f64();
        let postgres_cpu_s = process::family_cpu_s(self.postmaster)? - postgres_cpu_s;
        let count: i64 = sqlx::query_scalar("select count(*) from journal.entry where issuer is not null")
            .fetch_one(&mut connection)
            .await?;
        if count != i64::try_from(recipe.events)? {
            bail!("COPY loaded {count} rows of {}", recipe.events);
        }
        let figures = Figures {
            round: 0,
            subject: Subject::Copy,
            took_s,
            indexer_cpu_s: None,
            relay_cpu_s: None,
            postgres_cpu_s,
            node_cpu_s: None,
            peak_memory_bytes: None,
            disk_bytes: disk_bytes(&mut connection).await?,
        };
        self.drop_database(name, connection).await?;
        Ok(figures)
    }

    async fn index(
        &self,
        name: &str,
        rpc_url: &str,
        node: &Child,
        recipe: Recipe,
        topic: Option<&str>,
    ) -> Result<Figures> {
        let (url, mut connection) = self.fresh(name).await?;
        let node = node.id().ok_or_eyre("bench-replay has ended")?;
        let (node_cpu_s, postgres_cpu_s) = (process::cpu_s(node)?, process::family_cpu_s(self.postmaster)?);
        let begun = Instant::now();
        let mut indexer =
            self.program("bench-subject").args(["index", rpc_url, &url]).stderr(Stdio::inherit()).spawn()?;
        let mut relay = match topic {
            Some(topic) => Some(self.relay(&url, topic)?),
            None => None,
        };
        let position = wait_for_journal(&mut connection, recipe, &mut indexer).await?;
        if let Some(topic) = topic {
            topic::wait_for(&self.stack.kafka()?.bootstrap(), topic, position).await?;
        }
        let took_s = begun.elapsed().as_secs_f64();
        let pid = indexer.id().ok_or_eyre("the indexer has ended")?;
        let relay_pid = relay.as_ref().and_then(Child::id);
        let figures = Figures {
            round: 0,
            subject: Subject::Index,
            took_s,
            indexer_cpu_s: Some(process::cpu_s(pid)?),
            relay_cpu_s: relay_pid.map(process::cpu_s).transpose()?,
            postgres_cpu_s: process::family_cpu_s(self.postmaster)? - postgres_cpu_s,
            node_cpu_s: Some(process::cpu_s(node)? - node_cpu_s),
            peak_memory_bytes: Some(process::peak_memory_bytes(pid)?),
            disk_bytes: disk_bytes(&mut connection).await?,
        };
        indexer.kill().await?;
        if let Some(relay) = &mut relay {
            relay.kill().await?;
        }
        match name {
            "warm_up" => connection.close().await?,
            _ => self.drop_database(name, connection).await?,
        }
        Ok(figures)
    }

    fn relay(&self, url: &str, topic: &str) -> Result<Child> {
        let bootstrap = self.stack.kafka()?.bootstrap();
        Ok(self.program("bench-subject").args(["relay", url, &bootstrap, topic]).stderr(Stdio::inherit()).spawn()?)
    }

    async fn dump(&self, name: &str, rows: &Path) -> Result<()> {
        let url = self.stack.postgres()?.url_of(name);
        let dump =
            TABLES.map(|table| format!("\\copy journal.{table} to '{}' (format binary)", rows.join(table).display()));
        psql(&url, dump.iter().map(String::as_str)).await?;
        self.drop_database(name, PgConnection::connect(&url).await?).await
    }

    async fn drop_database(&self, name: &str, connection: PgConnection) -> Result<()> {
        connection.close().await?;
        let mut connection = PgConnection::connect(&self.stack.postgres()?.url()).await?;
        sqlx::query(AssertSqlSafe(format!("drop database {name} with (force)"))).execute(&mut connection).await?;
        Ok(())
    }
}

/// Runs commands in one transaction.
async fn psql(url: &str, commands: impl Iterator<Item = &str>) -> Result<()> {
    let commands = commands.flat_map(|command| ["-c", command]);
    let mut psql = Command::new("psql");
    let output = psql.args(["-X", "-q", "-1", "-v", "ON_ERROR_STOP=1", url]).args(commands).output().await?;
    if !output.status.success() {
        bail!("psql: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}

/// Waits until the journal holds the whole chain, with its indexes; returns its last position: what became safe and final has positions too.
async fn wait_for_journal(connection: &mut PgConnection, recipe: Recipe, indexer: &mut Child) -> Result<u64> {
    let there = "select exists (select from journal.source where block_number = $1) and not exists (select from journal.deferred)";
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if sqlx::query_scalar(there).bind(i64::try_from(recipe.blocks)?).fetch_one(&mut *connection).await? {
            break;
        }
        if let Some(status) = indexer.try_wait()? {
            bail!("the indexer ended: {status}");
        }
    }
    let counts = "select position, (select count(*) from journal.entry where issuer is not null) from journal.source";
    let (position, events): (i64, i64) = sqlx::query_as(counts).fetch_one(connection).await?;
    if events != i64::try_from(recipe.events)? {
        bail!("the journal holds {events} events, the chain {}", recipe.events);
    }
    Ok(u64::try_from(position)?)
}

async fn disk_bytes(connection: &mut PgConnection) -> Result<u64> {
    let sum = "select sum(pg_total_relation_size(c.oid))::bigint from pg_class c where c.relnamespace = 'journal'::regnamespace and relkind = 'r'";
    let bytes: i64 = sqlx::query_scalar(sum).fetch_one(connection).await?;
    Ok(u64::try_from(bytes)?)
}
