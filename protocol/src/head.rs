//! The hash chain by which the contract proves that an instance's history is complete, ordered, timed and unaltered: whoever folds the published
//! history and gets the on-chain head knows that nothing was left out.
//!
//! All preimages of an instance's chain are ABI words of 32 bytes. They differ in length by kind (6, 7, 5), so one can never pass for another.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{InstanceId, ModelId, StateId};

/// How a run ended. The numbers are the contract's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum Outcome {
    /// The run reached its end.
    Succeeded = 1,
    /// The run failed.
    Failed = 2,
    /// The run exceeded its time.
    TimedOut = 3,
    /// The run was stopped.
    Aborted = 4,
}

impl Outcome {
    /// The contract's number, `None` for 0 (not terminated) and for numbers unknown.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::Succeeded, Self::Failed, Self::TimedOut, Self::Aborted]
            .into_iter()
            .find(|outcome| *outcome as u8 == number)
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::Aborted => "aborted",
        })
    }
}

/// The contract that a chain of heads belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Address of the contract.
    pub address: Address,
}

/// States registered by one call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Batch {
    /// Sequence number of the first state, from 0.
    pub first: u64,
    /// Ids, in order.
    pub states: Vec<StateId>,
    /// Predecessor of each state; empty if each follows the one just before it.
    pub predecessors: Vec<Option<u32>>,
    /// Block of the registration.
    pub block_number: u64,
    /// That block's time, Unix seconds.
    pub block_timestamp_s: u64,
}

fn words(words: &[B256]) -> B256 {
    keccak256(words.concat())
}

fn number(value: u64) -> B256 {
    U256::from(value).into()
}

/// Head of an instance that has no state yet.
pub fn genesis(registry: Registry, issuer: Address, instance: InstanceId, model: ModelId, ordinal: u64) -> B256 {
    words(&[
        number(registry.chain_id),
        registry.address.into_word(),
        issuer.into_word(),
        instance.0,
        model.0,
        number(ordinal),
    ])
}

/// Head after `batch` follows `head`.
pub fn extend(head: B256, batch: &Batch) -> B256 {
    words(&[
        head,
        number(batch.first),
        number(batch.states.len() as u64),
        merkle_root(&batch.states),
        keccak256(encode_predecessors(&batch.predecessors)),
        number(batch.block_number),
        number(batch.block_timestamp_s),
    ])
}

/// Head after termination, which seals the count and the outcome.
pub fn seal(head: B256, count: u64, outcome: Outcome, block_number: u64, block_timestamp_s: u64) -> B256 {
    words(&[head, number(count), number(outcome as u64), number(block_number), number(block_timestamp_s)])
}

/// Merkle tree hash in the shape of RFC 9162, section 2.1, with Keccak-256. An empty tree, which the contract refuses, has the zero hash.
pub fn merkle_root(states: &[StateId]) -> B256 {
    let mut level: Vec<B256> = states.iter().map(|state| keccak256([&[0u8], state.as_slice()].concat())).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => keccak256([&[1u8], left.as_slice(), right.as_slice()].concat()),
                odd => odd[0],
            })
            .collect();
    }
    level.first().copied().unwrap_or_default()
}

/// Marks a state without predecessor in the contract's encoding.
pub const NO_PREDECESSOR: u32 = u32::MAX;

/// The contract's encoding: four bytes, big-endian, for each state.
pub fn encode_predecessors(predecessors: &[Option<u32>]) -> Vec<u8> {
    predecessors.iter().flat_map(|predecessor| predecessor.unwrap_or(NO_PREDECESSOR).to_be_bytes()).collect()
}

/// Leaves out what the empty encoding says already: that each state follows the one just before it.
pub fn shorten_predecessors(first: u64, predecessors: Vec<Option<u32>>) -> Vec<Option<u32>> {
    let linear = (first..).zip(&predecessors).all(|(sequence, found)| *found == default_predecessor(sequence));
    if linear { Vec::new() } else { predecessors }
}

/// Predecessor of a state whose batch names none.
pub fn default_predecessor(sequence: u64) -> Option<u32> {
    sequence.checked_sub(1).and_then(|before| u32::try_from(before).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 9162's recursive definition, beside the level-by-level one above.
    fn recursive_root(states: &[StateId]) -> B256 {
        match states {
            [one] => keccak256([&[0u8], one.as_slice()].concat()),
            _ => {
                let (left, right) = states.split_at(states.len().next_power_of_two() / 2);
                keccak256([&[1u8], recursive_root(left).as_slice(), recursive_root(right).as_slice()].concat())
            }
        }
    }

    fn states(n: u8) -> Vec<StateId> {
        (0..n).map(|k| StateId::of(&[k])).collect()
    }

    proptest! {
        #[test]
        fn root_is_that_of_rfc_9162(n in 1u8..70) {
            prop_assert_eq!(merkle_root(&states(n)), recursive_root(&states(n)));
        }

        #[test]
        fn dropping_or_swapping_states_changes_the_head(n in 2u8..30, k in 0usize..28) {
            let batch = |states| Batch { first: 0, states, predecessors: vec![], block_number: 1, block_timestamp_s: 2 };
            let all = states(n);
            let k = k % (all.len() - 1);
            let mut dropped = all.clone();
            dropped.remove(k);
            let mut swapped = all.clone();
            swapped.swap(k, k + 1);
            let head = extend(B256::ZERO, &batch(all));
            prop_assert_ne!(head, extend(B256::ZERO, &batch(dropped)));
            prop_assert_ne!(head, extend(B256::ZERO, &batch(swapped)));
        }
    }

    #[test]
    fn linear_predecessors_are_left_out() {
        assert!(shorten_predecessors(0, vec![None, Some(0), Some(1)]).is_empty());
        assert!(shorten_predecessors(4, vec![Some(3), Some(4)]).is_empty());
        assert_eq!(shorten_predecessors(1, vec![Some(0), Some(0)]), vec![Some(0), Some(0)]);
    }
}
