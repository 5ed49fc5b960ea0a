//! One run of the demo's workflow, from its deployment to its verdict.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use eyre::{Context, Result};
use runproof_executor::{
    Executor, Key, Sender, Settings,
    request::client::{self, Ask},
};
use runproof_protocol::{InstanceId, ModelId, model::StateSelection, verdict::Verdict};
use runproof_stack::{Stack, demo};

use crate::{config::Config, roles};

/// Orders that the run loads.
const ORDERS: u32 = 3;
/// The state that waits for the client.
const APPROVAL: &str = "Approve report";
/// Nothing in the demo takes longer.
const PATIENCE: Duration = Duration::from_secs(180);

/// Deploys the model; the emulator keeps no state machine from one start to the next.
pub async fn deploy(config: &Config, client: &Key) -> Result<(Executor, ModelId)> {
    let executor = roles::executor(config).await?;
    let model = demo::MODEL.as_bytes();
    let deployed = executor.deploy("orders-etl", model, StateSelection::All.into(), &[client.address()]).await?;
    println!("deployed the model {}", deployed.model_id);
    Ok((executor, deployed.model_id))
}

/// Runs it, approves, and verifies when all is registered.
pub async fn run(
    stack: &Stack,
    config: &Config,
    client: &Key,
    (executor, model): (Executor, ModelId),
) -> Result<Verdict> {
    let name = format!("run-{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    stack.emulator()?.seed_orders(&name, ORDERS).await?;
    let execution = executor.start(model, "{}", Some(&name)).await?;
    let arn = execution.as_str();
    println!("running {arn}");
    let instance = approve_when_waiting(&executor, config, client, arn).await?;
    await_end(&executor, arn).await?;
    println!("the run has ended; verifying it from chain and web alone");
    Ok(runproof_verifier::verify(&roles::verifier_settings(config)?, None, instance).await?)
}

/// Waits until the state that needs approval is registered, and asks on chain for it to go on.
async fn approve_when_waiting(executor: &Executor, config: &Config, client: &Key, arn: &str) -> Result<InstanceId> {
    let waiting = "select s.instance_id, s.sequence from executor.state s
        join executor.instance i using (instance_id)
        join executor.registration r on r.instance_id = s.instance_id and r.kind = 'states'
            and s.sequence between r.first and r.first + r.count - 1
        join executor.transaction t on t.transaction_id = r.transaction_id and t.status = 'included'
        where i.execution_arn = $1 and s.name = $2";
    let (instance, sequence) = until("the run waits for the client's approval", async || {
        let row: Option<(Vec<u8>, i64)> =
            sqlx::query_as(waiting).bind(arn).bind(APPROVAL).fetch_optional(executor.pool()).await?;
        Ok(row)
    })
    .await?;
    let (instance, sequence) = (InstanceId::try_from(&instance[..])?, u64::try_from(sequence)?);
    let ask = Ask {
        nodes: executor.settings().nodes.clone(),
        registry: config.chain.registry,
        registry_deployed_at_block: config.chain.registry_deployed_at_block,
        issuer: executor.settings().signer.address(),
        instance,
        sequence: Some(sequence),
        payload: r#"{"approved": true}"#.into(),
    };
    println!("the client {} approves state {sequence} on chain", client.address());
    let settings = Settings { signer: client.clone(), ..executor.settings().clone() };
    client::on_chain(&ask, &Sender::storing(settings).await?).await?;
    Ok(instance)
}

/// Waits until the end of the run is registered.
async fn await_end(executor: &Executor, arn: &str) -> Result<()> {
    let ended = "select 1 from executor.registration r
        join executor.instance i using (instance_id)
        join executor.transaction t on t.transaction_id = r.transaction_id and t.status = 'included'
        where i.execution_arn = $1 and r.kind = 'termination'";
    until("the run has ended and its end is registered", async || {
        let row: Option<(i32,)> = sqlx::query_as(ended).bind(arn).fetch_optional(executor.pool()).await?;
        Ok(row)
    })
    .await
    .map(drop)
}

/// Looks again and again: what the run waits for is at work elsewhere, and tells nobody.
async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let looking = async {
        let mut tick = tokio::time::interval(Duration::from_millis(250));
        loop {
            tick.tick().await;
            if let Some(found) = look().await? {
                return Ok(found);
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.wrap_err_with(|| format!("it took too long until {what}"))?
}
