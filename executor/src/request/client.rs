//! How a participant asks for a transition.

use std::{collections::BTreeSet, time::Duration};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
};
use eyre::{WrapErr, bail, ensure};
use runproof_contracts::InstanceRegistry;
use runproof_nodes::Nodes;
use runproof_protocol::{Fingerprint, InstanceId, head::Registry};

use super::{
    inbox::{Answer, Decision},
    participation::Participation,
    pinned,
    rules::check_payload,
    signed::SignedRequest,
};
use crate::{identity::show::bindings, key::Key, sender::Sender};

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The chain's nodes.
    pub nodes: Nodes,
    /// The contract `InstanceRegistry`.
    pub registry: Address,
    /// Block in which the contract was deployed.
    pub registry_deployed_at_block: u64,
    /// Whose run.
    pub issuer: Address,
    /// The run.
    pub instance: InstanceId,
    /// The waiting state; `None` takes the last one registered.
    pub sequence: Option<u64>,
    /// What its task is to be completed with: JSON text.
    pub payload: String,
}

/// Asks on chain; returns the transaction, which also accepts to be a participant where that is not done yet. The executor answers by completing the task.
///
/// # Errors
/// If the payload is not acceptable, or the contract refuses: its reason is in the message.
pub async fn on_chain(ask: &Ask, sender: &Sender) -> eyre::Result<B256> {
    check_payload(ask.payload.as_bytes())?;
    let provider = sender.provider();
    let sequence = sequence(ask, provider).await?;
    let registry = InstanceRegistry::new(ask.registry, provider);
    let request =
        registry.requestTransition(ask.issuer, ask.instance.0, sequence, ask.payload.clone().into_bytes().into());
    let call = match Participation::read(&registry, ask.issuer, ask.instance, sender.address()).await? {
        Some(Participation { scope, accepted: false }) => {
            let accept = registry.setParticipation(ask.issuer, scope, true);
            registry.multicall(vec![accept.calldata().clone(), request.calldata().clone()]).calldata().clone()
        }
        _ => request.calldata().clone(),
    };
    sender.send(ask.registry, call).await
}

/// Asks by a signed request to the issuer's site, and again until it is decided or expires after `validity`. The site must present a
/// certificate that the issuer bound to this URL in the contract.
///
/// # Errors
/// If the payload is not acceptable, the site is not the issuer's, or it does not answer.
pub async fn by_https(ask: &Ask, signer: &Key, site_url: &str, validity: Duration) -> eyre::Result<Answer> {
    check_payload(ask.payload.as_bytes())?;
    let provider = ask.nodes.provider();
    let registry = Registry { chain_id: provider.get_chain_id().await?, address: ask.registry };
    let sequence = sequence(ask, &provider).await?;
    let deadline = time::OffsetDateTime::now_utc() + validity;
    let deadline_s = u64::try_from(deadline.unix_timestamp()).wrap_err("the clock shows a time before 1970")?;
    let payload = ask.payload.clone();
    let request =
        SignedRequest::sign(signer, registry, ask.issuer, ask.instance, sequence, payload, deadline_s).await?;

    let site_url = site_url.trim_end_matches('/');
    let fingerprints = bound_certificates(ask, &provider, site_url).await?;
    ensure!(!fingerprints.is_empty(), "{} bound no certificate to {site_url}: is this its site?", ask.issuer);
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(pinned::client_config(fingerprints)?)
        .https_only(true)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(Duration::from_secs(60))
        .build()?;
    loop {
        let answer = post(&client, site_url, &request).await?;
        if answer.decision != Decision::Undecided || time::OffsetDateTime::now_utc() >= deadline {
            return Ok(answer);
        }
        // The site tells only who asks.
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

async fn post(client: &reqwest::Client, site_url: &str, request: &SignedRequest) -> eyre::Result<Answer> {
    let sent = client.post(format!("{site_url}/requests")).json(request).send().await;
    let response = sent.wrap_err_with(|| format!("{site_url} does not answer with a certificate of the issuer"))?;
    let (status, body) = (response.status(), response.text().await?);
    match serde_json::from_str(&body) {
        Ok(answer) => Ok(answer),
        Err(_) => bail!("{site_url} answers {status}: {}", body.chars().take(500).collect::<String>()),
    }
}

async fn bound_certificates(
    ask: &Ask,
    provider: &impl Provider,
    site_url: &str,
) -> eyre::Result<BTreeSet<Fingerprint>> {
    let bound = bindings(provider, ask.registry, ask.issuer, ask.registry_deployed_at_block).await?;
    let valid = bound.into_iter().filter(|binding| binding.revoked_from_block.is_none() && binding.uri == site_url);
    Ok(valid.map(|binding| binding.fingerprint).collect())
}

async fn sequence(ask: &Ask, provider: &impl Provider) -> eyre::Result<u64> {
    match ask.sequence {
        Some(sequence) => Ok(sequence),
        None => latest_waiting(provider, ask.registry, ask.issuer, ask.instance).await,
    }
}

/// Sequence number of the last state registered: where a run that goes one way waits, if it waits.
///
/// # Errors
/// If the contract does not know the instance, or it has ended.
pub async fn latest_waiting(
    provider: &impl Provider,
    registry: Address,
    issuer: Address,
    instance: InstanceId,
) -> eyre::Result<u64> {
    let found = InstanceRegistry::new(registry, provider).instanceOf(issuer, instance.0).call().await;
    let found = found.wrap_err_with(|| format!("contract {registry}: is its address right?"))?;
    ensure!(found.registeredAtBlock != 0, "{issuer} registered no instance {instance}");
    ensure!(found.outcome == 0, "instance {instance} has ended: nothing in it waits");
    match found.count.checked_sub(1) {
        Some(last) => Ok(last),
        None => bail!("instance {instance} has no state yet: try again in a moment"),
    }
}
