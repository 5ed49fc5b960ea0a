//! A run in the paper's own contract: what its logs and views tell, and plainly what they do not.

use std::time::{SystemTime, UNIX_EPOCH};

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use runproof_contracts::{
    Itrex::{RegisterInstance, RegisterState, getInstanceCall, getModelCall},
    itrex::decode,
};
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    event::Event,
    rules::{issuer, itrex},
    verdict::{StateVerdict, Trust, Verdict},
};

use crate::{
    Settings, VerifyError,
    chain::{Chain, Pinned},
    ens, site,
};

/// Verifies a run as far as the contract lets it be. Without `issuer`, one account only must have registered it.
///
/// # Errors
/// [`VerifyError`] if nothing can be said.
pub(crate) async fn verify(
    settings: &Settings,
    issuer: Option<Address>,
    instance: InstanceId,
) -> Result<Verdict, VerifyError> {
    let chain = Chain::connect(settings).await?;
    let at = chain.pin().await?;
    let (issuer, model) = chain.registered(&at, issuer, instance).await?;
    let contract = chain.registry.address;
    let held = chain.view(&at, contract, getModelCall { instance: instance.0 }).await?;
    let held = held.ok_or_else(|| chain.not_a_registry())?;
    let ens = ens::records(&chain, &at, settings.ens_registry, issuer).await?;
    let site = settings.site.as_ref().map(ToString::to_string).or_else(|| ens.url.clone());
    let site = site.map(|url| site::normalised(&url));
    let ens_source = format!("ENS on chain {}, block {}", chain.registry.chain_id, at.reference.number);
    let mut findings = vec![
        itrex::model_and_instance_exist(instance, model, held, &chain.source("getModel", &at)),
        issuer::issuer_known(issuer, site.as_deref(), &ens, &ens_source),
    ];
    findings.extend(itrex::not_provable(&format!("interface of contract {contract}")));
    Ok(Verdict {
        registry: chain.registry,
        issuer,
        instance,
        model,
        site,
        engine: None,
        as_of: at.reference,
        checked_at_s: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        trust: Trust::OneNode,
        findings,
        states: chain.entered(&at, issuer, instance).await?,
    })
}

impl Chain {
    /// Who registered the instance last, of those that are asked for, and with which model.
    async fn registered(
        &self,
        at: &Pinned,
        wanted: Option<Address>,
        instance: InstanceId,
    ) -> Result<(Address, ModelId), VerifyError> {
        let filter = Filter::new().event_signature(RegisterInstance::SIGNATURE_HASH).topic1(instance.0);
        let mut found = Vec::new();
        for log in self.logs(at, 0, filter).await? {
            if let Some(Event::ItrexInstanceRegistered { issuer, model, .. }) = self.event(&log).await?
                && wanted.is_none_or(|wanted| wanted == issuer)
            {
                found.push((issuer, model));
            }
        }
        let last = *found.last().ok_or(VerifyError::UnknownInstance { instance, issuer: wanted })?;
        if found.iter().any(|(issuer, _)| *issuer != last.0) {
            let issuers = found.into_iter().map(|(issuer, _)| issuer).collect();
            return Err(VerifyError::Ambiguous { instance, issuers });
        }
        Ok(last)
    }

    /// The states that the issuer registered for the instance, in the chain's order, by which they are numbered.
    async fn entered(
        &self,
        at: &Pinned,
        wanted: Address,
        instance: InstanceId,
    ) -> Result<Vec<StateVerdict>, VerifyError> {
        let filter = Filter::new().event_signature(RegisterState::SIGNATURE_HASH);
        let mut states = Vec::new();
        for log in self.logs(at, 0, filter).await? {
            // The instance is no topic that could be asked for; its sender is asked for only where it matters.
            if log.data().data.get(..32) != Some(instance.as_slice()) {
                continue;
            }
            if let Some(Event::ItrexStateRegistered { issuer, state, .. }) = self.event(&log).await?
                && issuer == wanted
            {
                states.push(self.entered_state(at, instance, state, states.len() as u64, &log).await?);
            }
        }
        Ok(states)
    }

    async fn entered_state(
        &self,
        at: &Pinned,
        instance: InstanceId,
        state: StateId,
        sequence: u64,
        log: &Log,
    ) -> Result<StateVerdict, VerifyError> {
        let held = self.view(at, self.registry.address, getInstanceCall { state: state.0 }).await?;
        let held = held.ok_or_else(|| self.not_a_registry())?;
        Ok(StateVerdict {
            sequence,
            state,
            predecessor: None,
            state_name: None,
            entered_at_ms: None,
            input: None,
            block_number: log.block_number.unwrap_or_default(),
            block_timestamp_s: self.time_of(log).await?,
            transaction_hash: log.transaction_hash.unwrap_or_default(),
            findings: vec![itrex::state_exists(instance, state, held, &self.source("getInstance", at))],
        })
    }

    /// What a log tells, with the sender of its transaction; `None` if it is malformed.
    async fn event(&self, log: &Log) -> Result<Option<Event>, VerifyError> {
        let hash: B256 = log.transaction_hash.unwrap_or_default();
        let transaction = self.provider.get_transaction_by_hash(hash).await;
        let transaction = transaction.map_err(|error| self.failure("eth_getTransactionByHash", &error))?;
        Ok(transaction.and_then(|transaction| decode(&log.inner, transaction.inner.signer()).ok()))
    }
}
