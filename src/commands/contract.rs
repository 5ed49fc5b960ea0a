//! `runproof contract`: the registry, at the same address on every chain.

use alloy::{primitives::Address, providers::Provider};
use eyre::{Result, ensure};
use runproof_contracts::deployment;
use runproof_executor::identity::send::{connect, send};

use super::identity;
use crate::{cli::ContractCommand, config::Config};

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
    let signer = identity::signer(config)?;
    let provider = connect(&config.chain.rpc_url, &signer);
    let address = deployment::address();
    let has_code = async |address: Address| -> Result<bool> { Ok(!provider.get_code_at(address).await?.is_empty()) };
    if has_code(address).await? {
        println!("the registry is at {address} already");
        println!("registry = \"{address}\"");
        return Ok(());
    }
    ensure!(
        has_code(deployment::FACTORY).await?,
        "this chain lacks the deterministic deployment proxy at {}: deploy that first",
        deployment::FACTORY
    );
    let hash = send(&provider, signer.address(), deployment::transaction()).await?;
    ensure!(has_code(address).await?, "transaction {hash} was included, but there is no code at {address}");
    let receipt = provider.get_transaction_receipt(hash).await?;
    let block = receipt.and_then(|receipt| receipt.block_number).unwrap_or_default();
    println!("created in transaction {hash}; the settings of [chain] are");
    println!("registry = \"{address}\"");
    println!("registry_deployed_at_block = {block}");
    Ok(())
}
