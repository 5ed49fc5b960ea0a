//! A run as the chain tells it: storage proved against a pinned block, and the logs that made it.

use std::time::Duration;

use alloy::{
    primitives::{Address, B256},
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use runproof_contracts::{
    InstanceRegistry::{
        InstanceRegistered, InstanceTerminated, StatesRegistered, StatesRootRegistered, instanceOfCall,
        modelRegisteredAtBlockCall,
    },
    RegistryEvent, decode, storage,
};
use runproof_protocol::{
    InstanceId, ModelId,
    head::{Batch, Range},
    rules::{
        existence::Existence,
        registered::{ProvedInstance, RegisteredBatch, RegisteredRun, RegisteredTermination},
    },
};

use crate::{
    VerifyError,
    chain::{Chain, Pinned},
    proof,
};

/// The chain may move, and reorganise, between two questions: then all are asked again, as of a newer block, after a while that doubles each time.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LAST_PAUSE: Duration = Duration::from_millis(1600);

impl Chain {
    /// Who registered the instance, if it was one only.
    pub(crate) async fn only_issuer_of(&self, instance: InstanceId) -> Result<Address, VerifyError> {
        let at = self.pin().await?;
        let filter = Filter::new().event_signature(InstanceRegistered::SIGNATURE_HASH).topic2(instance.0);
        let logs = self.logs(&at, 0, filter).await?;
        let issuers: Vec<Address> = logs
            .iter()
            .filter_map(|log| match decode(&log.inner) {
                Ok(RegistryEvent::InstanceRegistered { issuer, instance: found, .. }) if found == instance => {
                    Some(issuer)
                }
                _ => None,
            })
            .collect();
        match issuers[..] {
            [] => Err(VerifyError::UnknownInstance { instance, issuer: None }),
            [issuer] => Ok(issuer),
            _ => Err(VerifyError::Ambiguous { instance, issuers }),
        }
    }

    /// The run, as of a block that is pinned for it.
    pub(crate) async fn run(
        &self,
        issuer: Address,
        instance: InstanceId,
    ) -> Result<(Pinned, RegisteredRun), VerifyError> {
        let mut pause = FIRST_PAUSE;
        loop {
            let last = pause > LAST_PAUSE;
            let at = self.pin().await?;
            match self.proved_instance(&at, issuer, instance).await {
                Ok(proved) => {
                    let run = self.registered_run(&at, issuer, instance, proved).await?;
                    if last || run.folds_to_proved_head() {
                        return Ok((at, run));
                    }
                }
                // Nodes such as anvil prove the newest block only, which may be another one by now.
                Err(VerifyError::Proof { .. } | VerifyError::Node { request: "eth_getProof", .. }) if !last => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
    }

    async fn proved_instance(
        &self,
        at: &Pinned,
        issuer: Address,
        instance: InstanceId,
    ) -> Result<ProvedInstance, VerifyError> {
        let contract = self.registry.address;
        let slots = storage::instance_slots(issuer, instance);
        let response = self.provider.get_proof(contract, slots.to_vec()).block_id(at.id()).await;
        let response = response.map_err(|error| self.failure("eth_getProof", &error))?;
        let number = at.reference.number;
        let values = proof::prove_slots(at.state_root, contract, slots, &response)
            .map_err(|reason| VerifyError::Proof { number, reason })?;
        let stored = storage::read_instance(values).map_err(|_| self.not_a_registry())?;
        let stored = stored.ok_or(VerifyError::UnknownInstance { instance, issuer: Some(issuer) })?;
        Ok(ProvedInstance {
            head: stored.head,
            model: stored.model,
            count: stored.count,
            ordinal: stored.ordinal,
            registered_at_block: stored.registered_at_block,
            outcome: stored.outcome,
        })
    }

    async fn registered_run(
        &self,
        at: &Pinned,
        issuer: Address,
        instance: InstanceId,
        proved: ProvedInstance,
    ) -> Result<RegisteredRun, VerifyError> {
        let signatures = vec![
            StatesRegistered::SIGNATURE_HASH,
            StatesRootRegistered::SIGNATURE_HASH,
            InstanceTerminated::SIGNATURE_HASH,
        ];
        let filter = Filter::new().event_signature(signatures).topic1(issuer).topic2(instance.0);
        let registry = self.registry;
        let mut run = RegisteredRun { registry, issuer, instance, proved, batches: Vec::new(), termination: None };
        for log in self.logs(at, proved.registered_at_block, filter).await? {
            let timestamp_s = self.time_of(&log).await?;
            append(&mut run, &log, timestamp_s);
        }
        Ok(run)
    }

    /// The model of an instance, as the contract's view tells it; zero if the issuer registered none of this id.
    pub(crate) async fn model_of(
        &self,
        at: &Pinned,
        issuer: Address,
        instance: InstanceId,
    ) -> Result<ModelId, VerifyError> {
        let view = instanceOfCall { issuer, instance: instance.0 };
        let told = self.view(at, self.registry.address, view).await?.ok_or_else(|| self.not_a_registry())?;
        Ok(told.model.into())
    }

    /// What the contract's views tell of the run and its model.
    pub(crate) async fn existence(&self, at: &Pinned, run: &RegisteredRun) -> Result<Existence, VerifyError> {
        let (issuer, contract) = (run.issuer, self.registry.address);
        let model = modelRegisteredAtBlockCall { issuer, model: run.proved.model.0 };
        let instance = instanceOfCall { issuer, instance: run.instance.0 };
        let model = self.view(at, contract, model).await?.ok_or_else(|| self.not_a_registry())?;
        let instance = self.view(at, contract, instance).await?.ok_or_else(|| self.not_a_registry())?;
        Ok(Existence { model_registered_at_block: model, instance: (instance.model.into(), instance.head) })
    }
}

/// A log that is none of the run's, or malformed, is left out: the fold over the rest then tells whether it was needed.
fn append(run: &mut RegisteredRun, log: &Log, block_timestamp_s: u64) {
    let block_number = log.block_number.unwrap_or_default();
    let transaction_hash: B256 = log.transaction_hash.unwrap_or_default();
    match decode(&log.inner) {
        Ok(RegistryEvent::StatesRegistered { issuer, instance, first, states, predecessors, .. })
            if (issuer, instance) == (run.issuer, run.instance) =>
        {
            let batch = Batch { first, states, predecessors, block_number, block_timestamp_s };
            run.batches.push(RegisteredBatch::told(batch, transaction_hash));
        }
        Ok(RegistryEvent::StatesRootRegistered { issuer, instance, first, count, root, predecessors_hash, .. })
            if (issuer, instance) == (run.issuer, run.instance) =>
        {
            let range = Range { first, count, root, predecessors_hash, block_number, block_timestamp_s };
            run.batches.push(RegisteredBatch::by_root(range, transaction_hash));
        }
        Ok(RegistryEvent::InstanceTerminated { issuer, instance, count, outcome, .. })
            if (issuer, instance) == (run.issuer, run.instance) =>
        {
            run.termination =
                Some(RegisteredTermination { outcome, count, block_number, block_timestamp_s, transaction_hash });
        }
        other => {
            tracing::warn!(block_number, log_index = ?log.log_index, found = ?other.err(), "log left out of the run")
        }
    }
}
