//! Requests on chain: the contract's event `TransitionRequested`, which only participants can cause.

use std::collections::HashMap;

use alloy::{
    primitives::B256,
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use eyre::{OptionExt, WrapErr};
use runproof_contracts::{InstanceRegistry, RegistryEvent, decode};

use super::{
    Requests,
    inbox::{self, Arrival, Channel},
};

/// Blocks in one question to the node: within the limits of the public ones.
const RANGE: u64 = 2_000;

/// Blocks that are read again, since a reorganisation may have put an event there. Each event is stored once however often it is read.
const OVERLAP: u64 = 64;

impl Requests {
    /// Stores what was requested up to the newest block. `from` is the block to go on from, `None` at the start.
    pub(super) async fn watch(&self, from: &mut Option<u64>) -> eyre::Result<()> {
        let head = self.provider.get_block_number().await.wrap_err("the Ethereum node does not answer")?;
        let mut first = match *from {
            Some(block) if block > head => return Ok(()),
            Some(block) => block,
            None => self.resume_at().await?,
        };
        first = first.saturating_sub(OVERLAP).max(self.deployed_at_block);
        while first <= head {
            let last = head.min(first + RANGE - 1);
            let filter = Filter::new()
                .address(self.registry.address)
                .event_signature(InstanceRegistry::TransitionRequested::SIGNATURE_HASH)
                .topic1(self.issuer.into_word())
                .select(first..=last);
            let logs = self.provider.get_logs(&filter).await.wrap_err("requests on chain could not be read")?;
            for (ordinal, log) in in_their_transaction(&logs) {
                self.take(ordinal, log).await?;
            }
            first = last + 1;
            *from = Some(first);
        }
        Ok(())
    }

    async fn resume_at(&self) -> eyre::Result<u64> {
        let last: Option<i64> = sqlx::query_scalar("select max(block_number) from executor.transition_request")
            .fetch_one(&self.database)
            .await?;
        Ok(last.and_then(|block| u64::try_from(block).ok()).unwrap_or(self.deployed_at_block))
    }

    async fn take(&self, ordinal: usize, log: &Log) -> eyre::Result<()> {
        let (hash, block_number) = log.transaction_hash.zip(log.block_number).ok_or_eyre("a pending log")?;
        let (instance, requester, sequence, payload) = match decode(&log.inner) {
            Ok(RegistryEvent::TransitionRequested { issuer, instance, participant, sequence, payload })
                if issuer == self.issuer && log.address() == self.registry.address =>
            {
                (instance, participant, sequence, payload)
            }
            other => {
                tracing::warn!(transaction = %hash, ?other, "the node gave a log that was not asked for");
                return Ok(());
            }
        };
        let arrival = Arrival {
            channel: Channel::Chain { block_number },
            requester,
            instance,
            sequence,
            payload: &payload,
            origin: format!("{}/{}/{hash}/{ordinal}", self.registry.chain_id, self.registry.address),
        };
        inbox::store(&self.database, &arrival).await?;
        self.arrived.notify_one();
        Ok(())
    }
}

/// Logs with their place among those of the same transaction. Unlike the place in the block, a reorganisation does not change it.
fn in_their_transaction(logs: &[Log]) -> Vec<(usize, &Log)> {
    let mut seen: HashMap<Option<B256>, usize> = HashMap::new();
    logs.iter()
        .map(|log| {
            let next = seen.entry(log.transaction_hash).or_default();
            *next += 1;
            (*next - 1, log)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_are_counted_within_their_transaction() {
        let log = |hash: u8| Log { transaction_hash: Some(B256::repeat_byte(hash)), ..Log::default() };
        let logs = [log(1), log(2), log(1), log(2), log(3)];
        let places: Vec<usize> = in_their_transaction(&logs).into_iter().map(|(place, _)| place).collect();
        assert_eq!(places, [0, 0, 1, 1, 0]);
    }
}
