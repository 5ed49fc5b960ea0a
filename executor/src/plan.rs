//! What is to be registered next, as calls of the contract. Pure.

use alloy::{
    primitives::{Address, B256, Bytes},
    sol_types::SolCall,
};
use runproof_contracts::InstanceRegistry as abi;
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    head::{self, Outcome},
};

/// One registration that a transaction makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// A model becomes known.
    Model(ModelId),
    /// An account may request transitions of all of the issuer's instances.
    Participant(Address),
    /// An instance begins.
    Instance(ModelId, InstanceId),
    /// States were entered.
    States {
        /// The instance.
        instance: InstanceId,
        /// Sequence number of the first.
        first: u64,
        /// Ids and predecessors, in order.
        states: Vec<(StateId, Option<u32>)>,
    },
    /// States were entered, and their Merkle root is registered instead of them.
    Root {
        /// The instance.
        instance: InstanceId,
        /// Sequence number of the first.
        first: u64,
        /// What stands for them.
        digest: Digest,
    },
    /// An instance ended.
    Termination {
        /// The instance.
        instance: InstanceId,
        /// States in all.
        count: u64,
        /// How it ended.
        outcome: Outcome,
    },
}

impl Registration {
    /// The contract's call, in `issuer`'s namespace.
    pub fn call(&self, issuer: Address) -> Bytes {
        let encoded = match self {
            Self::Model(model) => abi::registerModelCall { model: model.0 }.abi_encode(),
            Self::Participant(account) => {
                abi::setParticipantCall { instance: B256::ZERO, participant: *account, allowed: true }.abi_encode()
            }
            Self::Instance(model, instance) => {
                abi::registerInstanceCall { model: model.0, instance: instance.0 }.abi_encode()
            }
            Self::States { instance, first, states } => {
                let predecessors = states.iter().map(|(_, predecessor)| *predecessor).collect();
                let predecessors = head::shorten_predecessors(*first, predecessors);
                abi::registerStatesCall {
                    issuer,
                    instance: instance.0,
                    first: *first,
                    states: states.iter().map(|(state, _)| state.0).collect(),
                    predecessors: head::encode_predecessors(&predecessors).into(),
                }
                .abi_encode()
            }
            Self::Root { instance, first, digest } => abi::registerStatesRootCall {
                issuer,
                instance: instance.0,
                first: *first,
                count: digest.count,
                root: digest.root,
                predecessorsHash: digest.predecessors_hash,
            }
            .abi_encode(),
            Self::Termination { instance, count, outcome } => {
                abi::terminateInstanceCall { issuer, instance: instance.0, count: *count, outcome: *outcome as u8 }
                    .abi_encode()
            }
        };
        encoded.into()
    }
}

/// What stands for states that are registered by their root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Digest {
    /// How many they are.
    pub count: u64,
    /// Root of their Merkle tree.
    pub root: B256,
    /// Keccak-256 of their predecessors.
    pub predecessors_hash: B256,
}

/// States that the contract does not have yet, from its count on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenStates {
    /// To be listed: ids and predecessors, at most one batch.
    Listed(Vec<(StateId, Option<u32>)>),
    /// All of them, to be registered by their root.
    Root(Digest),
}

/// What the executor knows of an instance and the contract does not tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// The model.
    pub model: ModelId,
    /// The instance.
    pub instance: InstanceId,
    /// Captured states that the contract does not have yet.
    pub open: OpenStates,
    /// States captured in all.
    pub count: u64,
    /// How it ended, once all its states are captured.
    pub ended: Option<Outcome>,
}

/// What is open of an instance, given what the contract holds (`None`: nothing of the instance) and whether it knows the model.
pub fn open_registrations(
    captured: Captured,
    on_chain: Option<crate::chain::OnChain>,
    model_known: bool,
) -> Vec<Registration> {
    let Captured { model, instance, open, count, ended } = captured;
    let mut plan = Vec::new();
    let first = on_chain.map_or(0, |known| known.count);
    if on_chain.is_none() {
        plan.extend((!model_known).then_some(Registration::Model(model)));
        plan.push(Registration::Instance(model, instance));
    }
    let reached = first
        + match open {
            OpenStates::Listed(states) if states.is_empty() => 0,
            OpenStates::Listed(states) => {
                let count = states.len() as u64;
                plan.push(Registration::States { instance, first, states });
                count
            }
            OpenStates::Root(digest) => {
                plan.push(Registration::Root { instance, first, digest });
                digest.count
            }
        };
    let sealed = on_chain.is_some_and(|known| known.outcome.is_some());
    if let Some(outcome) = ended
        && reached == count
        && !sealed
    {
        plan.push(Registration::Termination { instance, count, outcome });
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::OnChain;

    fn captured(first: u8, to: u8, count: u64, ended: Option<Outcome>) -> Captured {
        let open = (first..to).map(|k| (StateId::of(&[k]), head::default_predecessor(k.into()))).collect();
        let open = OpenStates::Listed(open);
        Captured { model: ModelId::of(b"m"), instance: InstanceId::of(b"i"), open, count, ended }
    }

    fn kinds(plan: &[Registration]) -> String {
        let letter = |registration: &Registration| match registration {
            Registration::Model(_) => 'm',
            Registration::Participant(..) => 'p',
            Registration::Instance(..) => 'i',
            Registration::States { .. } => 's',
            Registration::Root { .. } => 'r',
            Registration::Termination { .. } => 't',
        };
        plan.iter().map(letter).collect()
    }

    #[test]
    fn a_run_that_nobody_knows_is_registered_at_once() {
        let plan = open_registrations(captured(0, 3, 3, Some(Outcome::Succeeded)), None, false);
        assert_eq!(kinds(&plan), "mist");
        assert_eq!(kinds(&open_registrations(captured(0, 3, 3, None), None, true)), "is");
        assert_eq!(kinds(&open_registrations(captured(0, 0, 0, None), None, true)), "i");
    }

    #[test]
    fn a_run_whose_states_are_under_a_root_is_complete() {
        let digest = Digest { count: 9, root: B256::ZERO, predecessors_hash: B256::ZERO };
        let run = Captured { open: OpenStates::Root(digest), ..captured(0, 0, 9, Some(Outcome::Succeeded)) };
        assert_eq!(kinds(&open_registrations(run, None, true)), "irt");
    }

    #[test]
    fn states_follow_the_contracts_count() {
        let known = OnChain { count: 2, outcome: None, registered_at_block: 1 };
        let plan = open_registrations(captured(2, 4, 4, None), Some(known), true);
        assert!(matches!(&plan[..], [Registration::States { first: 2, states, .. }] if states.len() == 2));
    }

    #[test]
    fn only_a_complete_run_is_sealed_and_only_once() {
        let ended = Some(Outcome::Failed);
        let open = OnChain { count: 2, outcome: None, registered_at_block: 1 };
        assert_eq!(kinds(&open_registrations(captured(2, 4, 9, ended), Some(open), true)), "s");
        assert_eq!(kinds(&open_registrations(captured(2, 2, 2, ended), Some(open), true)), "t");
        let sealed = OnChain { count: 2, outcome: ended, registered_at_block: 1 };
        assert_eq!(kinds(&open_registrations(captured(2, 2, 2, ended), Some(sealed), true)), "");
    }
}
