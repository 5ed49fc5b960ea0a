//! All that is known of an identity, in its folder and on the chain.

use std::{fmt, path::Path};

use alloy::{
    primitives::{Address, U256, utils::format_ether},
    providers::Provider,
    rpc::types::Filter,
    sol_types::SolEvent,
};
use eyre::WrapErr;
use runproof_contracts::InstanceRegistry;
use runproof_protocol::Fingerprint;
use serde::Serialize;

use super::{
    BindSettings, Certificate,
    certificate::{self, CERTIFICATE},
    ens::{Ens, Records},
};

/// An identity at a glance.
#[derive(Debug, Clone, Serialize)]
pub struct Overview {
    /// The account.
    pub address: Address,
    /// What it can pay with, wei.
    pub balance_wei: U256,
    /// How many calls that it signed were submitted by others: the nonce of the next.
    pub relay_nonce: U256,
    /// Its name's records, where a name is configured.
    pub ens: Option<Records>,
    /// The site's certificate.
    pub certificate: Certificate,
    /// Certificates that it replaced.
    pub replaced: Vec<Certificate>,
    /// All certificates that the account ever bound in the contract, in order.
    pub bindings: Vec<Binding>,
}

/// A certificate in the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Binding {
    /// Which.
    pub fingerprint: Fingerprint,
    /// URL that it was bound to.
    pub uri: String,
    /// Block of the binding.
    pub bound_at_block: u64,
    /// First block in which it is not to be trusted.
    pub revoked_from_block: Option<u64>,
    /// End of validity, Unix seconds.
    pub not_after_s: u64,
}

/// Reads the identity in `folder` and what the chain says of `account`. The contract's logs are read from `deployed_at_block`.
///
/// # Errors
/// If there is no certificate, or the node does not answer.
pub async fn show(
    folder: &Path,
    account: Address,
    settings: &BindSettings,
    deployed_at_block: u64,
) -> eyre::Result<Overview> {
    let provider = settings.nodes.provider();
    let ens = match &settings.ens {
        Some((registry, name)) => {
            Some(Records::read(&Ens { provider: &provider, registry: *registry }, name, account).await?)
        }
        None => None,
    };
    Ok(Overview {
        address: account,
        relay_nonce: InstanceRegistry::new(settings.registry, &provider).nonceOf(account).call().await?,
        balance_wei: provider.get_balance(account).await.wrap_err("the node does not answer")?,
        ens,
        certificate: Certificate::read(&folder.join(CERTIFICATE))?,
        replaced: certificate::history(folder)?,
        bindings: bindings(&provider, settings.registry, account, deployed_at_block).await?,
    })
}

/// All certificates that `account` ever bound, in order of their blocks.
///
/// # Errors
/// If the node does not answer.
pub async fn bindings(
    provider: &impl Provider,
    registry: Address,
    account: Address,
    deployed_at_block: u64,
) -> eyre::Result<Vec<Binding>> {
    let filter = Filter::new()
        .address(registry)
        .event_signature(InstanceRegistry::CertificateBound::SIGNATURE_HASH)
        .topic1(account.into_word())
        .from_block(deployed_at_block);
    let contract = InstanceRegistry::new(registry, provider);
    let mut bindings = Vec::new();
    for log in provider.get_logs(&filter).await.wrap_err("the contract's certificates could not be read")? {
        let bound = InstanceRegistry::CertificateBound::decode_log(&log.inner)?.data;
        let state = contract.certificateOf(account, bound.fingerprint).call().await?;
        bindings.push(Binding {
            fingerprint: bound.fingerprint.into(),
            uri: bound.uri,
            bound_at_block: state.boundAtBlock,
            revoked_from_block: (state.revokedFromBlock != 0).then_some(state.revokedFromBlock),
            not_after_s: bound.notAfter,
        });
    }
    Ok(bindings)
}

impl fmt::Display for Overview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "account      {}", self.address)?;
        writeln!(f, "balance      {} ether", format_ether(self.balance_wei))?;
        if let Some(ens) = &self.ens {
            let or_none = |text: Option<String>| text.unwrap_or_else(|| "not set".into());
            writeln!(f, "name         {}", ens.name)?;
            writeln!(f, "  address    {}", or_none(ens.address.map(|address| address.to_string())))?;
            writeln!(f, "  url        {}", or_none(ens.url.clone()))?;
            writeln!(f, "  back       {}", or_none(ens.reverse_name.clone()))?;
        }
        let Certificate { fingerprint, not_before_s, not_after_s, names } = &self.certificate;
        writeln!(f, "certificate  {fingerprint}")?;
        writeln!(f, "  hosts      {}", names.join(", "))?;
        writeln!(f, "  valid      {} to {}", utc(*not_before_s), utc(*not_after_s))?;
        if self.bindings.is_empty() {
            writeln!(f, "bindings     none: run `runproof identity bind`")?;
        }
        for binding in &self.bindings {
            let Binding { fingerprint, uri, bound_at_block, .. } = binding;
            let current = if *fingerprint == self.certificate.fingerprint { ", in use" } else { "" };
            let revoked = binding.revoked_from_block.map(|block| format!(", revoked from block {block} on"));
            let revoked = revoked.unwrap_or_default();
            writeln!(f, "binding      {fingerprint}\n  at         {uri}, block {bound_at_block}{current}{revoked}")?;
        }
        Ok(())
    }
}

/// A time as people read it, or the number where the calendar ends.
fn utc(unix_s: u64) -> String {
    i64::try_from(unix_s)
        .ok()
        .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
        .and_then(|moment| moment.format(&time::format_description::well_known::Rfc3339).ok())
        .unwrap_or_else(|| unix_s.to_string())
}
