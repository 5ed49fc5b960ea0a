//! `runproof identity`.

use std::time::Duration;

use alloy::{primitives::B256, signers::local::PrivateKeySigner, sol_types::SolCall};
use eyre::{Result, WrapErr, bail, ensure};
use runproof_contracts::InstanceRegistry as abi;
use runproof_executor::{
    Key, Sender,
    identity::{
        self, BindSettings, Certificate, CertificateSource,
        certificate::{self, CERTIFICATE},
        keystore::KEYSTORE,
    },
};

use crate::{
    cli::{Bind, Delegate, Guardian, IdentityCommand, Participant, Renew, Revoke},
    config::Config,
    observed::nodes,
    roles,
};

/// A generated certificate is valid so long: the longest that browsers accept.
const VALIDITY: Duration = Duration::from_secs(397 * 24 * 60 * 60);

/// Runs one of its commands.
pub async fn run(config: &Config, command: &IdentityCommand) -> Result<()> {
    match command {
        IdentityCommand::New => new(config).await,
        IdentityCommand::Show => show(config).await,
        IdentityCommand::Bind(bound) => bind(config, bound).await,
        IdentityCommand::Renew(renewed) => renew(config, renewed).await,
        IdentityCommand::Delegate(right) => delegate(config, right).await,
        IdentityCommand::Participant(right) => participant(config, right).await,
        IdentityCommand::Guardian(named) => guardian(config, named).await,
        IdentityCommand::Revoke(revoked) => revoke(config, revoked).await,
    }
}

/// The key of the configured identity: of KMS, of the environment, or of the keystore.
pub async fn key(config: &Config) -> Result<Key> {
    let identity = &config.identity;
    match (&identity.kms_key, &identity.private_key) {
        (Some(_), Some(_)) => bail!("`kms_key` and `private_key` are both set: remove one of them"),
        (Some(name), None) => Key::kms(&roles::aws_settings(&config.aws)?, name).await,
        (None, Some(key)) => {
            tracing::warn!("the key is taken from the environment in plain text: for development only");
            let signer = key.reveal().parse::<PrivateKeySigner>();
            Ok(signer.wrap_err("`private_key` is not a key: give 32 bytes in hexadecimal")?.into())
        }
        (None, None) => Ok(identity::load(&identity.folder.join(KEYSTORE), password(config)?)?.into()),
    }
}

/// Makes the configured identity, unless it is there.
pub fn ensure(config: &Config) -> Result<identity::Identity> {
    identity::new(&config.identity.folder, password(config)?, &generated(config))
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

async fn new(config: &Config) -> Result<()> {
    let kept_elsewhere = config.identity.kms_key.is_some() || config.identity.private_key.is_some();
    let (address, word, certificate) = if kept_elsewhere {
        let certificate = certificate::ensure_certificate(&config.identity.folder, &generated(config))?;
        (key(config).await?.address(), "there already", certificate)
    } else {
        let identity = ensure(config)?;
        (identity.signer.address(), if identity.created { "made" } else { "there already" }, identity.certificate)
    };
    println!("address      {address} ({word})");
    println!("certificate  {} for {}", certificate.fingerprint, certificate.names.join(", "));
    println!("folder       {}", config.identity.folder.display());
    println!("Next: give the address some ether, then `runproof identity bind`.");
    Ok(())
}

async fn show(config: &Config) -> Result<()> {
    let account = key(config).await?.address();
    let settings = bind_settings(config)?;
    let overview =
        identity::show(&config.identity.folder, account, &settings, config.chain.registry_deployed_at_block).await?;
    println!("{}", serde_json::to_string_pretty(&overview)?);
    Ok(())
}

async fn bind(config: &Config, bound: &Bind) -> Result<()> {
    let own = config.identity.folder.join(CERTIFICATE);
    let certificate = Certificate::read(bound.certificate.as_ref().unwrap_or(&own))?;
    identity::bind(&bind_settings(config)?, &roles::sender(config).await?, &certificate, |step| println!("{step}"))
        .await?;
    Ok(())
}

async fn renew(config: &Config, given: &Renew) -> Result<()> {
    let source = match given.certificate.clone().zip(given.key.clone()) {
        Some((certificate, key)) => CertificateSource::Given { certificate, key },
        None => generated(config),
    };
    let (folder, settings, sender) = (&config.identity.folder, bind_settings(config)?, roles::sender(config));
    let renewed = identity::renew(folder, &source, &settings, sender, |step| println!("{step}")).await?;
    println!("certificate  {} for {}", renewed.fingerprint, renewed.names.join(", "));
    Ok(())
}

async fn delegate(config: &Config, right: &Delegate) -> Result<()> {
    let instance = right.instance.map_or(B256::ZERO, |one| one.0);
    let call = abi::setDelegateCall { instance, delegate: right.account, allowed: !right.withdraw };
    transact(config, &roles::sender(config).await?, call).await
}

async fn participant(config: &Config, right: &Participant) -> Result<()> {
    let sender = roles::sender(config).await?;
    let registry = config.chain.registry;
    let transaction = sender.set_participant(registry, right.account, right.instance, !right.withdraw).await?;
    println!("done in transaction {transaction}");
    Ok(())
}

async fn guardian(config: &Config, named: &Guardian) -> Result<()> {
    let sender = roles::sender(config).await?;
    let subject = named.subject.unwrap_or(sender.address());
    transact(config, &sender, abi::setGuardianCall { subject, guardian: named.account }).await
}

async fn revoke(config: &Config, revoked: &Revoke) -> Result<()> {
    let sender = roles::sender(config).await?;
    let call = abi::revokeCertificateCall {
        subject: revoked.subject.unwrap_or(sender.address()),
        fingerprint: revoked.fingerprint.map_or(B256::ZERO, |one| one.0),
        compromisedSinceBlock: revoked.since_block.unwrap_or(0),
    };
    transact(config, &sender, call).await
}

async fn transact(config: &Config, sender: &Sender, call: impl SolCall) -> Result<()> {
    println!("done in transaction {}", sender.send(config.chain.registry, call.abi_encode().into()).await?);
    Ok(())
}

/// A certificate generated for the configured hosts.
pub fn generated(config: &Config) -> CertificateSource {
    CertificateSource::Generated { names: config.identity.hosts.clone(), validity: VALIDITY }
}

fn password(config: &Config) -> Result<&str> {
    let password = config.identity.password.reveal();
    ensure!(
        !password.is_empty(),
        "the keystore needs a password: set RUNPROOF_IDENTITY__PASSWORD, or `password` of [identity]"
    );
    Ok(password)
}
