//! `runproof relay`: one signs what another submits.

use std::time::SystemTime;

use eyre::{Context, Result};
use runproof_executor::{import, relay::SignedCall};
use runproof_protocol::{head::Registry, model::StateSelection};

use super::{identity, model::documents, read};
use crate::{
    cli::{RelayCommand, RelaySign},
    config::Config,
    roles,
};

/// Runs one of its commands.
pub async fn run(config: &Config, command: &RelayCommand) -> Result<()> {
    match command {
        RelayCommand::Sign(sign) => self::sign(config, sign).await,
        RelayCommand::Submit { file } => {
            let signed: SignedCall = serde_json::from_slice(&read(file)?)
                .wrap_err_with(|| format!("{} is not what `runproof relay sign` prints", file.display()))?;
            println!("submitted in transaction {}", signed.submit(&roles::sender(config).await?).await?);
            Ok(())
        }
    }
}

async fn sign(config: &Config, sign: &RelaySign) -> Result<()> {
    let signer = identity::key(config).await?;
    let documents = documents(&sign.run)?;
    let call = import::registration(&documents, StateSelection::All, signer.address(), sign.model_registered)?;
    let registry = Registry { chain_id: sign.chain_id, address: config.chain.registry };
    let now_s = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let signed = SignedCall::sign(&signer, registry, call, sign.nonce, now_s.saturating_add(sign.valid_for)).await?;
    println!("{}", serde_json::to_string_pretty(&signed)?);
    Ok(())
}
