//! The hash chain by which the contract proves that an instance's history is complete, ordered, timed and unaltered: whoever folds the published
//! history and gets the on-chain head knows that nothing was left out.
//!
//! All preimages of an instance's chain are ABI words of 32 bytes. They differ in length by kind (6, 7, 5), so one can never pass for another.

use alloy_primitives::{Address, B256, U256, keccak256};
use serde::{Deserialize, Serialize};

use crate::{InstanceId, ModelId, StateId, merkle::MerkleTree};

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

/// What a head takes in of the states that one call registers: all that the chain knows of them if they are registered by their root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Range {
    /// Sequence number of the first state, from 0.
    pub first: u64,
    /// How many states.
    pub count: u64,
    /// Root of their [`MerkleTree`].
    pub root: B256,
    /// Keccak-256 of their [encoded](encode_predecessors) predecessors.
    pub predecessors_hash: B256,
    /// Block of the registration.
    pub block_number: u64,
    /// That block's time, Unix seconds.
    pub block_timestamp_s: u64,
}

impl Batch {
    /// What the head takes in of it.
    pub fn range(&self) -> Range {
        let mut tree = MerkleTree::default();
        tree.extend(self.states.iter().copied());
        Range {
            first: self.first,
            count: tree.len(),
            root: tree.close().0,
            predecessors_hash: keccak256(encode_predecessors(&self.predecessors)),
            block_number: self.block_number,
            block_timestamp_s: self.block_timestamp_s,
        }
    }
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
    extend_by(head, &batch.range())
}

/// Head after the states of `range` follow `head`, whether they are known or not.
pub fn extend_by(head: B256, range: &Range) -> B256 {
    words(&[
        head,
        number(range.first),
        number(range.count),
        range.root,
        range.predecessors_hash,
        number(range.block_number),
        number(range.block_timestamp_s),
    ])
}

/// Head after termination, which seals the count and the outcome.
pub fn seal(head: B256, count: u64, outcome: Outcome, block_number: u64, block_timestamp_s: u64) -> B256 {
    words(&[head, number(count), number(outcome as u64), number(block_number), number(block_timestamp_s)])
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

    fn states(n: u8) -> Vec<StateId> {
        (0..n).map(|k| StateId::of(&[k])).collect()
    }

    proptest! {
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
