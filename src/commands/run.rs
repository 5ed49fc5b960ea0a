//! `runproof run`, `runproof follow` and `runproof request-transition`: a run and what a client does with it.

use std::{path::Path, time::Duration};

use eyre::{Context, OptionExt, Result, eyre};
use runproof_executor::{
    Executor, Scope,
    arn::ExecutionArn,
    request::{client, inbox::Decision},
};
use runproof_protocol::ModelId;
use tokio_util::sync::CancellationToken;

use super::{identity, read};
use crate::{
    cli::{Follow, RequestTransition, Run},
    config::Config,
    observed::nodes,
    roles,
};

/// A signed HTTPS request may be decided for so long.
const REQUEST_VALIDITY: Duration = Duration::from_secs(300);

/// Starts an execution.
pub async fn start(config: &Config, run: &Run) -> Result<()> {
    let executor = roles::executor(config).await?;
    let input = match &run.input {
        Some(path) => String::from_utf8(read(path)?).wrap_err("the input is not UTF-8")?,
        None => "{}".into(),
    };
    let execution = executor.start(model_id(&executor, &run.model).await?, &input, run.name.as_deref()).await?;
    println!("execution  {execution}");
    Ok(())
}

/// Follows one or all executions, until the token is cancelled.
pub async fn follow(config: &Config, follow: &Follow, token: CancellationToken) -> Result<()> {
    let scope = match &follow.execution {
        Some(arn) => Scope::Execution(arn.parse::<ExecutionArn>()?.to_string(), follow.settings()),
        None => Scope::All,
    };
    roles::follow(config, scope, token).await
}

/// Follows one execution to its end.
pub async fn follow_once(config: &Config, follow: &Follow) -> Result<()> {
    let arn = follow.execution.as_deref().ok_or_eyre("--once needs the execution's ARN")?;
    arn.parse::<ExecutionArn>()?;
    let instance = roles::executor(config).await?.follow_until_done(arn, follow.settings()).await?;
    println!("instance  {instance}");
    Ok(())
}

/// Asks a waiting state to go on.
pub async fn request_transition(config: &Config, request: &RequestTransition) -> Result<()> {
    let signer = identity::key(config).await?;
    let ask = client::Ask {
        nodes: nodes(&config.chain)?,
        registry: config.chain.registry,
        registry_deployed_at_block: config.chain.registry_deployed_at_block,
        issuer: request.issuer.unwrap_or(signer.address()),
        instance: request.instance,
        sequence: request.sequence,
        payload: request.payload.clone(),
    };
    match &request.https {
        None => {
            println!("requested in transaction {}", client::on_chain(&ask, &roles::sender(config).await?).await?);
            println!("what becomes of it: /{}/requests.json on the issuer's site", request.instance);
        }
        Some(site) => {
            let answer = client::by_https(&ask, &signer, site, REQUEST_VALIDITY).await?;
            println!("{}", serde_json::to_string_pretty(&answer)?);
            if answer.decision == Decision::Refused {
                return Err(eyre!("the request was refused: {}", answer.reason.unwrap_or_default()));
            }
        }
    }
    Ok(())
}

/// A deployed model by its id, its file or its name.
async fn model_id(executor: &Executor, model: &str) -> Result<ModelId> {
    if let Ok(id) = model.parse() {
        return Ok(id);
    }
    let path = Path::new(model);
    if path.is_file() {
        return Ok(executor.model_id(&read(path)?)?);
    }
    executor
        .model_named(model)
        .await?
        .ok_or_else(|| eyre!("no model `{model}` is deployed: `runproof deploy` it first"))
}
