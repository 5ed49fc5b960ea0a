//! Which chain and contract it is. Pure: what nodes answer in, which of it is believed out.

use alloy::primitives::{Address, B256, KECCAK256_EMPTY};

use crate::error::IndexError;

/// A chain: two of the same id differ in their first block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainIdentity {
    /// EIP-155 chain id.
    pub chain_id: u64,
    /// Hash of block 0.
    pub genesis: B256,
}

/// A contract on a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    /// The chain.
    pub chain: ChainIdentity,
    /// keccak256 of the contract's code.
    pub code: B256,
}

impl Identity {
    /// Whether this is `expected`, which is what the journal or most of the endpoints say of the contract.
    ///
    /// # Errors
    /// Says what is another, and what to do.
    pub(crate) fn is(&self, expected: &Self, registry: Address) -> Result<(), IndexError> {
        let (found, chain_id) = (self.chain, self.chain.chain_id);
        if chain_id != expected.chain.chain_id {
            return Err(IndexError::WrongChain { expected: expected.chain.chain_id, found: chain_id });
        }
        if found.genesis != expected.chain.genesis {
            let (expected, found) = (expected.chain.genesis, found.genesis);
            return Err(IndexError::OtherGenesis { chain_id, expected, found });
        }
        if self.code == KECCAK256_EMPTY {
            return Err(IndexError::NoContract { registry, chain_id });
        }
        if self.code != expected.code {
            return Err(IndexError::OtherCode { registry, chain_id, expected: expected.code, found: self.code });
        }
        Ok(())
    }
}

/// What more of the answers say than anything else, if at least `quorum` do.
pub(crate) fn prevailing(answers: &[Identity], quorum: usize) -> Option<Identity> {
    let votes = |one: &Identity| answers.iter().filter(|other| *other == one).count();
    let first = *answers.iter().max_by_key(|one| votes(one))?;
    let rival = answers.iter().filter(|one| **one != first).map(votes).max().unwrap_or(0);
    (votes(&first) >= quorum && votes(&first) > rival).then_some(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(chain_id: u64, genesis: u8, code: u8) -> Identity {
        let [genesis, code] = [genesis, code].map(B256::with_last_byte);
        Identity { chain: ChainIdentity { chain_id, genesis }, code }
    }

    #[test]
    fn one_that_lies_is_outvoted_and_a_tie_decides_nothing() {
        let (truth, lie) = (identity(1, 1, 1), identity(1, 2, 1));
        assert_eq!(prevailing(&[lie, truth, truth], 2), Some(truth));
        assert_eq!(prevailing(&[lie, truth, truth], 3), None);
        assert_eq!(prevailing(&[lie, truth], 1), None);
        assert_eq!(prevailing(&[truth], 1), Some(truth));
        assert_eq!(prevailing(&[], 1), None);
    }

    #[test]
    fn what_is_another_is_named() {
        let expected = identity(1, 1, 1);
        let found = |other: Identity| other.is(&expected, Address::ZERO);
        assert!(found(expected).is_ok());
        assert!(matches!(found(identity(2, 1, 1)), Err(IndexError::WrongChain { expected: 1, found: 2 })));
        assert!(matches!(found(identity(1, 2, 1)), Err(IndexError::OtherGenesis { .. })));
        assert!(matches!(found(identity(1, 1, 2)), Err(IndexError::OtherCode { .. })));
        let none = Identity { code: KECCAK256_EMPTY, ..expected };
        assert!(matches!(found(none), Err(IndexError::NoContract { .. })));
    }
}
