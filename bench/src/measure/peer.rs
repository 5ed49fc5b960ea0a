//! Another project's indexer, on the same node and the same Postgres: a row an event, with a primary key and one index.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use clap::ValueEnum;
use eyre::{OptionExt, Result, WrapErr, bail, ensure};
use sqlx::PgConnection;
use tokio::process::{Child, Command};

use super::{Bench, Figures, Meter, Subject, database::disk_bytes};
use crate::{chain::Recipe, process};

/// How often its table is looked at for its end, which counts all rows.
const LOOK: Duration = Duration::from_millis(200);
/// What it is told to do, in this repository.
const PONDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/ponder");
const PONDER_FILES: [&str; 5] =
    ["package.json", "ponder.config.ts", "ponder.schema.ts", "src/index.ts", "src/api/index.ts"];
/// The contract's artifact, for its interface.
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../contracts/InstanceRegistry.json");

/// Who is measured beside us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Peer {
    /// <https://ponder.sh>, from npm.
    Ponder,
}

impl Bench {
    /// Indexes into a fresh database, until all rows and the index are there.
    pub(super) async fn peer(
        &self,
        Peer::Ponder: Peer,
        name: &str,
        rpc_url: &str,
        node: &Child,
        recipe: Recipe,
    ) -> Result<Figures> {
        let folder = install_ponder(&self.cache).await?;
        let (url, mut connection) = self.fresh(name).await?;
        let meter = Meter::start(self, node)?;
        let mut ponder = start_ponder(&folder, rpc_url, &url)?;
        wait_for_rows(&mut connection, recipe, &mut ponder).await?;
        let figures = meter.stop(Subject::Peer(Peer::Ponder))?;
        let pid = ponder.id().ok_or_eyre("the peer has ended")?;
        let figures = Figures {
            indexer_cpu_s: Some(process::cpu_s(pid)?),
            peak_memory_bytes: Some(process::peak_memory_bytes(pid)?),
            disk_bytes: Some(disk_bytes(&mut connection, "peer").await?),
            ..figures
        };
        ponder.kill().await?;
        self.drop_database(name, connection).await?;
        Ok(figures)
    }
}

/// Waits until all events are in the peer's table, and its index stands.
async fn wait_for_rows(connection: &mut PgConnection, recipe: Recipe, peer: &mut Child) -> Result<()> {
    let there = "select exists (select from pg_indexes where schemaname = 'peer' and tablename = 'entry' and indexdef like '%(instance, sequence)')";
    let mut look = tokio::time::interval(LOOK);
    loop {
        look.tick().await;
        if let Some(status) = peer.try_wait()? {
            bail!("the peer ended: {status}");
        }
        if !sqlx::query_scalar(there).fetch_one(&mut *connection).await? {
            continue;
        }
        let found: i64 = sqlx::query_scalar("select count(*) from peer.entry").fetch_one(&mut *connection).await?;
        if found == i64::try_from(recipe.events)? {
            return Ok(());
        }
    }
}

/// Installs what is not there yet.
async fn install_ponder(cache: &Path) -> Result<PathBuf> {
    let folder = cache.join("ponder");
    for file in PONDER_FILES {
        let to = folder.join(file);
        fs::create_dir_all(to.parent().ok_or_eyre("a folder")?)?;
        fs::copy(Path::new(PONDER).join(file), &to).wrap_err_with(|| format!("writing {}", to.display()))?;
    }
    if !folder.join("node_modules/.package-lock.json").exists() {
        let mut npm = Command::new("npm");
        npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"]).arg(&folder);
        let status = npm.stdout(Stdio::null()).status().await.wrap_err("npm is needed: install Node")?;
        ensure!(status.success(), "npm could not install ponder: {status}");
    }
    Ok(folder)
}

fn start_ponder(folder: &Path, rpc_url: &str, postgres_url: &str) -> Result<Child> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let mut ponder = Command::new("node");
    ponder.args([
        "node_modules/ponder/dist/esm/bin/ponder.js",
        "start",
        "--log-level",
        "warn",
        "--schema",
        "peer",
        "--port",
        &port.to_string(),
    ]);
    ponder.current_dir(folder).env("RPC_URL", rpc_url).env("DATABASE_URL", postgres_url).env("CONTRACT", CONTRACT);
    ponder.env("PONDER_TELEMETRY_DISABLED", "1").kill_on_drop(true);
    Ok(ponder.spawn()?)
}
