//! Executions behind a proxy of Step Functions, and an executor that follows them on a world of its own.

use std::collections::BTreeSet;

use alloy::primitives::{Address, U256};
use aws_config::SdkConfig;
use eyre::{OptionExt, Result, WrapErr, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use runproof_executor::identity::keystore;
use runproof_stack::Recording;
use serde_json::Value;
use tokio::process::Command;

use crate::{
    aws_proxy::AwsProxy,
    ground::Ground,
    hints::Hints,
    miner::Miner,
    process::Role,
    registered::differences,
    world::{Detours, World},
};

/// Commands to start one run after which users give up.
const COMMANDS: u64 = 10;
const PASSWORD: &str = "only for the campaign";

/// The emulator has no quotas of its own; what is refused here is the proxy's doing.
const SECTIONS: &str = "access_key_id = \"emulator\"\nsecret_access_key = \"emulator\"\n\
    [aws.quotas]\nDescribeStateMachineForExecution = { burst = 200, per_s = 50 }\nListExecutions = { burst = 200, per_s = 50 }\n\
    [executor]\npoll_interval_ms = 100\nredrive_interval_s = 1\nmax_wait_ms = 100\n";

/// A world with an issuer and a deployed workflow.
pub(crate) struct Followed<'a> {
    pub(crate) world: World<'a>,
    pub(crate) proxy: AwsProxy,
    issuer: Address,
    miner: Miner,
    /// Past the proxy.
    engine: aws_sdk_sfn::Client,
    /// Through it.
    client: aws_sdk_sfn::Client,
    state_machine: String,
}

impl<'a> Followed<'a> {
    /// No execution yet.
    pub(crate) async fn new(ground: &'a Ground, random: &mut StdRng, model: &Value) -> Result<Self> {
        let world = World::new(ground).await?;
        let (engine, name) = (ground.engine().await?.sdk_config(), world.name.clone());
        Self::on(world, random, engine, &name, &model.to_string(), "").await
    }

    /// The same, with hints of its executions, which the executor takes.
    pub(crate) async fn hinted(ground: &'a Ground, random: &mut StdRng, model: &Value) -> Result<(Self, Hints)> {
        let world = World::new(ground).await?;
        let (engine, name) = (ground.engine().await?.sdk_config(), world.name.clone());
        let hints = Hints::new(engine, &name).await?;
        let setting = format!("hint_queue_url = \"{}\"\n", hints.url);
        Ok((Self::on(world, random, engine, &name, &model.to_string(), &setting).await?, hints))
    }

    /// An execution that is told of, and does not really run.
    pub(crate) async fn recorded(ground: &'a Ground, random: &mut StdRng, url: &str, told: &Recording) -> Result<Self> {
        let engine = ground.engine().await?.sdk_config().to_builder().endpoint_url(url).build();
        let name = told.state_machine_arn.rsplit(':').next().unwrap_or_default();
        Self::on(World::new(ground).await?, random, &engine, name, &told.definition, "").await
    }

    async fn on(
        world: World<'a>,
        random: &mut StdRng,
        engine: &SdkConfig,
        name: &str,
        definition: &str,
        setting: &str,
    ) -> Result<Self> {
        let issuer = keystore::create(&world.folder.join("identity"), PASSWORD)?.address();
        let chain = world.chain()?;
        chain.fund(issuer, U256::from(10).pow(U256::from(20))).await?;
        let url = engine.endpoint_url().ok_or_eyre("an engine has a URL")?.to_owned();
        let proxy = AwsProxy::start(url, StdRng::seed_from_u64(random.random())).await?;
        let sections = format!(
            "[identity]\npassword = \"{PASSWORD}\"\n[aws]\nendpoint_url = \"{}\"\n{SECTIONS}{setting}",
            proxy.url()
        );
        world.detour(&Detours { sections, ..Detours::default() })?;
        let miner = Miner::start(chain.provider().clone(), StdRng::seed_from_u64(random.random()));
        let through = engine.to_builder().endpoint_url(proxy.url()).build();
        let (engine, client) = (aws_sdk_sfn::Client::new(engine), aws_sdk_sfn::Client::new(&through));
        let mut followed = Self { world, proxy, issuer, miner, engine, client, state_machine: String::new() };
        let file = followed.world.folder.join("model.asl.json");
        std::fs::write(&file, definition)?;
        followed.command(&["deploy", &file.to_string_lossy(), "--name", name]).await?;
        let sql = "select state_machine_arn from executor.model";
        followed.state_machine = sqlx::query_scalar(sql).fetch_one(&followed.world.pool).await?;
        Ok(followed)
    }

    /// Runs the binary to its end.
    async fn command(&self, arguments: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.world.ground.binary);
        command.arg("--config").arg(self.world.config()).args(arguments).kill_on_drop(true);
        let output = command.output().await.wrap_err("the binary does not start")?;
        ensure!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Starts an executor.
    pub(crate) fn follow(&self) -> Result<Role> {
        let log = self.world.folder.join("follow.log");
        Role::start(&self.world.ground.binary, &self.world.config(), "follow", log)
    }

    /// Starts an execution; nobody tells the executor.
    pub(crate) async fn start(&self, name: &str, input: &Value) -> Result<String> {
        let call = self.engine.start_execution().state_machine_arn(&self.state_machine).name(name);
        Ok(call.input(input.to_string()).send().await.wrap_err("starting an execution")?.execution_arn)
    }

    /// Starts an execution as users do: where the command fails, they give it again. Returns how often it was given.
    pub(crate) async fn start_by_command(&self, name: &str) -> Result<u64> {
        let mut given = 1;
        while let Err(error) = self.command(&["run", &self.world.name, "--name", name]).await {
            if given == COMMANDS {
                return Err(error);
            }
            given += 1;
        }
        Ok(given)
    }

    /// Redrives an execution.
    pub(crate) async fn redrive(&self, arn: &str) -> Result<()> {
        self.client.redrive_execution().execution_arn(arn).send().await.wrap_err("redriving")?;
        Ok(())
    }

    /// Waits until an execution runs no more.
    pub(crate) async fn stopped(&self, arn: &str) -> Result<()> {
        let stopped = || async {
            let found = self.client.describe_execution().execution_arn(arn).send().await?;
            Ok(found.status.as_str() != "RUNNING")
        };
        self.world.until("the execution ends", stopped).await
    }

    /// Waits until an execution has ended, as it is and not as the proxy tells it.
    pub(crate) async fn ended(&self, arn: &str) -> Result<()> {
        let ended = || async {
            let found = self.engine.describe_execution().execution_arn(arn).send().await?;
            Ok(found.status.as_str() != "RUNNING")
        };
        self.world.until("the execution ends", ended).await
    }

    /// Waits until so many events are captured, of all executions together.
    pub(crate) async fn captured(&self, events: u64) -> Result<()> {
        let captured = || async {
            let sql = "select count(*) from executor.history_event";
            Ok(self.world.number(sql).await? >= events as i64)
        };
        self.world.until("events are captured", captured).await
    }

    /// All executions there are.
    pub(crate) async fn executions(&self) -> Result<Vec<String>> {
        let pages = self.engine.list_executions().state_machine_arn(&self.state_machine).into_paginator();
        let items = pages.items().send().try_collect().await.wrap_err("listing executions")?;
        Ok(items.into_iter().map(|item| item.execution_arn).collect())
    }

    /// Waits until so many instances are registered to their end, and nothing is on its way.
    pub(crate) async fn sealed(&self, instances: u64, executor: &Role) -> Result<()> {
        let sealed = || async {
            let sql = "select (select count(*) from executor.registration r join executor.transaction t using (transaction_id)
                               where r.kind = 'termination' and t.status = 'included') >= $1
                       and not exists (select from executor.transaction where status = 'signed')";
            Ok(sqlx::query_scalar(sql).bind(instances as i64).fetch_one(&self.world.pool).await?)
        };
        self.world.until("all is registered to its end", sealed).await.wrap_err_with(|| executor.log_end())
    }

    /// Ids of the states of an execution, in order, of all of its instances.
    pub(crate) async fn registered(&self, arn: &str) -> Result<Vec<Vec<u8>>> {
        let sql = "select s.state_id from executor.state s join executor.instance i using (instance_id)
                   where i.execution_arn = $1 order by i.redrives, s.sequence";
        Ok(sqlx::query_scalar(sql).bind(arn).fetch_all(&self.world.pool).await?)
    }

    /// What an executor must have held to: each event of each execution is captured once, and what was captured is registered once and in order.
    pub(crate) async fn judge(&self, arns: &[String], executor: &Role) -> Result<Vec<String>> {
        let node = self.world.chain()?.provider();
        let mut broken = differences(node, self.world.registry.address, self.issuer, &self.world.pool).await?;
        for arn in arns {
            let told: Vec<u64> =
                self.proxy.history(arn).await?.iter().filter_map(|event| event["id"].as_u64()).collect();
            let sql = "select e.event_id from executor.history_event e join executor.instance i using (instance_id)
                       where i.execution_arn = $1 order by e.event_id";
            let captured: Vec<i64> = sqlx::query_scalar(sql).bind(arn).fetch_all(&self.world.pool).await?;
            if !told.iter().copied().eq(captured.iter().map(|id| *id as u64)) {
                broken.push(format!("{arn} has {} events, {} were captured", told.len(), captured.len()));
            }
        }
        let known: i64 = self.world.number("select count(distinct execution_arn) from executor.instance").await?;
        if known != arns.iter().collect::<BTreeSet<_>>().len() as i64 {
            broken.push(format!("{} executions were started, {known} were captured", arns.len()));
        }
        broken.extend(executor.log().contains("panicked").then(|| "a panic, see its log".to_owned()));
        Ok(broken.into_iter().map(|what| format!("{}: {what}", self.world.name)).collect())
    }

    /// Ends the world; its folder stays.
    pub(crate) async fn end(self) {
        drop(self.miner);
        self.world.end().await;
    }
}
