//! Binding account, name, site and certificate together on the chain (the paper, steps 2.2 and 2.3).

use std::fmt;

use alloy::{
    primitives::{Address, B256, Bytes},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
    sol_types::{SolEvent, SolStruct},
};
use eyre::{WrapErr, bail};
use runproof_contracts::{InstanceRegistry, typed_data};
use runproof_nodes::Nodes;
use runproof_protocol::Fingerprint;

use super::{
    Certificate,
    ens::{Change, Ens, Records},
};
use crate::sender::Sender;

/// What is to be bound, and where.
#[derive(Debug, Clone)]
pub struct BindSettings {
    /// The chain's nodes.
    pub nodes: Nodes,
    /// The contract `InstanceRegistry`.
    pub registry: Address,
    /// Registry of ENS and the account's name there; `None` binds the certificate alone.
    pub ens: Option<(Address, String)>,
    /// Base of the site's URLs, `https://`, without trailing slash.
    pub public_url: String,
}

/// One thing that had to hold, and what it took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What holds now.
    pub what: String,
    /// The transaction that it took; `None` if it was so already.
    pub transaction: Option<B256>,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.transaction {
            Some(hash) => write!(f, "{} (transaction {hash})", self.what),
            None => write!(f, "{} (already)", self.what),
        }
    }
}

/// Why a certificate cannot be bound any more: another one can.
#[derive(Debug, thiserror::Error)]
pub enum Unbindable {
    /// By its subject or the subject's guardian.
    #[error("certificate {0} is revoked: run `runproof identity renew`, which makes and binds another")]
    Revoked(Fingerprint),
    /// A binding says where the certificate is served, for good.
    #[error(
        "certificate {fingerprint} is bound to {uri}, once and for all: run `runproof identity renew`, which makes and binds another"
    )]
    BoundElsewhere {
        /// The certificate.
        fingerprint: Fingerprint,
        /// Where it is served.
        uri: String,
    },
}

/// Sets the name's records and binds the certificate; sends only what is not so already. `progress` is told each step as it is done.
///
/// # Errors
/// [`Unbindable`]; if the account does not own the name, or the chain refuses.
pub async fn bind(
    settings: &BindSettings,
    sender: &Sender,
    certificate: &Certificate,
    mut progress: impl FnMut(&Step),
) -> eyre::Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut done = |step: Step| {
        progress(&step);
        steps.push(step);
    };
    if let Some((registry, name)) = &settings.ens {
        let ens = Ens { provider: sender.provider(), registry: *registry };
        bind_name(&ens, name, sender, &settings.public_url, &mut done).await?;
    }
    done(bind_certificate(settings, sender, certificate).await?);
    Ok(steps)
}

async fn bind_name(
    ens: &Ens<'_>,
    name: &str,
    sender: &Sender,
    url: &str,
    done: &mut impl FnMut(Step),
) -> eyre::Result<()> {
    let account = sender.address();
    let records = Records::read(ens, name, account).await?;
    let changes = records.changes(account, url);
    let all = [Change::Address(account), Change::Url(url.into()), Change::Reverse];
    let resolver = changes.iter().filter(|change| **change == Change::Resolver);
    for change in resolver.chain(&all) {
        let what = match change {
            Change::Resolver => format!("{name} has a resolver"),
            Change::Address(account) => format!("{name} leads to {account}"),
            Change::Url(url) => format!("{name} leads to {url}"),
            Change::Reverse => format!("{account} leads back to {name}"),
        };
        let transaction = match changes.contains(change) {
            true => Some(ens.apply(&records, change, sender).await.wrap_err_with(|| format!("for `{what}`"))?),
            false => None,
        };
        done(Step { what, transaction });
    }
    Ok(())
}

async fn bind_certificate(settings: &BindSettings, sender: &Sender, certificate: &Certificate) -> eyre::Result<Step> {
    let provider = sender.provider();
    let (subject, fingerprint) = (sender.address(), certificate.fingerprint);
    let registry = InstanceRegistry::new(settings.registry, provider);
    let bound = registry.certificateOf(subject, fingerprint.0).call().await;
    let bound = bound.wrap_err_with(|| format!("contract {}: is its address right?", settings.registry))?;
    let what = format!("certificate {fingerprint} is bound to {subject} at {}", settings.public_url);
    if bound.revokedFromBlock != 0 {
        return Err(Unbindable::Revoked(fingerprint).into());
    }
    if bound.boundAtBlock != 0 {
        let uri = bound_uri(provider, settings.registry, subject, fingerprint, bound.boundAtBlock).await?;
        if uri != settings.public_url {
            return Err(Unbindable::BoundElsewhere { fingerprint, uri }.into());
        }
        return Ok(Step { what, transaction: None });
    }
    let statement = typed_data::Certificate {
        subject,
        fingerprint: fingerprint.0,
        uri: settings.public_url.clone(),
        notBefore: certificate.not_before_s,
        notAfter: certificate.not_after_s,
    };
    let domain = typed_data::domain(provider.get_chain_id().await?, settings.registry);
    let signature = sender.key().sign_hash(&statement.eip712_signing_hash(&domain)).await?;
    let call = registry
        .bindCertificate(
            subject,
            fingerprint.0,
            statement.uri,
            statement.notBefore,
            statement.notAfter,
            Bytes::from(signature.as_bytes()),
        )
        .calldata()
        .clone();
    Ok(Step { what, transaction: Some(sender.send(settings.registry, call).await?) })
}

/// The URL is in the binding's log alone.
async fn bound_uri(
    provider: &DynProvider,
    registry: Address,
    subject: Address,
    fingerprint: Fingerprint,
    block: u64,
) -> eyre::Result<String> {
    let filter = Filter::new()
        .address(registry)
        .event_signature(InstanceRegistry::CertificateBound::SIGNATURE_HASH)
        .topic1(subject.into_word())
        .topic2(fingerprint.0)
        .select(block);
    match provider.get_logs(&filter).await?.first() {
        Some(log) => Ok(InstanceRegistry::CertificateBound::decode_log(&log.inner)?.uri.clone()),
        None => bail!("the node has no log of the binding in block {block}: use a node that keeps logs"),
    }
}
