//! The executor under load: a private Postgres, chain and emulator, and the real binary that follows executions.

mod figures;
mod recordings;
mod world;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use alloy::providers::ext::AnvilApi;
use aws_sdk_sfn::{Client, types::ExecutionStatus};
use eyre::{OptionExt, Result, WrapErr};
pub use figures::{Figures, HEADINGS};
use futures::{StreamExt, TryStreamExt, stream};
use runproof_stack::{Mining, Pace, Part, Ports, Recorded, Recording, Stack, StackOptions};
use tempfile::TempDir;

use self::world::World;

/// Gas that a block takes: Ethereum's limit, of 2026.
const BLOCK_GAS: u64 = 60_000_000;
/// Calls of a kind that may be made at once, at least: AWS's default for histories.
const BURST: usize = 400;
/// How often it is looked whether executions still run.
const LOOK: Duration = Duration::from_millis(200);
/// Executions that are being started at a time.
const STARTING: usize = 16;

/// The parts that measurements share.
pub struct Bench {
    runproof: PathBuf,
    stack: Stack,
    data: TempDir,
}

impl Bench {
    /// Starts the parts, in a folder that goes when the bench does.
    pub async fn start(runproof: PathBuf) -> Result<Self> {
        let data = tempfile::Builder::new().prefix("runproof-bench").tempdir()?;
        let parts = [Part::Postgres, Part::Chain, Part::Emulator].into();
        let mining = Mining::EverySeconds(1);
        let options = StackOptions { ports: Ports::free()?, parts, mining, ..StackOptions::new(data.path()) };
        let stack = Stack::start(options).await?;
        stack.chain()?.provider().anvil_set_block_gas_limit(BLOCK_GAS).await?;
        Ok(Self { runproof, stack, data })
    }

    /// Ends the parts.
    pub async fn stop(self) {
        self.stack.stop().await;
    }

    /// One execution of so many states, which has ended: how long it takes to read, capture and register it.
    pub async fn long(&self, states: usize, block_s: u64) -> Result<Figures> {
        let recording = Recording::counted("long", 0, states);
        self.recorded(&format!("long_{states}"), vec![recording], Pace::Ended, block_s).await
    }

    /// So many executions that have ended, on an engine that answers at once: the executor and the chain alone.
    pub async fn many(&self, executions: usize, states: usize, block_s: u64) -> Result<Figures> {
        let recordings = (0..executions).map(|nth| Recording::counted("many", nth, states)).collect();
        self.recorded(&format!("many_{executions}"), recordings, Pace::Ended, block_s).await
    }

    /// So many executions on the emulator, with nobody who follows them: seconds until all have ended.
    pub async fn emulator_alone(&self, executions: usize, states: usize) -> Result<f64> {
        let client = Client::new(self.stack.emulator()?.sdk_config());
        let machine = client.create_state_machine().name("alone").definition(recordings::steps(states));
        let machine = machine.role_arn("arn:aws:iam::123456789012:role/alone").send().await?.state_machine_arn;
        let began = Instant::now();
        start(&client, &machine, executions).await?;
        let running = || client.list_executions().state_machine_arn(&machine).status_filter(ExecutionStatus::Running);
        let mut look = tokio::time::interval(LOOK);
        while !running().send().await?.executions.is_empty() {
            look.tick().await;
        }
        Ok(began.elapsed().as_secs_f64())
    }

    /// An execution with a distributed Map of so many items, each an execution of two states: all have ended.
    pub async fn map_run(&self, items: usize, block_s: u64) -> Result<Figures> {
        self.recorded("map_run", recordings::map_run(items), Pace::Ended, block_s).await
    }

    /// One execution that stands still for so long between two of its four states.
    pub async fn waiting(&self, seconds: u32, block_s: u64) -> Result<Figures> {
        self.recorded("waiting", vec![recordings::waiting(seconds)], Pace::AsItHappened, block_s).await
    }

    /// An execution as it was recorded, at its own pace.
    pub async fn replayed(&self, recording: Recording, block_s: u64) -> Result<Figures> {
        self.recorded("replayed", vec![recording], Pace::AsItHappened, block_s).await
    }

    async fn recorded(&self, name: &str, all: Vec<Recording>, pace: Pace, block_s: u64) -> Result<Figures> {
        let executions = all.len();
        let definition = all.first().ok_or_eyre("nothing to replay")?.definition.clone();
        let machine =
            all.first().and_then(|one| one.state_machine_arn.rsplit(':').next()).unwrap_or_default().to_owned();
        self.blocks_each(block_s).await?;
        let served = Recorded::serve(all.clone(), pace).await?;
        // At AWS's default quotas, 10,000 histories would take eight minutes: it is the executor that is measured.
        let world = World::new(self, name, served.url(), BURST.max(2 * executions)).await?;
        world.deploy(&machine, &definition).await?;
        // What was served before, to the deployment, is not the executor's following.
        let recorded = Recorded::serve(all, pace).await?;
        world.configure(recorded.url())?;
        let began = Instant::now();
        let follower = world.follow()?;
        let figures = world.measure(follower, executions, began, block_s).await?;
        Ok(Figures { calls: Some(recorded.calls()), ..figures })
    }

    /// So many executions at once on the emulator, of so many states each.
    pub async fn emulated(&self, executions: usize, states: usize, block_s: u64) -> Result<Figures> {
        self.blocks_each(block_s).await?;
        let emulator = self.stack.emulator()?;
        let world = World::new(self, "emulated", &emulator.endpoint_url(), BURST).await?;
        let machine = world.deploy("steps", &recordings::steps(states)).await?;
        let client = Client::new(emulator.sdk_config());
        let began = Instant::now();
        let follower = world.follow()?;
        start(&client, &machine, executions).await?;
        Ok(Figures { live: true, ..world.measure(follower, executions, began, block_s).await? })
    }

    async fn blocks_each(&self, seconds: u64) -> Result<()> {
        Ok(self.stack.chain()?.provider().anvil_set_interval_mining(seconds).await?)
    }
}

async fn start(client: &Client, machine: &str, executions: usize) -> Result<()> {
    let starts = (0..executions)
        .map(|nth| client.start_execution().state_machine_arn(machine).name(format!("run-{nth}")).input("{}").send());
    stream::iter(starts).buffer_unordered(STARTING).try_collect::<Vec<_>>().await.wrap_err("starting executions")?;
    Ok(())
}
