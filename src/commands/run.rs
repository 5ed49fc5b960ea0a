//! `runproof run`, `runproof follow` and `runproof request-transition`: a run and what a client does with it.

use std::{path::Path, time::Duration};

use eyre::{Context, Result, eyre};
use runproof_executor::{
    Executor, Scope,
    request::{client, inbox::Decision},
};
use runproof_protocol::ModelId;
use tokio_util::sync::CancellationToken;

use super::{identity, read};
use crate::{
    cli::{Follow, RequestTransition, Run},
    config::Config,
    roles,
};

/// A signed HTTPS request may be decided for so long.
const REQUEST_VALIDITY: Duration = Duration::from_secs(300);

/// Starts an execution.
pub async fn start(config: &Config, run: &Run) -> Result<()> {
    let executor = Executor::connect(roles::executor_settings(config)?).await?;
    let input = match &run.input {
        Some(path) => String::from_utf8(read(path)?).wrap_err("the input is not UTF-8")?,
        None => "{}".into(),
    };
    let execution = executor.start(model_id(&executor, &run.model).await?, &input, run.name.as_deref()).await?;
    println!("execution  {execution}");
    Ok(())
}

/// Follows one or all executions.
pub async fn follow(config: &Config, follow: &Follow, token: CancellationToken) -> Result<()> {
    let selection = follow.states.into();
    match &follow.execution {
        Some(arn) if follow.once => {
            let executor = Executor::connect(roles::executor_settings(config)?).await?;
            let instance = executor.follow_until_done(arn, selection).await?;
            println!("instance  {instance}");
            Ok(())
        }
        Some(arn) => roles::follow(config, Scope::Execution(arn.clone(), selection), token).await,
        None => roles::follow(config, Scope::All, token).await,
    }
}

/// Asks a waiting state to go on.
pub async fn request_transition(config: &Config, request: &RequestTransition) -> Result<()> {
    let signer = identity::signer(config)?;
    let ask = client::Ask {
        rpc_url: config.chain.rpc_url.clone(),
        registry: config.chain.registry,
        registry_deployed_at_block: config.chain.registry_deployed_at_block,
        issuer: request.issuer.unwrap_or(signer.address()),
        instance: request.instance,
        sequence: request.sequence,
        payload: request.payload.clone(),
    };
    match &request.https {
        None => println!("requested in transaction {}", client::on_chain(&ask, &signer).await?),
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
        return Ok(ModelId::of(&read(path)?));
    }
    executor
        .model_named(model)
        .await?
        .ok_or_else(|| eyre!("no model `{model}` is deployed: `runproof deploy` it first"))
}
