//! Runs of a workflow on a world of their own, and the executors that register them through a proxy of the chain's node.

use std::path::{Path, PathBuf};

use alloy::{
    consensus::TxEnvelope,
    eips::eip2718::Decodable2718,
    primitives::U256,
    providers::{DynProvider, Provider},
    signers::local::PrivateKeySigner,
};
use eyre::{Result, WrapErr, ensure};
use rand::{Rng, SeedableRng, rngs::StdRng};
use runproof_executor::identity::keystore;
use serde_json::{Value, json};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tokio::process::Command;

use crate::{
    ground::Ground,
    miner::Miner,
    process::Role,
    registered::differences,
    rpc_proxy::RpcProxy,
    world::{Detours, World},
};

const PASSWORD: &str = "only for the campaign";
/// States of each run; `max_batch` makes several transactions of them.
const STATES: i64 = 7;
/// Blocks after the issuer got its ether, so that no reorganisation takes that back.
const PRELUDE: u64 = 20;

/// Where an executor keeps what it knows: by default the world's own database.
pub(crate) struct Desk {
    config: PathBuf,
    pub(crate) pool: PgPool,
}

/// A world with an issuer and a deployed workflow.
pub(crate) struct Runs<'a> {
    pub(crate) world: World<'a>,
    /// Who registers.
    pub(crate) signer: PrivateKeySigner,
    pub(crate) proxy: RpcProxy,
    pub(crate) miner: Miner,
    pub(crate) desk: Desk,
    client: aws_sdk_sfn::Client,
    state_machine: String,
    started: i64,
}

impl<'a> Runs<'a> {
    /// None yet.
    pub(crate) async fn new(ground: &'a Ground, random: &mut StdRng) -> Result<Self> {
        let world = World::new(ground).await?;
        let engine = ground.engine().await?;
        let signer = keystore::create(&world.folder.join("identity"), PASSWORD)?;
        let chain = world.chain()?;
        chain.fund(signer.address(), U256::from(10).pow(U256::from(20))).await?;
        chain.mine(PRELUDE).await?;
        let proxy = RpcProxy::start(chain.http_url()).await?;
        let sections = format!(
            "[aws]\nendpoint_url = \"{}\"\naccess_key_id = \"emulator\"\nsecret_access_key = \"emulator\"\n\
             [identity]\npassword = \"{PASSWORD}\"\n[executor]\npoll_interval_ms = 25\nmax_batch = 3\nmax_wait_ms = 100\n",
            engine.endpoint_url()
        );
        world.detour(&Detours { rpc_url: Some(proxy.http_url()), sections, ..Detours::default() })?;
        let miner = Miner::start(chain.provider().clone(), StdRng::seed_from_u64(random.random()));
        let client = aws_sdk_sfn::Client::new(engine.sdk_config());
        let desk = Desk { config: world.config(), pool: world.pool.clone() };
        let mut runs = Self { world, signer, proxy, miner, desk, client, state_machine: String::new(), started: 0 };
        runs.deploy(&runs.desk).await?;
        let sql = "select state_machine_arn from executor.model";
        runs.state_machine = sqlx::query_scalar(sql).fetch_one(&runs.desk.pool).await?;
        Ok(runs)
    }

    /// Another database for an executor of the same issuer and workflow.
    pub(crate) async fn second_desk(&self) -> Result<Desk> {
        let url = self.world.ground.database(&format!("{}_second", self.world.name)).await?;
        let config = self.world.folder.join("second.toml");
        let text = std::fs::read_to_string(self.world.config())?.replace(&self.world.database_url, &url);
        std::fs::write(&config, text)?;
        let desk = Desk { config, pool: PgPoolOptions::new().max_connections(2).connect_lazy(&url)? };
        self.deploy(&desk).await?;
        Ok(desk)
    }

    async fn deploy(&self, desk: &Desk) -> Result<()> {
        let path = self.world.folder.join("steps.asl.json");
        std::fs::write(&path, model())?;
        let mut command = Command::new(&self.world.ground.binary);
        command.arg("--config").arg(&desk.config).arg("deploy").arg(path).args(["--name", &self.world.name]);
        let output = command.kill_on_drop(true).output().await.wrap_err("deploying")?;
        ensure!(output.status.success(), "deploying: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// The chain's node itself.
    pub(crate) fn node(&self) -> Result<&DynProvider> {
        Ok(self.world.chain()?.provider())
    }

    /// Number of the newest block.
    pub(crate) async fn height(&self) -> Result<u64> {
        Ok(self.node()?.get_block_number().await?)
    }

    /// Starts so many runs.
    pub(crate) async fn start(&mut self, runs: u64) -> Result<()> {
        for _ in 0..runs {
            self.started += 1;
            let call = self.client.start_execution().state_machine_arn(&self.state_machine).input("{}");
            call.name(format!("run-{}", self.started)).send().await.wrap_err("starting a run")?;
        }
        Ok(())
    }

    /// Starts an executor.
    pub(crate) fn follow(&self) -> Result<Role> {
        self.follow_at(&self.desk, "follow")
    }

    /// Starts an executor with a log of this name.
    pub(crate) fn follow_at(&self, desk: &Desk, name: &str) -> Result<Role> {
        let log = self.log(name);
        Role::start(&self.world.ground.binary, &desk.config, "follow", log)
    }

    fn log(&self, name: &str) -> PathBuf {
        Path::new(&self.world.folder).join(format!("{name}.log"))
    }

    /// Waits until all runs have ended, and all of them is in blocks as far as the database knows.
    pub(crate) async fn quiet(&self, desk: &Desk) -> Result<()> {
        self.world
            .until("all runs are registered to their end", || async {
                let sql =
                    "select count(*) = $1 and not exists (select from executor.transaction where status = 'signed')
                           from executor.instance i join executor.live l using (instance_id)
                           where i.ended_as is not null and l.begun and l.terminated and not l.has_gap
                             and l.count = (select count(*) from executor.state s where s.instance_id = i.instance_id)";
                Ok(sqlx::query_scalar(sql).bind(self.started).fetch_one(&desk.pool).await?)
            })
            .await
    }

    /// Transactions of this status, as the database knows them.
    pub(crate) async fn count(&self, status: &str) -> Result<i64> {
        let sql = "select count(*) from executor.transaction where status = $1";
        Ok(sqlx::query_scalar(sql).bind(status).fetch_one(&self.desk.pool).await?)
    }

    /// The transaction with the highest nonce of those on their way.
    pub(crate) async fn newest_signed(&self) -> Result<TxEnvelope> {
        let sql = "select raw from executor.transaction where status = 'signed' order by nonce desc limit 1";
        let raw: Vec<u8> = sqlx::query_scalar(sql).fetch_one(&self.desk.pool).await?;
        Ok(TxEnvelope::decode_2718(&mut &raw[..])?)
    }

    /// What an executor that is up must have held to: all that was captured is registered once, in order, and known to be.
    pub(crate) async fn judge(&self, desk: &Desk, executor: &Role) -> Result<Vec<String>> {
        self.quiet(desk).await.wrap_err_with(|| executor.log_end())?;
        let (node, registry) = (self.node()?, self.world.registry.address);
        let mut broken = differences(node, registry, self.signer.address(), &desk.pool).await?;
        let states: i64 = sqlx::query_scalar("select count(*) from executor.state").fetch_one(&desk.pool).await?;
        if states != self.started * STATES {
            broken.push(format!("{states} states were captured of {} runs", self.started));
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

/// Steps that take no time.
fn model() -> String {
    let name = |number: i64| format!("Step {number}");
    let step = |number: i64| {
        let state = if number == STATES {
            json!({"Type": "Succeed"})
        } else {
            json!({"Type": "Pass", "Next": name(number + 1)})
        };
        (name(number), state)
    };
    let states: serde_json::Map<String, Value> = (1..=STATES).map(step).collect();
    json!({"StartAt": name(1), "States": states}).to_string()
}
