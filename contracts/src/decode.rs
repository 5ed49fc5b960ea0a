//! A log of the registry as a value, or the reason why it is none.
//!
//! A log is whatever the node says: nothing in it is trusted to be well-formed. Decoding is strict (the bytes must be the canonical ABI encoding
//! of the values), so no two logs decode to the same event, and no length in a log is believed before the bytes are there.

use alloy::{
    primitives::{Address, B256, Bytes, Log},
    sol_types::{self, SolEventInterface, abi::AbiDecoderConfig},
};
use runproof_protocol::{
    Fingerprint, InstanceId, ModelId, StateId,
    head::{NO_PREDECESSOR, Outcome},
};

use crate::registry::InstanceRegistry::{self as abi, InstanceRegistryEvents as Abi};

/// An event of the registry. Field names are the contract's, where `IInstanceRegistry.sol` documents them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented at the contract's events, once")]
pub enum RegistryEvent {
    /// An issuer published a model.
    ModelRegistered { issuer: Address, model: ModelId },
    /// An issuer started an instance.
    InstanceRegistered {
        issuer: Address,
        instance: InstanceId,
        model: ModelId,
        ordinal: u64,
        head: B256,
        issuer_head: B256,
    },
    /// An instance entered states. `predecessors` is empty (each follows the state before it) or holds one for each state.
    StatesRegistered {
        issuer: Address,
        instance: InstanceId,
        first: u64,
        head: B256,
        states: Vec<StateId>,
        predecessors: Vec<Option<u32>>,
    },
    /// States were appended by their Merkle root alone.
    StatesRootRegistered {
        issuer: Address,
        instance: InstanceId,
        first: u64,
        count: u64,
        head: B256,
        root: B256,
        predecessors_hash: B256,
    },
    /// An instance ended.
    InstanceTerminated { issuer: Address, instance: InstanceId, count: u64, outcome: Outcome, head: B256 },
    /// A right to register was given or taken. `instance` is `None` for all of the issuer's.
    DelegateSet { issuer: Address, instance: Option<InstanceId>, delegate: Address, allowed: bool },
    /// A participant was named, or that was withdrawn. `instance` is `None` for all of the issuer's.
    ParticipantSet { issuer: Address, instance: Option<InstanceId>, participant: Address, allowed: bool },
    /// A participant accepted, or left. `instance` is `None` for all of the issuer's.
    ParticipationSet { issuer: Address, instance: Option<InstanceId>, participant: Address, accepted: bool },
    /// A participant asked for a transition.
    TransitionRequested { issuer: Address, instance: InstanceId, participant: Address, sequence: u64, payload: Bytes },
    /// A certificate was bound to an account.
    CertificateBound {
        subject: Address,
        fingerprint: Fingerprint,
        uri: String,
        not_before_s: u64,
        not_after_s: u64,
        signature: Bytes,
    },
    /// A certificate is not to be trusted in and after a block. `fingerprint` is `None` for all of the subject's.
    CertificateRevoked { subject: Address, fingerprint: Option<Fingerprint>, by: Address, from_block: u64 },
    /// Who may revoke the subject's certificates beside itself changed. `guardian` is `None` for nobody.
    GuardianSet { subject: Address, guardian: Option<Address> },
}

/// Why a log is no event of the registry.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum DecodeError {
    /// Its first topic is no event signature of the contract.
    #[error("topic {topic:?} is no event of {contract}")]
    UnknownEvent {
        /// The topic, if there is any.
        topic: Option<B256>,
        /// Whose events were looked for.
        contract: &'static str,
    },
    /// Topics or data are not the canonical ABI encoding of the event.
    #[error("malformed event: {0}")]
    Malformed(#[from] sol_types::Error),
    /// The contract registers at least one state at a time.
    #[error("a batch without states")]
    NoStates,
    /// The last sequence number is beyond 64 bits.
    #[error("{count} states from sequence number {first} do not fit 64 bits")]
    SequenceOverflow {
        /// Sequence number of the first state.
        first: u64,
        /// Number of states.
        count: u64,
    },
    /// Predecessors are none, or four bytes a state.
    #[error("{bytes} bytes of predecessors for {states} states")]
    PredecessorsLength {
        /// Length of the predecessors.
        bytes: usize,
        /// Number of states.
        states: usize,
    },
    /// A predecessor does not come before its state.
    #[error("state {sequence} cannot follow state {predecessor}")]
    Predecessor {
        /// The state.
        sequence: u64,
        /// What it names.
        predecessor: u32,
    },
    /// An outcome that the contract does not have.
    #[error("outcome {0} is unknown")]
    UnknownOutcome(u8),
    /// The contract takes visible ASCII only.
    #[error("URI {0:?} is not https:// and visible ASCII")]
    Uri(String),
}

pub(crate) const STRICT: AbiDecoderConfig = AbiDecoderConfig::new().strict(true);

/// Decodes a log that the registry emitted. The caller has compared the log's address.
pub fn decode(log: &Log) -> Result<RegistryEvent, DecodeError> {
    let signature = log.topics().first().copied();
    if !signature.is_some_and(|topic| Abi::SELECTORS.contains(&topic.0)) {
        return Err(DecodeError::UnknownEvent { topic: signature, contract: "InstanceRegistry" });
    }
    Ok(match Abi::decode_raw_log_with_config(log.topics(), &log.data.data, STRICT)? {
        Abi::ModelRegistered(e) => RegistryEvent::ModelRegistered { issuer: e.issuer, model: e.model.into() },
        Abi::InstanceRegistered(e) => RegistryEvent::InstanceRegistered {
            issuer: e.issuer,
            instance: e.instance.into(),
            model: e.model.into(),
            ordinal: e.ordinal,
            head: e.head,
            issuer_head: e.issuerHead,
        },
        Abi::StatesRegistered(e) => states_registered(e)?,
        Abi::StatesRootRegistered(e) => {
            countable(e.first, e.count)?;
            RegistryEvent::StatesRootRegistered {
                issuer: e.issuer,
                instance: e.instance.into(),
                first: e.first,
                count: e.count,
                head: e.head,
                root: e.root,
                predecessors_hash: e.predecessorsHash,
            }
        }
        Abi::InstanceTerminated(e) => RegistryEvent::InstanceTerminated {
            issuer: e.issuer,
            instance: e.instance.into(),
            count: e.count,
            outcome: Outcome::from_number(e.outcome).ok_or(DecodeError::UnknownOutcome(e.outcome))?,
            head: e.head,
        },
        Abi::DelegateSet(e) => RegistryEvent::DelegateSet {
            issuer: e.issuer,
            instance: one_or_all(e.instance),
            delegate: e.delegate,
            allowed: e.allowed,
        },
        Abi::ParticipantSet(e) => RegistryEvent::ParticipantSet {
            issuer: e.issuer,
            instance: one_or_all(e.instance),
            participant: e.participant,
            allowed: e.allowed,
        },
        Abi::ParticipationSet(e) => RegistryEvent::ParticipationSet {
            issuer: e.issuer,
            instance: one_or_all(e.instance),
            participant: e.participant,
            accepted: e.accepted,
        },
        Abi::TransitionRequested(e) => RegistryEvent::TransitionRequested {
            issuer: e.issuer,
            instance: e.instance.into(),
            participant: e.participant,
            sequence: e.sequence,
            payload: e.payload,
        },
        Abi::CertificateBound(e) => certificate_bound(e)?,
        Abi::CertificateRevoked(e) => RegistryEvent::CertificateRevoked {
            subject: e.subject,
            fingerprint: one_or_all(e.fingerprint),
            by: e.by,
            from_block: e.fromBlock,
        },
        Abi::GuardianSet(e) => {
            RegistryEvent::GuardianSet { subject: e.subject, guardian: (!e.guardian.is_zero()).then_some(e.guardian) }
        }
    })
}

fn one_or_all<Id: From<B256>>(id: B256) -> Option<Id> {
    (!id.is_zero()).then(|| id.into())
}

fn states_registered(event: abi::StatesRegistered) -> Result<RegistryEvent, DecodeError> {
    let (first, count) = (event.first, event.states.len());
    countable(first, count as u64)?;
    Ok(RegistryEvent::StatesRegistered {
        issuer: event.issuer,
        instance: event.instance.into(),
        first,
        head: event.head,
        predecessors: predecessors(&event.predecessors, first, count)?,
        states: event.states.into_iter().map(StateId).collect(),
    })
}

fn countable(first: u64, count: u64) -> Result<(), DecodeError> {
    match first.checked_add(count) {
        _ if count == 0 => Err(DecodeError::NoStates),
        None => Err(DecodeError::SequenceOverflow { first, count }),
        Some(_) => Ok(()),
    }
}

fn predecessors(bytes: &[u8], first: u64, states: usize) -> Result<Vec<Option<u32>>, DecodeError> {
    let (words, rest) = bytes.as_chunks::<4>();
    if !bytes.is_empty() && (!rest.is_empty() || words.len() != states) {
        return Err(DecodeError::PredecessorsLength { bytes: bytes.len(), states });
    }
    (first..)
        .zip(words)
        .map(|(sequence, word)| match u32::from_be_bytes(*word) {
            NO_PREDECESSOR => Ok(None),
            predecessor if u64::from(predecessor) < sequence => Ok(Some(predecessor)),
            predecessor => Err(DecodeError::Predecessor { sequence, predecessor }),
        })
        .collect()
}

fn certificate_bound(event: abi::CertificateBound) -> Result<RegistryEvent, DecodeError> {
    let visible = event.uri.bytes().all(|byte| byte.is_ascii_graphic());
    if !visible || !event.uri.starts_with("https://") {
        return Err(DecodeError::Uri(event.uri));
    }
    Ok(RegistryEvent::CertificateBound {
        subject: event.subject,
        fingerprint: event.fingerprint.into(),
        uri: event.uri,
        not_before_s: event.notBefore,
        not_after_s: event.notAfter,
        signature: event.signature,
    })
}

#[cfg(test)]
mod tests;
