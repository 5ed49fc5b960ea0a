//! The embedded parts, a configuration for them, and the two identities of the demo: who issues, and who approves.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use alloy::{
    primitives::{U256, uint},
    providers::Provider,
};
use eyre::{Context, OptionExt, Result};
use runproof_executor::{Key, identity as issuer};
use runproof_stack::{PARENT_NAME, Stack, StackOptions, Tools};

use crate::{
    commands::identity,
    config::{Api, Aws, Chain, Config, Identity, Kafka, Postgres, Site, Verifier},
    roles,
};

/// Name of the issuer under [`PARENT_NAME`].
const LABEL: &str = "demo";
/// Ten ether, in wei: a run takes a thousandth of one.
const FUNDS: U256 = uint!(10_000_000_000_000_000_000_U256);
/// Both keys hold nothing but a private chain's ether.
const PASSWORD: &str = "only for the demo";

/// Starts the parts, telling each as it becomes ready.
pub async fn start(data: &Path) -> Result<Stack> {
    println!("starting the embedded parts in {}", data.display());
    let on_ready = Arc::new(|progress: runproof_stack::Progress| {
        println!("  {:<10} ready after {:.1} s", progress.part.to_string(), progress.took.as_secs_f64());
    });
    Ok(Stack::start(StackOptions { on_ready, ..StackOptions::new(data) }).await?)
}

/// Writes `runproof.toml` for the running parts into the data folder, so that every command can be used beside the demo.
pub fn configure(stack: &Stack, data: &Path) -> Result<(Config, PathBuf)> {
    let at = stack.endpoints();
    let missing = "a part of the stack does not run";
    let config = Config {
        chain: Chain {
            rpc_url: at.rpc_http_url.ok_or_eyre(missing)?.parse()?,
            ws_url: Some(at.rpc_ws_url.ok_or_eyre(missing)?.parse()?),
            registry: at.registry.ok_or_eyre(missing)?,
            registry_deployed_at_block: at.registry_deployed_at_block.ok_or_eyre(missing)?,
            ens_registry: at.ens_registry.ok_or_eyre(missing)?,
            ..Chain::default()
        },
        postgres: Postgres { url: at.postgres_url.ok_or_eyre(missing)?, is_set: true },
        kafka: Some(Kafka { bootstrap: at.kafka_bootstrap.ok_or_eyre(missing)?, ..Kafka::default() }),
        aws: Aws {
            endpoint_url: Some(at.aws_endpoint_url.ok_or_eyre(missing)?.parse()?),
            region: at.aws_region,
            access_key_id: Some(at.aws_access_key_id),
            secret_access_key: Some(at.aws_secret_access_key),
            ..Aws::default()
        },
        identity: Identity { ens_name: Some(format!("{LABEL}.{PARENT_NAME}")), ..Identity::default() },
        site: Site::default(),
        publication: None,
        verifier: Verifier { allow_private_addresses: true, recheck_interval_s: 30 },
        api: Api { graphiql: Tools::locate().graphiql(), ..Api::default() },
        ..Config::default()
    };
    let file = data.join("runproof.toml");
    let mut settings = toml::Table::try_from(&config).wrap_err("the configuration cannot be written as TOML")?;
    // A secret is not written with the others.
    let identity = settings.get_mut("identity").and_then(toml::Value::as_table_mut).ok_or_eyre("no [identity]")?;
    identity.insert("password".into(), PASSWORD.into());
    fs::write(&file, settings.to_string()).wrap_err_with(|| format!("{} cannot be written", file.display()))?;
    Ok((Config::load(&file)?, file))
}

/// Makes and binds the issuer's identity, and makes the client's; returns the client's key.
pub async fn identify(stack: &Stack, config: &Config) -> Result<Key> {
    let chain = stack.chain()?;
    let issuing = identity::ensure(config)?;
    let folder = config.identity.folder.with_file_name("client");
    let client = issuer::new(&folder, PASSWORD, &identity::generated(config))?.signer;
    for account in [issuing.signer.address(), client.address()] {
        if chain.provider().get_balance(account).await? < FUNDS {
            chain.fund(account, FUNDS).await?;
        }
    }
    if issuing.created {
        chain.register_name(LABEL, issuing.signer.address()).await?;
    }
    println!("binding the issuer {}", issuing.signer.address());
    let settings = identity::bind_settings(config)?;
    issuer::bind(&settings, &roles::sender(config).await?, &issuing.certificate, |step| println!("  {step}")).await?;
    Ok(client)
}
