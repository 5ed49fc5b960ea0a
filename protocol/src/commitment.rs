//! Salted commitments to what states are given, and give: what a private model's traces and their companion documents hold in place of the data.
//!
//! A commitment is `SHA-256(TAG || salt || input)`: 22 bytes that set it apart from all else that is hashed here, 32 random bytes, and the input exactly as
//! the engine gave it. Who does not know the salt learns nothing of the input by it, not even its length or whether two are equal; who is told salt and input
//! can check both; and nobody can name another input for it.

use std::fmt;

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{InstanceId, StateId};

/// Begins what is hashed, and what stands in a trace: no JSON text, so no input of an engine, begins like it.
const TAG: &str = "runproof-commitment-1:";

/// 32 random bytes, fresh for each commitment. They are as secret as the input: together with a guess of it they confirm the guess.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Salt(pub B256);

// What is logged for debugging must not open commitments.
impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Salt(hidden)")
    }
}

/// A commitment to an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment(B256);

impl Commitment {
    /// The commitment to these bytes by this salt.
    pub fn to(input: &[u8], salt: Salt) -> Self {
        let hash = Sha256::new().chain_update(TAG).chain_update(salt.0).chain_update(input).finalize();
        Self(B256::from_slice(&hash))
    }

    /// Reads a state's input in a trace: `None` if that is an input and no commitment to one.
    pub fn read(task_input: &str) -> Option<Self> {
        let mut hash = B256::ZERO;
        hex::decode_to_slice(task_input.strip_prefix(TAG)?, hash.as_mut_slice()).ok()?;
        let commitment = Self(hash);
        (commitment.to_string() == task_input).then_some(commitment)
    }
}

/// As it stands in a trace: the tag, then 64 lower-case hex digits.
impl fmt::Display for Commitment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{TAG}{}", hex::encode(self.0))
    }
}

/// What opens one commitment in the companion document of a private run's trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Field of the event, such as `output`.
    pub field: String,
    /// The salt.
    pub salt: Salt,
    /// The text, exactly as it was committed to.
    pub data: String,
}

/// What opens the commitments of one event, `/<instance>/events.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDisclosure {
    /// The run.
    pub instance: InstanceId,
    /// Id of the event.
    pub event: u64,
    /// One for each of its commitments.
    pub openings: Vec<Opening>,
}

/// Salt and input of one state, told afterwards: `/<instance>/disclosures/<sequence>.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disclosure {
    /// The run.
    pub instance: InstanceId,
    /// The state's place in the run, from 0.
    pub sequence: u64,
    /// Its id.
    pub state: StateId,
    /// The salt.
    pub salt: Salt,
    /// The input, exactly as it was committed to: JSON text as a string.
    pub input: String,
}

impl Disclosure {
    /// What it claims, without the data.
    pub fn claim(&self) -> Claim {
        let &Self { instance, sequence, state, salt, ref input } = self;
        Claim { instance, sequence, state, commitment: Commitment::to(input.as_bytes(), salt) }
    }
}

/// What a [`Disclosure`] claims: that this state's trace holds this commitment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The run.
    pub instance: InstanceId,
    /// The state's place in the run, from 0.
    pub sequence: u64,
    /// Its id.
    pub state: StateId,
    /// What the state's trace must hold if all that was disclosed is true.
    pub commitment: Commitment,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn salts() -> impl Strategy<Value = Salt> {
        any::<[u8; 32]>().prop_map(|bytes| Salt(bytes.into()))
    }

    /// Made with Python's hashlib.
    #[test]
    fn it_is_what_any_other_sha_256_makes_of_the_same_bytes() {
        let commitment = Commitment::to(br#"{"a": 1}"#, Salt(B256::repeat_byte(7)));
        assert_eq!(
            commitment.to_string(),
            "runproof-commitment-1:a10d44eea79c4d5a1be2e37ccfc3f6d9b4ebfadbbca236774cdf08726a22c7d3"
        );
    }

    #[test]
    fn a_salt_is_not_shown() {
        assert_eq!(format!("{:?}", Salt(B256::repeat_byte(0xab))), "Salt(hidden)");
    }

    proptest! {
        #[test]
        fn it_binds_every_byte(input in prop::collection::vec(any::<u8>(), 1..200), salt in salts(), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let commitment = Commitment::to(&input, salt);
            prop_assert_eq!(commitment, Commitment::to(&input, salt));
            let mut altered = input.clone();
            let place = at.index(input.len());
            altered[place] ^= flip;
            prop_assert_ne!(commitment, Commitment::to(&altered, salt));
            prop_assert_ne!(commitment, Commitment::to(&input[..place], salt));
            let mut other = salt;
            other.0[at.index(32)] ^= flip;
            prop_assert_ne!(commitment, Commitment::to(&input, other));
        }

        #[test]
        fn no_byte_moves_between_salt_and_input(bytes in prop::collection::vec(any::<u8>(), 33..80)) {
            let split = |at: usize| Commitment::to(&bytes[at + 32..], Salt(B256::from_slice(&bytes[at..at + 32])));
            prop_assert_ne!(split(0), split(1));
        }

        #[test]
        fn equal_inputs_and_all_lengths_look_alike(one: String, other: String, salts in (salts(), salts())) {
            prop_assume!(salts.0 != salts.1);
            let (first, second) = (Commitment::to(one.as_bytes(), salts.0), Commitment::to(one.as_bytes(), salts.1));
            prop_assert_ne!(first, second);
            let third = Commitment::to(other.as_bytes(), salts.1);
            prop_assert_eq!(first.to_string().len(), third.to_string().len());
        }

        #[test]
        fn it_reads_back_and_is_never_taken_for_json(input: String, salt in salts()) {
            let written = Commitment::to(input.as_bytes(), salt).to_string();
            prop_assert_eq!(Commitment::read(&written).map(|read| read.to_string()), Some(written.clone()));
            prop_assert!(serde_json::from_str::<serde_json::Value>(&written).is_err());
            prop_assert_eq!(Commitment::read(&written.to_uppercase()), None);
            prop_assert_eq!(Commitment::read(&written[..written.len() - 1]), None);
        }

        #[test]
        fn a_disclosure_survives_being_written(input: String, salt in salts()) {
            let told = Disclosure { instance: InstanceId::of(b"i"), sequence: 3, state: StateId::of(b"s"), salt, input };
            let read: Disclosure = serde_json::from_slice(&serde_json::to_vec(&told).expect("JSON")).expect("a disclosure");
            prop_assert_eq!(read.claim().commitment, Commitment::to(told.input.as_bytes(), salt));
            prop_assert_eq!(read, told);
        }
    }
}
