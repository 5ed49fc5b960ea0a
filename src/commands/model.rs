//! `runproof deploy` and `runproof import`: what is published and registered as a whole.

use eyre::{OptionExt, Result};
use runproof_executor::import::Documents;
use runproof_protocol::{ModelId, history::StateSelection};

use super::read;
use crate::{
    cli::{Deploy, Import, Recorded},
    config::Config,
    roles,
};

/// Publishes a model.
pub async fn deploy(config: &Config, deploy: &Deploy) -> Result<()> {
    let bytes = read(&deploy.model)?;
    let file_name =
        deploy.model.file_name().and_then(|name| name.to_str()).ok_or_eyre("the model's file has no name")?;
    let name = deploy.name.as_deref().unwrap_or_else(|| file_name.split('.').next().unwrap_or(file_name));
    let executor = roles::executor(config).await?;
    if deploy.dry_run {
        println!("model       {}", ModelId::of(&bytes));
        println!(
            "would take {}",
            executor.quote_deployment(name, &bytes, deploy.states.into(), &deploy.participants).await?
        );
        return Ok(());
    }
    let deployed = executor.deploy(name, &bytes, deploy.states.into(), &deploy.participants).await?;
    println!("model          {}", deployed.model_id);
    println!("state machine  {}", deployed.state_machine_arn);
    println!("published at   {}/{}.json", config.site.public_url, deployed.model_id);
    Ok(())
}

/// A recorded run's documents.
pub fn documents(run: &Recorded) -> Result<Documents> {
    Ok(Documents { model: read(&run.model)?, instance: read(&run.instance)?, trace: read(&run.trace)? })
}

/// Registers and publishes a recorded run.
pub async fn import(config: &Config, import: &Import) -> Result<()> {
    let documents = documents(&import.run)?;
    let executor = roles::executor(config).await?;
    if import.dry_run {
        println!("would take {}", executor.quote_import(&documents, StateSelection::All).await?);
        return Ok(());
    }
    let imported = executor.import(&documents, StateSelection::All).await?;
    println!("model         {}", imported.model_id);
    println!("instance      {}", imported.instance_id);
    for (number, state) in (1..).zip(&imported.states) {
        println!("state {number:>7} {state}");
    }
    println!("outcome       {}", imported.outcome.map_or("not told: the run stays open".into(), |end| end.to_string()));
    println!("published at  {}/{}.json", config.site.public_url, imported.instance_id);
    Ok(())
}
