//! The long-running roles, each from the configuration to its crate. They share Postgres and the chain, nothing else.

use std::{net::TcpListener, num::NonZeroU64, sync::Arc, time::Duration};

use alloy::{primitives::Address, providers::Provider};
use eyre::{Context, Result};
use runproof_executor::{
    AwsCredentials, AwsSettings, Executor, Scope, Sender,
    identity::certificate::{CERTIFICATE, KEY},
    mask::AccountMask,
    publication::PublicationSettings,
    request::Requests,
    site::{self, Documents, SiteSettings},
};
use runproof_protocol::head::Registry;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::{
    commands::identity,
    config::{Aws, Config, Publication},
    database,
    observed::{Observed, nodes},
};

/// What an executor is told.
pub async fn executor_settings(config: &Config) -> Result<runproof_executor::Settings> {
    let poll_interval = Duration::from_millis(config.executor.poll_interval_ms);
    Ok(runproof_executor::Settings {
        nodes: nodes(&config.chain)?,
        registry: config.chain.registry,
        registry_deployed_at_block: config.chain.registry_deployed_at_block,
        postgres_url: config.postgres.url.clone(),
        aws: aws_settings(&config.aws)?,
        signer: identity::key(config).await?,
        public_url: config.site.public_url.clone(),
        publication: config.publication.clone().map(publication_settings),
        poll_interval,
        max_poll_interval: Duration::from_millis(config.executor.max_poll_interval_ms),
        idle_interval: poll_interval * 4,
        redrive_interval: Duration::from_secs(config.executor.redrive_interval_s),
        hint_queue_url: config.executor.hint_queue_url.clone(),
        max_batch: config.executor.max_batch,
        root_from: NonZeroU64::new(config.executor.root_from),
        max_gas: config.executor.max_gas,
        max_wait: Duration::from_millis(config.executor.max_wait_ms),
        min_balance_wei: config.executor.min_balance_wei,
        replace_after_blocks: config.executor.replace_after_blocks,
        min_tip_wei: config.executor.min_tip_wei.into(),
        max_fee_wei: config.executor.max_fee_wei.into(),
    })
}

/// Where AWS is.
pub fn aws_settings(aws: &Aws) -> Result<AwsSettings> {
    Ok(AwsSettings {
        endpoint_url: aws.endpoint_url.as_ref().map(ToString::to_string),
        region: aws.region.clone(),
        credentials: credentials(aws.access_key_id.clone(), aws.secret_access_key.clone()),
        role_arn: aws.role_arn.clone(),
        quotas: aws.quotas.clone(),
        mask: AccountMask::new(aws.masked_accounts.clone()).wrap_err("aws.masked_accounts")?,
    })
}

fn publication_settings(publication: Publication) -> PublicationSettings {
    PublicationSettings {
        url: publication.url,
        endpoint_url: publication.endpoint_url.map(String::from),
        credentials: credentials(publication.access_key_id, publication.secret_access_key),
    }
}

fn credentials(key_id: Option<String>, secret: Option<String>) -> Option<AwsCredentials> {
    key_id.zip(secret).map(|(access_key_id, secret_access_key)| AwsCredentials { access_key_id, secret_access_key })
}

/// An executor on a migrated database.
pub async fn executor(config: &Config) -> Result<Executor> {
    let settings = executor_settings(config).await?;
    database::migrate(config).await?.close().await?;
    Executor::connect(settings).await
}

/// What sends the transactions of commands: beside those who register with the same key, unless there is no database.
pub async fn sender(config: &Config) -> Result<Sender> {
    let settings = executor_settings(config).await?;
    if !config.postgres.is_set && !database::answers(config).await {
        tracing::warn!("no [postgres] is set: nothing else may be sent with this key meanwhile");
        return Sender::plain(&settings).await;
    }
    database::migrate(config).await?.close().await?;
    Sender::storing(settings).await
}

/// Follows executions, and decides on requests for transitions.
pub async fn follow(config: &Config, scope: Scope, token: CancellationToken) -> Result<()> {
    let settings = executor_settings(config).await?;
    let executor = Executor::connect(settings).await?;
    let requests = Requests::connect(executor.settings(), executor.step_functions().clone()).await?;
    tokio::try_join!(executor.follow(scope, token.clone()), requests.run(token))?;
    Ok(())
}

/// Serves documents, and takes signed requests; the role that follows decides on them.
pub async fn site(config: &Config, token: CancellationToken) -> Result<()> {
    let settings = executor_settings(config).await?;
    let executor = Executor::connect(settings.clone()).await?;
    let requests = Requests::connect(&settings, executor.step_functions().clone()).await?;
    let site = SiteSettings {
        documents: Documents {
            database: executor.pool().clone(),
            issuer: settings.signer.address(),
            registry: registry(config).await?,
            public_url: settings.public_url,
            stored: settings.publication.is_some(),
        },
        certificate: config.identity.folder.join(CERTIFICATE),
        key: config.identity.folder.join(KEY),
        requests: Some(Arc::new(requests)),
        max_connections: site::DEFAULT_MAX_CONNECTIONS,
    };
    site::serve(site, listen(&config.site.listen, "site.listen")?, token).await
}

/// Follows the contract's logs into the journal, and the journal into Kafka if that is configured.
pub async fn index(config: &Config, observed: Arc<Observed>, token: CancellationToken) -> Result<()> {
    let postgres_url = Url::parse(&config.postgres.url).wrap_err("postgres.url")?;
    let chain = &config.chain;
    let endpoints = observed.indexed.get_or_init(|| observed.chain.clone()).clone();
    let settings = runproof_indexer::Settings {
        kind: chain.kind,
        start_block: chain.registry_deployed_at_block,
        strict: chain.strict,
        name: config.source_name().to_owned(),
        ..runproof_indexer::Settings::new(endpoints, chain.registry, postgres_url.clone())
    };
    let indexing = runproof_indexer::run(settings, token.clone());
    let relaying = async {
        let Some(kafka) = &config.kafka else { return Ok(()) };
        let settings = runproof_indexer::RelaySettings {
            relayed: observed.relayed.get_or_init(Arc::default).clone(),
            ..kafka.relay_settings(postgres_url, chain.registry)
        };
        runproof_indexer::relay::run(settings, token).await
    };
    tokio::try_join!(indexing, relaying)?;
    Ok(())
}

/// What a verifier is told.
pub fn verifier_settings(config: &Config) -> Result<runproof_verifier::Settings> {
    let chain = &config.chain;
    Ok(runproof_verifier::Settings {
        kind: chain.kind,
        start_block: chain.registry_deployed_at_block,
        allow_private_addresses: config.verifier.allow_private_addresses,
        ..runproof_verifier::Settings::new(nodes(chain)?, chain.registry, chain.ens_registry)
    })
}

/// Keeps verdicts current.
pub async fn verdicts(config: &Config, observed: Arc<Observed>, token: CancellationToken) -> Result<()> {
    let mut settings =
        runproof_verifier::worker::Settings::new(verifier_settings(config)?, config.postgres.url.clone());
    settings.recheck.unsettled = Duration::from_secs(config.verifier.recheck_interval_s);
    // What has ended changes seldom; its names, certificates and documents still may.
    settings.recheck.settled = settings.recheck.unsettled * 10;
    settings.poll_interval = settings.poll_interval.min(settings.recheck.unsettled);
    settings.verified = observed.verified.get_or_init(Arc::default).clone();
    runproof_verifier::worker::run(settings, token).await
}

/// Serves GraphQL and the monitor page.
pub async fn serve(config: &Config, token: CancellationToken) -> Result<()> {
    let api = &config.api;
    let identity = |name: &str| config.identity.folder.join(name);
    let settings = runproof_api::Settings {
        postgres_url: config.postgres.url.clone(),
        sources: config.sources.iter().map(|one| (one.name.clone(), one.postgres.url.clone())).collect(),
        certificate: api.certificate.clone().unwrap_or_else(|| identity(CERTIFICATE)),
        private_key: api.key.clone().unwrap_or_else(|| identity(KEY)),
        allowed_origins: api.allowed_origins.clone(),
        graphiql: api.graphiql.clone(),
        introspection: api.introspection,
        limits: runproof_api::Limits::default(),
    };
    let listener = listen(&api.listen, "api.listen")?;
    listener.set_nonblocking(true)?;
    runproof_api::serve(settings, tokio::net::TcpListener::from_std(listener)?, token).await
}

/// A listener, or a sentence that says what to do.
pub fn listen(address: &str, setting: &str) -> Result<TcpListener> {
    TcpListener::bind(address)
        .wrap_err_with(|| format!("cannot listen on {address}: stop what uses the port, or set `{setting}` to another"))
}

async fn registry(config: &Config) -> Result<Registry> {
    let chain_id = nodes(&config.chain)?
        .provider()
        .get_chain_id()
        .await
        .wrap_err("the Ethereum node does not answer: check `chain.rpc_url`")?;
    let address: Address = config.chain.registry;
    Ok(Registry { chain_id, address })
}
