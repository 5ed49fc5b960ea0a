//! `runproof identity`.

use std::time::Duration;

use alloy::signers::local::PrivateKeySigner;
use eyre::{Result, ensure};
use runproof_executor::identity::{
    self, BindSettings, Certificate, CertificateSource,
    certificate::{self, CERTIFICATE},
    keystore::KEYSTORE,
};

use crate::{cli::IdentityCommand, config::Config};

/// A generated certificate is valid so long: the longest that browsers accept.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// Runs one of its commands.
pub async fn run(config: &Config, command: &IdentityCommand) -> Result<()> {
    match command {
        IdentityCommand::New => new(config),
        IdentityCommand::Show => show(config).await,
        IdentityCommand::Bind => bind(config).await,
        IdentityCommand::Renew => renew(config),
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
pub fn bind_settings(config: &Config) -> BindSettings {
    BindSettings {
        rpc_url: config.chain.rpc_url.clone(),
        registry: config.chain.registry,
        ens: config.identity.ens_name.clone().map(|name| (config.chain.ens_registry, name)),
        public_url: config.site.public_url.clone(),
    }
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
    let settings = bind_settings(config);
    let overview =
        identity::show(&config.identity.folder, account, &settings, config.chain.registry_deployed_at_block).await?;
    println!("{}", serde_json::to_string_pretty(&overview)?);
    Ok(())
}

async fn bind(config: &Config) -> Result<()> {
    let certificate = Certificate::read(&config.identity.folder.join(CERTIFICATE))?;
    identity::bind(&bind_settings(config), &signer(config)?, &certificate, |step| println!("{step}")).await?;
    Ok(())
}

fn renew(config: &Config) -> Result<()> {
    let renewed = certificate::renew(&config.identity.folder, &generated(config))?;
    println!("certificate  {} for {}", renewed.fingerprint, renewed.names.join(", "));
    println!("Next: `runproof identity bind`, then start the site again.");
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
