//! Where an instance lies in the contract's storage, so that one `eth_getProof` answers for it.
//!
//! `instances` is at slot 0: a mapping of a mapping (Solidity's storage layout: value at `keccak256(key || slot)`).

use alloy::primitives::{Address, B256, U256, keccak256};
use runproof_protocol::{InstanceId, ModelId, head::Outcome};

/// The three slots of an instance, in the order head, model, packed.
pub fn instance_slots(issuer: Address, instance: InstanceId) -> [B256; 3] {
    let of_issuer = keccak256([issuer.into_word(), B256::ZERO].concat());
    let base = U256::from_be_bytes(keccak256([instance.0, of_issuer].concat()).0);
    [0u64, 1, 2].map(|offset| base.wrapping_add(U256::from(offset)).into())
}

/// An instance as it lies in storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoredInstance {
    /// Head of its hash chain.
    pub head: B256,
    /// The model it is of.
    pub model: ModelId,
    /// How many states it has.
    pub count: u64,
    /// Its place among its issuer's instances, from 0.
    pub ordinal: u64,
    /// The block it was registered at.
    pub registered_at_block: u64,
    /// How it ended; `None` while it has not.
    pub outcome: Option<Outcome>,
}

/// A packed slot that the contract cannot have written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("packed slot {0} is none of InstanceRegistry's: is this the right contract?")]
pub struct NotAnInstance(B256);

/// Reads the values of [`instance_slots`], in that order. `Ok(None)`: there is no such instance.
pub fn read_instance(slots: [B256; 3]) -> Result<Option<StoredInstance>, NotAnInstance> {
    let [head, model, packed] = slots;
    if slots.iter().all(|slot| slot.is_zero()) {
        return Ok(None);
    }
    // Solidity packs from the lowest byte: count, ordinal, registeredAtBlock (8 bytes each), outcome (1).
    let limbs = U256::from_be_bytes(packed.0).into_limbs();
    let [count, ordinal, registered_at_block, number] = limbs;
    let outcome = u8::try_from(number).ok().and_then(Outcome::from_number);
    if registered_at_block == 0 || (outcome.is_none() && number != 0) {
        return Err(NotAnInstance(packed));
    }
    Ok(Some(StoredInstance { head, model: model.into(), count, ordinal, registered_at_block, outcome }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(limbs: [u64; 4]) -> [B256; 3] {
        [B256::repeat_byte(1), B256::repeat_byte(2), U256::from_limbs(limbs).into()]
    }

    #[test]
    fn packed_slot_is_read_from_its_lowest_byte() {
        let expected = StoredInstance {
            head: B256::repeat_byte(1),
            model: ModelId(B256::repeat_byte(2)),
            count: 13,
            ordinal: 2,
            registered_at_block: 77,
            outcome: Some(Outcome::TimedOut),
        };
        assert_eq!(read_instance(packed([13, 2, 77, 3])), Ok(Some(expected)));
    }

    #[test]
    fn unknown_outcome_or_dirty_bytes_are_refused() {
        for number in [5, 256, u64::MAX] {
            assert!(read_instance(packed([1, 0, 7, number])).is_err(), "{number}");
        }
        assert!(read_instance(packed([1, 0, 0, 0])).is_err(), "an instance has a block");
    }

    #[test]
    fn empty_slots_are_no_instance() {
        assert_eq!(read_instance([B256::ZERO; 3]), Ok(None));
    }
}
