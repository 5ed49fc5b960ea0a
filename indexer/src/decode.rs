//! From a block's logs to journal items; what cannot be decoded is kept with its reason.

use alloy::{
    primitives::{Address, B256},
    rpc::types::Log,
};
use runproof_contracts::{ContractKind, RegistryEvent, itrex};
use runproof_protocol::{
    certificate::CertificateBinding,
    event::{Event, Origin, Place},
    head::default_predecessor,
};

use crate::block::{Block, Call};

/// One event with its place on the chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Where.
    pub origin: Origin,
    /// What.
    pub event: Event,
}

/// A log that is no event.
#[derive(Debug, Clone, PartialEq)]
pub struct Quarantined {
    /// Its block.
    pub block_hash: B256,
    /// Its place in the block.
    pub log_index: u64,
    /// Its transaction.
    pub transaction_hash: B256,
    /// Why it is none.
    pub reason: String,
    /// All of it.
    pub log: Log,
}

/// What a range of blocks holds.
#[derive(Debug, Default)]
pub struct Decoded {
    /// In the chain's order.
    pub items: Vec<Item>,
    /// Likewise.
    pub quarantined: Vec<Quarantined>,
}

/// Decodes what the contract did in `blocks`, which have been checked.
pub fn decode(kind: ContractKind, blocks: &[Block]) -> Decoded {
    // At least so many: a log of a batch is many.
    let least = blocks.iter().map(|block| block.calls.len() + block.logs.len()).sum();
    let mut decoded = Decoded { items: Vec::with_capacity(least), quarantined: Vec::new() };
    for block in blocks {
        for (place, call) in (0..).zip(&block.calls) {
            decoded.items.extend(of_call(block, call, place));
        }
        for log in &block.logs {
            let (transaction_hash, log_index) =
                (log.transaction_hash.unwrap_or_default(), log.log_index.unwrap_or_default());
            let place = Place { transaction_hash, log_index: Some(log_index), item_index: 0 };
            let sender = || block.transactions.iter().find(|one| one.hash == transaction_hash).map(|one| one.sender);
            match of_log(kind, log, sender) {
                Ok(events) => decoded.items.extend(items(block, place, events)),
                Err(reason) => decoded.quarantined.push(Quarantined {
                    block_hash: block.hash,
                    log_index,
                    transaction_hash,
                    reason,
                    log: log.clone(),
                }),
            }
        }
    }
    decoded
}

fn items(block: &Block, place: Place, events: Vec<Event>) -> impl Iterator<Item = Item> {
    (0..)
        .zip(events)
        .map(move |(item_index, event)| Item { origin: origin(block, Place { item_index, ..place }), event })
}

/// A log's events, or why there are none. Who sent its transaction is asked for only where the log does not tell who registered.
pub(crate) fn of_log(
    kind: ContractKind,
    log: &Log,
    sender: impl FnOnce() -> Option<Address>,
) -> Result<Vec<Event>, String> {
    let decoded = match kind {
        ContractKind::Registry => {
            runproof_contracts::decode(&log.inner).map_err(|error| error.to_string()).and_then(events)
        }
        ContractKind::Itrex => match sender() {
            Some(sender) => itrex::decode(&log.inner, sender).map(|event| vec![event]).map_err(|e| e.to_string()),
            None => Err("its transaction is not known".into()),
        },
    };
    // Postgres takes no NUL in a text.
    decoded.map_err(|reason| reason.replace('\0', "\\0"))
}

/// A call whose calldata is not what the ABI says: the contract's own decoder refuses it too, or reads something else out of it. It has no log that
/// could wait in quarantine, and nothing rests on it: the contract checks no signature, and no verdict asks for its certificates.
fn of_call(block: &Block, call: &Call, item_index: u64) -> Option<Item> {
    let event = itrex::decode_call(&call.input, call.sender)
        .inspect_err(|error| tracing::warn!(transaction_hash = %call.transaction_hash, %error, "call left out"))
        .ok()?;
    let place = Place { transaction_hash: call.transaction_hash, log_index: None, item_index };
    Some(Item { origin: origin(block, place), event })
}

fn origin(block: &Block, place: Place) -> Origin {
    Origin {
        block_number: block.number,
        block_hash: block.hash,
        block_timestamp_s: block.timestamp_s,
        place: Some(place),
    }
}

/// One log's events: a batch of states is one for each state.
fn events(event: RegistryEvent) -> Result<Vec<Event>, String> {
    let one = match event {
        RegistryEvent::StatesRegistered { issuer, instance, first, states, predecessors, .. } => {
            countable(first.saturating_add(states.len() as u64))?;
            let linear = predecessors.is_empty();
            let mut named = predecessors.into_iter();
            return Ok((first..)
                .zip(states)
                .map(|(sequence, state)| Event::StateRegistered {
                    issuer,
                    instance,
                    state,
                    sequence,
                    predecessor: if linear { default_predecessor(sequence) } else { named.next().flatten() },
                    batch: first,
                })
                .collect());
        }
        // However many there are: what the chain does not tell is no entry.
        RegistryEvent::StatesRootRegistered { issuer, instance, first, count, head, root, predecessors_hash } => {
            countable(first.saturating_add(count))?;
            Event::StatesRootRegistered { issuer, instance, first, count, root, predecessors_hash, head }
        }
        RegistryEvent::ModelRegistered { issuer, model } => Event::ModelRegistered { issuer, model },
        RegistryEvent::InstanceRegistered { issuer, instance, model, ordinal, head, issuer_head } => {
            countable(ordinal)?;
            Event::InstanceRegistered { issuer, instance, model, ordinal, head, issuer_head }
        }
        RegistryEvent::InstanceTerminated { issuer, instance, count, outcome, head } => {
            countable(count)?;
            Event::InstanceTerminated { issuer, instance, count, outcome, head }
        }
        RegistryEvent::DelegateSet { issuer, instance, delegate, allowed } => {
            Event::DelegateSet { issuer, instance, delegate, allowed }
        }
        RegistryEvent::ParticipantSet { issuer, instance, participant, allowed } => {
            Event::ParticipantSet { issuer, instance, participant, allowed }
        }
        RegistryEvent::ParticipationSet { issuer, instance, participant, accepted } => {
            Event::ParticipationSet { issuer, instance, participant, accepted }
        }
        RegistryEvent::TransitionRequested { issuer, instance, participant, sequence, payload } => {
            countable(sequence)?;
            Event::TransitionRequested { issuer, instance, participant, sequence, payload }
        }
        RegistryEvent::CertificateBound { subject, fingerprint, uri, not_before_s, not_after_s, signature } => {
            Event::CertificateBound(CertificateBinding {
                subject,
                fingerprint,
                uri,
                not_before_s,
                not_after_s,
                signature,
            })
        }
        RegistryEvent::CertificateRevoked { subject, fingerprint, by, from_block } => {
            countable(from_block)?;
            Event::CertificateRevoked { subject, fingerprint, by, from_block }
        }
        RegistryEvent::GuardianSet { subject, guardian } => Event::GuardianSet { subject, guardian },
    };
    Ok(vec![one])
}

/// The contract counts from 0 by ones: a count beyond 63 bits was not counted, and would fit no column.
fn countable(number: u64) -> Result<(), String> {
    i64::try_from(number).map(drop).map_err(|_| format!("{number} was never counted to"))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
