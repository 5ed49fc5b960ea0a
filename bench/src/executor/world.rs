//! One measurement's own database, contract, issuer and configuration, and the processes that use them.

use std::{
    fs::{self, File},
    path::PathBuf,
    process::Stdio,
    time::{Duration, Instant},
};

use alloy::primitives::{Address, U256};
use eyre::{Context, OptionExt, Result, bail, ensure};
use runproof_stack::Registry;
use sqlx::{Connection, PgConnection};
use tokio::process::{Child, Command};

use super::{
    Bench,
    figures::{self, Figures},
};
use crate::process;

/// How often it is looked at what is there: a hundredth of what is measured, at most.
const LOOK: Duration = Duration::from_millis(20);
/// What is called once for each execution at least, and how often a second after the burst: AWS's defaults.
const QUOTAS: [(&str, u32); 3] =
    [("DescribeExecution", 10), ("DescribeStateMachineForExecution", 1), ("GetExecutionHistory", 20)];
const PASSWORD: &str = "only for the benchmark";

pub(super) struct World<'a> {
    bench: &'a Bench,
    folder: PathBuf,
    registry: Registry,
    database_url: String,
    /// Calls of each kind that may be made at once.
    burst: usize,
}

impl<'a> World<'a> {
    /// With an issuer that has funds.
    pub(super) async fn new(bench: &'a Bench, name: &str, aws_url: &str, burst: usize) -> Result<Self> {
        let folder = bench.data.path().join(name);
        fs::create_dir_all(&folder)?;
        let chain = bench.stack.chain()?;
        let registry = chain.deploy_registry().await?;
        let database_url = bench.stack.postgres()?.create_database(name).await?;
        let world = Self { bench, folder, registry, database_url, burst };
        world.configure(aws_url)?;
        world.runproof(&["migrate"]).await?;
        let told = world.runproof(&["identity", "new"]).await?;
        let words = told.split(|one: char| !one.is_ascii_alphanumeric());
        let issuer: Option<Address> = words.filter(|word| word.len() == 42).find_map(|word| word.parse().ok());
        chain.fund(issuer.ok_or_eyre("no address was told")?, U256::from(10).pow(U256::from(20))).await?;
        Ok(world)
    }

    /// Writes the configuration, with this Step Functions endpoint.
    pub(super) fn configure(&self, aws_url: &str) -> Result<()> {
        let at = self.bench.stack.endpoints();
        let Registry { address, deployed_at_block } = self.registry;
        let text = format!(
            "[chain]\nrpc_url = \"{rpc}\"\nws_url = \"{ws}\"\nregistry = \"{address}\"\nregistry_deployed_at_block = {deployed_at_block}\n\
             [postgres]\nurl = \"{database}\"\n\
             [aws]\nendpoint_url = \"{aws_url}\"\naccess_key_id = \"{key}\"\nsecret_access_key = \"{secret}\"\n\
             {quotas}\
             [identity]\npassword = \"{PASSWORD}\"\n",
            quotas = QUOTAS
                .map(|(action, per_s)| format!("[aws.quotas.{action}]\nburst = {}.0\nper_s = {per_s}.0\n", self.burst))
                .concat(),
            rpc = at.rpc_http_url.ok_or_eyre("no chain")?,
            ws = at.rpc_ws_url.ok_or_eyre("no chain")?,
            database = self.database_url,
            key = at.aws_access_key_id,
            secret = at.aws_secret_access_key,
        );
        Ok(fs::write(self.folder.join("runproof.toml"), text)?)
    }

    /// Deploys a model; returns the ARN of its state machine.
    pub(super) async fn deploy(&self, name: &str, definition: &str) -> Result<String> {
        let file = self.folder.join(format!("{name}.asl.json"));
        fs::write(&file, definition)?;
        let told = self.runproof(&["deploy", &file.to_string_lossy(), "--name", name]).await?;
        let arn = told.split_whitespace().find(|word| word.starts_with("arn:"));
        Ok(arn.ok_or_eyre("no ARN was told")?.to_owned())
    }

    /// Starts the executor.
    pub(super) fn follow(&self) -> Result<Child> {
        let log = File::create(self.folder.join("follow.log"))?;
        Ok(self.command(&["follow"]).stdout(log.try_clone()?).stderr(log).spawn()?)
    }

    /// Waits until so many executions are captured, then until they are registered.
    pub(super) async fn measure(
        &self,
        mut follower: Child,
        executions: usize,
        began: Instant,
        block_s: u64,
    ) -> Result<Figures> {
        let pid = follower.id().ok_or_eyre("the executor has ended")?;
        let arrivals = figures::watch_blocks(self.bench.stack.chain()?.provider().clone());
        let mut sql = PgConnection::connect(&self.database_url).await?;
        let captured = "select count(*) from executor.instance where ended_as is not null";
        self.wait_for(&mut sql, captured, executions, &mut follower).await?;
        let (captured_s, capture_cpu_s) = (began.elapsed().as_secs_f64(), process::cpu_s(pid)?);
        let sealed = "select count(*) from executor.registration r join executor.transaction t using (transaction_id)
                      where r.kind = 'termination' and t.status = 'included'";
        self.wait_for(&mut sql, sealed, executions, &mut follower).await?;
        let registered_s = began.elapsed().as_secs_f64();
        let peak_memory_bytes = process::peak_memory_bytes(pid)?;
        follower.kill().await?;
        let registered = figures::registered(&mut sql, &arrivals.stop().await?).await?;
        Ok(Figures {
            executions,
            block_s,
            captured_s,
            capture_cpu_s,
            registered_s,
            peak_memory_bytes,
            calls: None,
            live: false,
            registered,
        })
    }

    async fn wait_for(&self, sql: &mut PgConnection, count: &'static str, of: usize, who: &mut Child) -> Result<()> {
        let mut look = tokio::time::interval(LOOK);
        while sqlx::query_scalar::<_, i64>(count).fetch_one(&mut *sql).await? < of as i64 {
            look.tick().await;
            if let Some(status) = who.try_wait()? {
                let log = fs::read_to_string(self.folder.join("follow.log"))?;
                bail!("the executor ended ({status}):\n{log}");
            }
        }
        Ok(())
    }

    async fn runproof(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).output().await.wrap_err("runproof: build it first")?;
        let [told, complained] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        ensure!(output.status.success(), "runproof {}: {told}\n{complained}", arguments.join(" "));
        Ok(told)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.bench.runproof);
        command.arg("--config").arg(self.folder.join("runproof.toml")).args(arguments);
        command.env("NO_COLOR", "1").stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}
