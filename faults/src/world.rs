//! One line's own database, chain, contract, topic and configuration, and how it is judged.

use std::{path::PathBuf, time::Duration};

use alloy::primitives::B256;
use eyre::{Context, OptionExt, Result, bail, ensure};
use runproof_indexer::audit::Report;
use runproof_stack::{Chain, Registry, Stack};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::process::Command;

use crate::{
    ground::{self, Ground},
    node::{self, Node},
    process::Role,
};

/// How long anything that must come may take: a producer gives up a transaction after 45 s, twice if need be.
const PATIENCE: Duration = Duration::from_secs(240);
/// How often Postgres is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Blocks before any fault, so that no reorganisation reaches the contract's deployment.
const PRELUDE: u64 = 20;

/// Apart from other worlds.
pub(crate) struct World<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) name: String,
    pub(crate) folder: PathBuf,
    pub(crate) registry: Registry,
    pub(crate) pool: PgPool,
    pub(crate) database_url: String,
    /// Its chain, if that is of the stack.
    stack: Option<Stack>,
}

/// What the indexer is told instead of the parts themselves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Detours {
    pub(crate) rpc_url: Option<String>,
    pub(crate) ws_url: Option<String>,
    pub(crate) postgres_port: Option<u16>,
    pub(crate) kafka_port: Option<u16>,
    /// Settings of librdkafka.
    pub(crate) kafka_client: Vec<(&'static str, &'static str)>,
    /// Standby endpoints of the chain, by name and URL, and how many of all must say the same.
    pub(crate) endpoints: Vec<(&'static str, String)>,
    pub(crate) quorum: Option<usize>,
    /// Further settings of the chain.
    pub(crate) chain: String,
    /// Where `/status` is served.
    pub(crate) operations_port: Option<u16>,
    /// Further sections of the configuration.
    pub(crate) sections: String,
}

impl<'a> World<'a> {
    /// A chain with the contract and some empty blocks; the indexer is led to the parts themselves.
    pub(crate) async fn new(ground: &'a Ground) -> Result<Self> {
        let name = ground.name();
        let stack = ground::chain(&ground.folder.join(&name).join("first")).await?;
        let registry = stack.chain()?.registry().ok_or_eyre("the chain has no registry")?;
        stack.chain()?.mine(PRELUDE).await?;
        let rpc_url = stack.chain()?.http_url();
        Self::made(ground, name, registry, Some(stack), rpc_url).await
    }

    /// On another node that has the contract.
    pub(crate) async fn on(ground: &'a Ground, name: String, registry: Registry, node: &impl Node) -> Result<Self> {
        Self::made(ground, name, registry, None, node.http_url()).await
    }

    async fn made(
        ground: &'a Ground,
        name: String,
        registry: Registry,
        stack: Option<Stack>,
        rpc_url: String,
    ) -> Result<Self> {
        let folder = ground.folder.join(&name);
        std::fs::create_dir_all(&folder)?;
        let database_url = ground.database(&name).await?;
        let pool = PgPoolOptions::new().max_connections(2).connect_lazy(&database_url)?;
        let world = Self { ground, name, folder, registry, pool, database_url, stack };
        world.detour(&Detours { rpc_url: Some(rpc_url), ..Detours::default() })?;
        std::fs::copy(world.config(), world.folder.join("direct.toml"))?;
        Ok(world)
    }

    pub(crate) fn chain(&self) -> Result<&Chain> {
        Ok(self.stack.as_ref().ok_or_eyre("this world's chain is not of the stack")?.chain()?)
    }

    /// Another chain that has all blocks of this one so far.
    pub(crate) async fn fork(&self) -> Result<Stack> {
        let chain = self.chain()?;
        chain.stop().await;
        let (from, to) = (self.folder.join("first/chain"), self.folder.join("second/chain"));
        std::fs::create_dir_all(&to)?;
        for file in ["state.json", "contracts.json"] {
            std::fs::copy(from.join(file), to.join(file)).wrap_err(file)?;
        }
        chain.restart().await?;
        let second = ground::chain(&self.folder.join("second")).await?;
        ensure!(
            node::head(chain).await? == node::head(second.chain()?).await?,
            "the chain saved another head than it has"
        );
        Ok(second)
    }

    /// Writes the indexer's configuration.
    pub(crate) fn detour(&self, detours: &Detours) -> Result<()> {
        let shared = self.ground.stack.endpoints();
        let rpc_url = detours.rpc_url.clone().map_or_else(|| Ok::<_, eyre::Report>(self.chain()?.http_url()), Ok)?;
        let ws_url = detours.ws_url.as_ref().map(|url| format!("ws_url = \"{url}\"")).unwrap_or_default();
        let port = self.postgres_port()?;
        let postgres =
            self.database_url.replace(&format!(":{port}/"), &format!(":{}/", detours.postgres_port.unwrap_or(port)));
        let kafka = shared.kafka_bootstrap.ok_or_eyre("Kafka was not started")?;
        let kafka = detours.kafka_port.map_or(kafka, |port| format!("127.0.0.1:{port}"));
        let Registry { address, deployed_at_block } = self.registry;
        let client = detours.kafka_client.iter().map(|(name, value)| format!("client.\"{name}\" = \"{value}\"\n"));
        let (quorum, chain) = (detours.quorum.unwrap_or(1), &detours.chain);
        let mut text = format!(
            "[chain]\nquorum = {quorum}\n{chain}\nrpc_url = \"{rpc_url}\"\n{ws_url}\nregistry = \"{address}\"\nregistry_deployed_at_block = {deployed_at_block}\n\
             [postgres]\nurl = \"{postgres}\"\n[kafka]\nbootstrap = \"{kafka}\"\ntopic = \"{}.events\"\n",
            self.name
        );
        text.extend(client);
        text.extend(detours.operations_port.map(|port| format!("[operations]\nlisten = \"127.0.0.1:{port}\"\n")));
        let endpoint = |(name, url): &(_, String)| {
            format!("[[chain.endpoint]]\nname = \"{name}\"\nurl = \"{url}\"\nrole = \"standby\"\n")
        };
        text.extend(detours.endpoints.iter().map(endpoint));
        text.push_str(&detours.sections);
        Ok(std::fs::write(self.config(), text)?)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join("runproof.toml")
    }

    pub(crate) fn postgres_port(&self) -> Result<u16> {
        let url: url::Url = self.database_url.parse()?;
        url.port().ok_or_eyre("the database has no port")
    }

    /// Starts an indexer.
    pub(crate) fn index(&self) -> Result<Role> {
        self.index_as("index")
    }

    /// Starts another indexer, with a log of its own.
    pub(crate) fn index_as(&self, name: &str) -> Result<Role> {
        Role::start(&self.ground.binary, &self.config(), "index", self.folder.join(format!("{name}.log")))
    }

    /// What `runproof audit` says against this chain; empty if all agrees. The indexer should be running.
    pub(crate) async fn audit(&self, chain: &impl Node) -> Result<Vec<String>> {
        self.audit_through(chain.http_url()).await
    }

    /// What it says if it reads the chain from this URL.
    pub(crate) async fn audit_through(&self, rpc_url: String) -> Result<Vec<String>> {
        let mut command = Command::new(&self.ground.binary);
        command.arg("--config").arg(self.folder.join("direct.toml"));
        command.args(["audit", "--json", "--patience"]).arg(PATIENCE.as_secs().to_string());
        command.env("RUNPROOF_CHAIN__RPC_URL", rpc_url).kill_on_drop(true);
        let output = command.output().await?;
        let Ok(report) = serde_json::from_slice::<Report>(&output.stdout) else {
            bail!("{}: the audit failed: {}", self.name, String::from_utf8_lossy(&output.stderr));
        };
        ensure!(output.status.success() == report.differences.is_empty(), "exit code and report differ");
        let mut broken: Vec<String> =
            report.differences.iter().take(5).map(|difference| format!("{}: {difference}", self.name)).collect();
        let more = report.differences.len().saturating_sub(broken.len());
        broken.extend((more > 0).then(|| format!("{}: and {more} more", self.name)));
        Ok(broken)
    }

    /// Waits until the journal's cursor is the chain's head.
    pub(crate) async fn caught_up(&self, chain: &impl Node) -> Result<()> {
        let (_, hash) = node::head(chain).await?;
        self.until("the journal comes to the chain's head", || self.cursor_is(hash)).await
    }

    pub(crate) async fn cursor_is(&self, hash: B256) -> Result<bool> {
        let sql = "select count(*) from journal.source where block_hash = $1";
        let count: i64 = sqlx::query_scalar(sql).bind(hash.as_slice()).fetch_one(&self.pool).await?;
        Ok(count == 1)
    }

    /// A number from Postgres.
    pub(crate) async fn number(&self, sql: &'static str) -> Result<i64> {
        Ok(sqlx::query_scalar(sql).fetch_one(&self.pool).await?)
    }

    /// The journal's writer so far; 0 before the first.
    pub(crate) async fn epoch(&self) -> Result<i64> {
        self.number("select coalesce(max(writer_epoch), 0) from journal.source").await
    }

    /// Waits until an indexer has become the writer after `epoch`.
    pub(crate) async fn taken_over(&self, epoch: i64) -> Result<()> {
        self.until("an indexer takes the journal", || async move { Ok(self.epoch().await? > epoch) }).await
    }

    /// Looks until it is so. A database that is away is looked at again.
    pub(crate) async fn until<F: Future<Output = Result<bool>>>(
        &self,
        what: &str,
        mut look: impl FnMut() -> F,
    ) -> Result<()> {
        self.answer(what, || {
            let looked = look();
            async { Ok(looked.await?.then_some(())) }
        })
        .await
    }

    /// Asks until there is an answer.
    pub(crate) async fn answer<T, F: Future<Output = Result<Option<T>>>>(
        &self,
        what: &str,
        mut ask: impl FnMut() -> F,
    ) -> Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        let mut failure = String::new();
        while tokio::time::Instant::now() < deadline {
            match ask().await {
                Ok(Some(answer)) => return Ok(answer),
                Ok(None) => {}
                Err(error) => failure = format!("; last: {error}"),
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        bail!("{}: never came true in {} s: {what}{failure}", self.name, PATIENCE.as_secs())
    }

    /// Ends the world; its folder stays.
    pub(crate) async fn end(self) {
        self.pool.close().await;
        if let Some(stack) = self.stack {
            stack.stop().await;
        }
    }
}
