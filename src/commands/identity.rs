//! `runproof identity`.

use std::time::Duration;

use alloy::{
    network::TransactionBuilder,
    primitives::{B256, Bytes},
    rpc::types::TransactionRequest,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use eyre::{Result, ensure};
use runproof_contracts::InstanceRegistry as abi;
use runproof_executor::identity::{
    self, BindSettings, Certificate, CertificateSource,
    certificate::{self, CERTIFICATE},
    keystore::KEYSTORE,
    send::{connect, send},
};

use crate::{
    cli::{Delegate, Guardian, IdentityCommand, Revoke},
    config::Config,
    observed::nodes,
};

/// A generated certificate is valid so long: the longest that browsers accept.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// Runs one of its commands.
pub async fn run(config: &Config, command: &IdentityCommand) -> Result<()> {
    match command {
        IdentityCommand::New => new(config),
        IdentityCommand::Show => show(config).await,
        IdentityCommand::Bind => bind(config).await,
        IdentityCommand::Renew => renew(config),
        IdentityCommand::Delegate(right) => delegate(config, right).await,
        IdentityCommand::Guardian(named) => guardian(config, named).await,
        IdentityCommand::Revoke(revoked) => revoke(config, revoked).await,
    }
}

/// The key of the configured identity.
pub fn signer(config: &Config) -> Result<PrivateKeySigner> {
    Ok(identity::load(&config.identity.folder.join(KEYSTORE), password(config)?)?)
}

/// Makes the configured identity, unless it is there.
pub fn ensure(config: &Config) -> Result<identity::Identity> {
    identity::new(&config.identity.folder, password(config)?, None, &generated(config))
}

/// What `bind` needs to know.
pub fn bind_settings(config: &Config) -> Result<BindSettings> {
    Ok(BindSettings {
        nodes: nodes(&config.chain)?,
        registry: config.chain.registry,
        ens: config.identity.ens_name.clone().map(|name| (config.chain.ens_registry, name)),
        public_url: config.site.public_url.clone(),
    })
}

fn new(config: &Config) -> Result<()> {
    let identity = ensure(config)?;
    let word = if identity.created { "made" } else { "there already" };
    println!("address      {} ({word})", identity.signer.address());
    println!("certificate  {} for {}", identity.certificate.fingerprint, identity.certificate.names.join(", "));
    println!("folder       {}", config.identity.folder.display());
    println!("Next: give the address some ether, then `runproof identity bind`.");
    Ok(())
}

async fn show(config: &Config) -> Result<()> {
    let account = signer(config)?.address();
    let settings = bind_settings(config)?;
    let overview =
        identity::show(&config.identity.folder, account, &settings, config.chain.registry_deployed_at_block).await?;
    println!("{}", serde_json::to_string_pretty(&overview)?);
    Ok(())
}

async fn bind(config: &Config) -> Result<()> {
    let certificate = Certificate::read(&config.identity.folder.join(CERTIFICATE))?;
    identity::bind(&bind_settings(config)?, &signer(config)?, &certificate, |step| println!("{step}")).await?;
    Ok(())
}

fn renew(config: &Config) -> Result<()> {
    let renewed = certificate::renew(&config.identity.folder, &generated(config))?;
    println!("certificate  {} for {}", renewed.fingerprint, renewed.names.join(", "));
    println!("Next: `runproof identity bind`, then start the site again.");
    Ok(())
}

async fn delegate(config: &Config, right: &Delegate) -> Result<()> {
    let instance = right.instance.map_or(B256::ZERO, |one| one.0);
    let call = abi::setDelegateCall { instance, delegate: right.account, allowed: !right.withdraw };
    transact(config, &signer(config)?, call).await
}

async fn guardian(config: &Config, named: &Guardian) -> Result<()> {
    let signer = signer(config)?;
    let subject = named.subject.unwrap_or(signer.address());
    transact(config, &signer, abi::setGuardianCall { subject, guardian: named.account }).await
}

async fn revoke(config: &Config, revoked: &Revoke) -> Result<()> {
    let signer = signer(config)?;
    let call = abi::revokeCertificateCall {
        subject: revoked.subject.unwrap_or(signer.address()),
        fingerprint: revoked.fingerprint.map_or(B256::ZERO, |one| one.0),
        compromisedSinceBlock: revoked.since_block.unwrap_or(0),
    };
    transact(config, &signer, call).await
}

async fn transact(config: &Config, signer: &PrivateKeySigner, call: impl SolCall) -> Result<()> {
    let provider = connect(&nodes(&config.chain)?, signer);
    let request =
        TransactionRequest::default().with_to(config.chain.registry).with_input(Bytes::from(call.abi_encode()));
    println!("done in transaction {}", send(&provider, signer.address(), request).await?);
    Ok(())
}

/// A certificate generated for the configured hosts.
pub fn generated(config: &Config) -> CertificateSource {
    CertificateSource::Generated { names: config.identity.hosts.clone(), validity: VALIDITY }
}

fn password(config: &Config) -> Result<&str> {
    ensure!(
        !config.identity.password.is_empty(),
        "the keystore needs a password: set RUNPROOF_IDENTITY__PASSWORD, or `password` of [identity]"
    );
    Ok(&config.identity.password)
}
