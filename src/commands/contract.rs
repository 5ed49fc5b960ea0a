//! `runproof contract`: the registry, at the same address on every chain.

use alloy::providers::Provider;
use eyre::{Result, ensure};
use runproof_contracts::deployment;

use crate::{cli::ContractCommand, config::Config, roles};

/// Runs one of its commands.
pub async fn run(config: &Config, command: &ContractCommand) -> Result<()> {
    match command {
        ContractCommand::Deploy => deploy(config).await,
        ContractCommand::Address => {
            println!("{}", deployment::address());
            Ok(())
        }
    }
}

/// Creates the registry, unless it is there.
async fn deploy(config: &Config) -> Result<()> {
    let sender = roles::sender(config).await?;
    let (provider, address) = (sender.provider(), deployment::address());
    if is_there(provider).await? {
        println!("the registry is at {address} already");
        println!("registry = \"{address}\"");
        return Ok(());
    }
    ensure!(
        !provider.get_code_at(deployment::FACTORY).await?.is_empty(),
        "this chain lacks the deterministic deployment proxy at {}: deploy that first",
        deployment::FACTORY
    );
    let hash = sender.send(deployment::FACTORY, deployment::input()).await?;
    ensure!(is_there(provider).await?, "transaction {hash} was included, but there is no code at {address}");
    let receipt = provider.get_transaction_receipt(hash).await?;
    let block = receipt.and_then(|receipt| receipt.block_number).unwrap_or_default();
    println!("created in transaction {hash}; the settings of [chain] are");
    println!("registry = \"{address}\"");
    println!("registry_deployed_at_block = {block}");
    Ok(())
}

/// Whether the registry is at its address, by its code: on a chain that somebody made up anything can lie there.
async fn is_there(provider: &impl Provider) -> Result<bool> {
    let address = deployment::address();
    let code = provider.get_code_at(address).await?;
    ensure!(
        code.is_empty() || deployment::is_registry(&code),
        "at {address} lies code that is not the registry's: do not trust this chain, or ask another node"
    );
    Ok(!code.is_empty())
}
