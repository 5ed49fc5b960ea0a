//! `runproof deploy`, `runproof import` and `runproof disclose`: what is published.

use eyre::{OptionExt, Result};
use runproof_executor::import::Documents;
use runproof_protocol::model::StateSelection;

use super::read;
use crate::{
    cli::{Deploy, Disclose, Import, Recorded},
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
        let (model, quote) = executor.quote_deployment(name, &bytes, deploy.settings(), &deploy.participants).await?;
        println!("model       {model}");
        println!("would take {quote}");
        return Ok(());
    }
    let deployed = executor.deploy(name, &bytes, deploy.settings(), &deploy.participants).await?;
    println!("model          {}", deployed.model_id);
    println!("state machine  {}", deployed.state_machine_arn);
    println!("published at   {}/{}.json", config.site.public_url, deployed.model_id);
    Ok(())
}

/// Discloses the input of a private state, or what an event of a private run came to.
pub async fn disclose(config: &Config, disclose: &Disclose) -> Result<()> {
    let executor = roles::executor(config).await?;
    let instance = disclose.instance;
    if let Some(event) = disclose.event {
        println!("{}", serde_json::to_string_pretty(&executor.event_disclosure(instance, event).await?)?);
    }
    let Some(sequence) = disclose.sequence else { return Ok(()) };
    if disclose.print {
        println!("{}", serde_json::to_string_pretty(&executor.disclosure(instance, sequence).await?)?);
        return Ok(());
    }
    let disclosed = executor.disclose(instance, sequence).await?;
    println!("state         {}", disclosed.state);
    println!("published at  {}/{instance}/disclosures/{sequence}.json", config.site.public_url);
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
