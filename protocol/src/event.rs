//! What was registered, as consumers see it: the body of journal entries, Kafka messages and subscription frames.

use alloy_primitives::{Address, B256, Bytes};
use serde::{Deserialize, Serialize};

use crate::{Fingerprint, InstanceId, ModelId, StateId, certificate::CertificateBinding, head::Outcome};

/// One registration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Event {
    /// A model became known.
    ModelRegistered {
        /// Who registered it.
        issuer: Address,
        /// Its id.
        model: ModelId,
    },
    /// A run began.
    InstanceRegistered {
        /// Who registered it.
        issuer: Address,
        /// Its id.
        instance: InstanceId,
        /// What it runs.
        model: ModelId,
        /// Its place among the issuer's instances, from 0.
        ordinal: u64,
        /// Head of its chain, see [`crate::head::genesis`].
        head: B256,
        /// Head of the issuer's chain of instances after it.
        issuer_head: B256,
    },
    /// A state was entered.
    StateRegistered {
        /// Who issued it: the namespace, also where a delegate sent it.
        issuer: Address,
        /// The run.
        instance: InstanceId,
        /// Its id.
        state: StateId,
        /// Its place in the run, from 0.
        sequence: u64,
        /// Sequence number of the state it was entered from.
        predecessor: Option<u32>,
        /// Sequence number of the first state of its batch.
        batch: u64,
    },
    /// States were entered that the chain does not tell, only what is hashed into the head: see [`crate::head::Range`].
    StatesRootRegistered {
        /// Who issued them: the namespace, also where a delegate sent it.
        issuer: Address,
        /// The run.
        instance: InstanceId,
        /// Sequence number of the first of them, from 0.
        first: u64,
        /// How many.
        count: u64,
        /// Root of the Merkle tree over their ids.
        root: B256,
        /// Keccak-256 of their predecessors.
        predecessors_hash: B256,
        /// Head of the run's chain after them.
        head: B256,
    },
    /// A run ended; its count is sealed.
    InstanceTerminated {
        /// Who issued it.
        issuer: Address,
        /// The run.
        instance: InstanceId,
        /// States in all.
        count: u64,
        /// How it ended.
        outcome: Outcome,
        /// Final head.
        head: B256,
    },
    /// Somebody may, or may no more, register on the issuer's behalf.
    DelegateSet {
        /// Who grants.
        issuer: Address,
        /// For this instance; `None` for all.
        instance: Option<InstanceId>,
        /// To whom.
        delegate: Address,
        /// Granted or withdrawn.
        allowed: bool,
    },
    /// Somebody was named a participant, or that was withdrawn.
    ParticipantSet {
        /// Who grants.
        issuer: Address,
        /// For this instance; `None` for all.
        instance: Option<InstanceId>,
        /// To whom.
        participant: Address,
        /// Granted or withdrawn.
        allowed: bool,
    },
    /// A participant accepted that it was named, so that it may request transitions; or it left.
    ParticipationSet {
        /// Who named it.
        issuer: Address,
        /// For this instance; `None` for all.
        instance: Option<InstanceId>,
        /// Who accepts.
        participant: Address,
        /// Accepted or left.
        accepted: bool,
    },
    /// A participant asks the waiting state to go on.
    TransitionRequested {
        /// Whose run.
        issuer: Address,
        /// The run.
        instance: InstanceId,
        /// Who asks.
        participant: Address,
        /// The waiting state.
        sequence: u64,
        /// What the state is to be completed with, JSON text.
        payload: Bytes,
    },
    /// A certificate became known.
    CertificateBound(CertificateBinding),
    /// A certificate is not to be trusted in and after a block. Of several revocations the earliest block counts.
    CertificateRevoked {
        /// Whose.
        subject: Address,
        /// Which; `None` for all that the subject ever binds.
        fingerprint: Option<Fingerprint>,
        /// Who says so: the subject or its guardian.
        by: Address,
        /// First block in which it is not to be trusted; before the revocation's own if it was compromised since.
        from_block: u64,
    },
    /// Who may revoke the subject's certificates beside the subject.
    GuardianSet {
        /// Whose.
        subject: Address,
        /// Who; `None` for nobody.
        guardian: Option<Address>,
    },
    /// The paper's contract: a model became known, or was overwritten. Its events have no sequence, no head, and no issuer but who sent them.
    ItrexModelRegistered {
        /// Who sent the transaction.
        issuer: Address,
        /// Its id.
        model: ModelId,
    },
    /// The paper's contract: a run began, or was overwritten.
    ItrexInstanceRegistered {
        /// Who sent the transaction.
        issuer: Address,
        /// Its id.
        instance: InstanceId,
        /// What it runs.
        model: ModelId,
    },
    /// The paper's contract: a state was entered, or moved to another run.
    ItrexStateRegistered {
        /// Who sent the transaction.
        issuer: Address,
        /// The run.
        instance: InstanceId,
        /// Its id.
        state: StateId,
    },
    /// The paper's contract: somebody says that one state followed another. It compares neither with the run.
    ItrexTransitionRegistered {
        /// Who sent the transaction.
        issuer: Address,
        /// The run.
        instance: InstanceId,
        /// The state before.
        from_state: StateId,
        /// The state after.
        to_state: StateId,
    },
    /// The paper's contract: a run ended, until it is registered again.
    ItrexInstanceTerminated {
        /// Who sent the transaction.
        issuer: Address,
        /// The run.
        instance: InstanceId,
    },
    /// The paper's contract: a client is to learn of a state.
    ItrexClientNotified {
        /// Who sent the transaction.
        issuer: Address,
        /// The state.
        state: StateId,
        /// The client.
        client: Address,
    },
    /// The paper's contract: a certificate was registered, by calldata alone. The contract checks no signature.
    ItrexCertificateRegistered {
        /// Who sent the transaction.
        issuer: Address,
        /// Whose it is said to be.
        subject: Address,
        /// Which.
        fingerprint: Fingerprint,
        /// The three parts of the signature one after another, 80 bytes, as the call gives them.
        signature: Bytes,
    },
    /// The chain calls the entry's block safe: so is every entry that stands at or below it. Taken back with the block.
    BlockSafe,
    /// The chain calls the entry's block finalized: so is every entry that stands at or below it. Never taken back.
    BlockFinalized,
}

impl Event {
    /// The event's kind, as in its JSON field `kind`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ModelRegistered { .. } => "model_registered",
            Self::InstanceRegistered { .. } => "instance_registered",
            Self::StateRegistered { .. } => "state_registered",
            Self::StatesRootRegistered { .. } => "states_root_registered",
            Self::InstanceTerminated { .. } => "instance_terminated",
            Self::DelegateSet { .. } => "delegate_set",
            Self::ParticipantSet { .. } => "participant_set",
            Self::ParticipationSet { .. } => "participation_set",
            Self::TransitionRequested { .. } => "transition_requested",
            Self::CertificateBound(_) => "certificate_bound",
            Self::CertificateRevoked { .. } => "certificate_revoked",
            Self::GuardianSet { .. } => "guardian_set",
            Self::ItrexModelRegistered { .. } => "itrex_model_registered",
            Self::ItrexInstanceRegistered { .. } => "itrex_instance_registered",
            Self::ItrexStateRegistered { .. } => "itrex_state_registered",
            Self::ItrexTransitionRegistered { .. } => "itrex_transition_registered",
            Self::ItrexInstanceTerminated { .. } => "itrex_instance_terminated",
            Self::ItrexClientNotified { .. } => "itrex_client_notified",
            Self::ItrexCertificateRegistered { .. } => "itrex_certificate_registered",
            Self::BlockSafe => "block_safe",
            Self::BlockFinalized => "block_finalized",
        }
    }

    /// Whether it is told by the chain's tags, and not by the contract.
    pub fn is_promotion(&self) -> bool {
        matches!(self, Self::BlockSafe | Self::BlockFinalized)
    }

    /// In whose namespace it stands; `None` of what the chain says of a block.
    pub fn issuer(&self) -> Option<Address> {
        match self {
            Self::ModelRegistered { issuer, .. }
            | Self::InstanceRegistered { issuer, .. }
            | Self::StateRegistered { issuer, .. }
            | Self::StatesRootRegistered { issuer, .. }
            | Self::InstanceTerminated { issuer, .. }
            | Self::DelegateSet { issuer, .. }
            | Self::ParticipantSet { issuer, .. }
            | Self::ParticipationSet { issuer, .. }
            | Self::TransitionRequested { issuer, .. }
            | Self::ItrexModelRegistered { issuer, .. }
            | Self::ItrexInstanceRegistered { issuer, .. }
            | Self::ItrexStateRegistered { issuer, .. }
            | Self::ItrexTransitionRegistered { issuer, .. }
            | Self::ItrexInstanceTerminated { issuer, .. }
            | Self::ItrexClientNotified { issuer, .. }
            | Self::ItrexCertificateRegistered { issuer, .. } => Some(*issuer),
            Self::CertificateBound(CertificateBinding { subject, .. })
            | Self::CertificateRevoked { subject, .. }
            | Self::GuardianSet { subject, .. } => Some(*subject),
            Self::BlockSafe | Self::BlockFinalized => None,
        }
    }

    /// The run it belongs to.
    pub fn instance(&self) -> Option<InstanceId> {
        match self {
            Self::InstanceRegistered { instance, .. }
            | Self::StateRegistered { instance, .. }
            | Self::StatesRootRegistered { instance, .. }
            | Self::InstanceTerminated { instance, .. }
            | Self::TransitionRequested { instance, .. }
            | Self::ItrexInstanceRegistered { instance, .. }
            | Self::ItrexStateRegistered { instance, .. }
            | Self::ItrexTransitionRegistered { instance, .. }
            | Self::ItrexInstanceTerminated { instance, .. } => Some(*instance),
            Self::DelegateSet { instance, .. }
            | Self::ParticipantSet { instance, .. }
            | Self::ParticipationSet { instance, .. } => *instance,
            Self::ModelRegistered { .. }
            | Self::CertificateBound(_)
            | Self::CertificateRevoked { .. }
            | Self::GuardianSet { .. }
            | Self::ItrexModelRegistered { .. }
            | Self::ItrexClientNotified { .. }
            | Self::ItrexCertificateRegistered { .. }
            | Self::BlockSafe
            | Self::BlockFinalized => None,
        }
    }
}

/// Where on the chain an entry comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Block.
    pub block_number: u64,
    /// Its hash.
    pub block_hash: B256,
    /// Its time, Unix seconds.
    pub block_timestamp_s: u64,
    /// Where in the block; `None` of what the chain says of the block itself.
    #[serde(flatten)]
    pub place: Option<Place>,
}

/// The place of an event in its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// Transaction.
    pub transaction_hash: B256,
    /// Place of the log in the block; `None` if no log, only calldata tells of it.
    pub log_index: Option<u64>,
    /// Place of the event in the log (a batch's states share one log), or among the block's calls that no log tells of.
    pub item_index: u64,
}

/// Why an entry no longer holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retraction {
    /// The entry.
    pub position: u64,
    /// Why, for a reader.
    pub reason: String,
    /// Canonical block at the same height, where there is one.
    pub replaced_by: Option<B256>,
}

/// One entry of the append-only journal, the same in Postgres, Kafka and GraphQL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// Place in the journal, from 1, without gaps.
    pub position: u64,
    /// Present if this entry takes an earlier one back; `event` and `origin` are then those of the entry taken back.
    pub retraction: Option<Retraction>,
    /// What was registered, or which certainty its block has reached.
    pub event: Event,
    /// Where.
    pub origin: Origin,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_a_block_names_no_place_in_it_and_is_read_as_it_was_written() {
        let origin = Origin { block_number: 7, block_hash: B256::ZERO, block_timestamp_s: 9, place: None };
        let promotion = JournalEntry { position: 3, retraction: None, event: Event::BlockSafe, origin };
        let told = serde_json::to_value(&promotion).expect("JSON");
        assert_eq!(told["event"], serde_json::json!({ "kind": promotion.event.kind() }));
        assert_eq!(told["origin"].as_object().expect("an object").len(), 3);
        assert_eq!(serde_json::from_value::<JournalEntry>(told).expect("an entry"), promotion);
        let place = Some(Place { transaction_hash: B256::ZERO, log_index: Some(1), item_index: 2 });
        let of_event = JournalEntry { origin: Origin { place, ..origin }, ..promotion };
        let told = serde_json::to_value(&of_event).expect("JSON");
        assert_eq!(told["origin"]["log_index"], 1);
        assert_eq!(serde_json::from_value::<JournalEntry>(told).expect("an entry"), of_event);
    }
}
