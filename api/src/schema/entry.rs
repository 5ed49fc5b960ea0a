//! Entries of the journal, as subscriptions send them.

use std::sync::Arc;

use async_graphql::{Enum, Json, SimpleObject};
use runproof_migrations::entity::entry;

use super::{
    place::{Block, Finality, block_of},
    scalars::{Address, ContentId, Hash, Long, Position},
};
use crate::watermark::Watermark;

/// What kind of event an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// A model became known.
    ModelRegistered,
    /// A run began.
    InstanceRegistered,
    /// A state was entered.
    StateRegistered,
    /// States were entered that the chain does not tell, but by the root of a Merkle tree.
    StatesRootRegistered,
    /// A run ended; its count is sealed.
    InstanceTerminated,
    /// Somebody may, or may no more, register on the issuer's behalf.
    DelegateSet,
    /// Somebody was named a participant, or that was withdrawn.
    ParticipantSet,
    /// A participant accepted that it was named, or left.
    ParticipationSet,
    /// A participant asks the waiting state to go on.
    TransitionRequested,
    /// A certificate became known.
    CertificateBound,
    /// A certificate, or all of an account's, is not to be trusted in and after a block.
    CertificateRevoked,
    /// Who may revoke an account's certificates beside the account.
    GuardianSet,
    /// The paper's contract: a model became known, or was overwritten.
    ItrexModelRegistered,
    /// The paper's contract: a run began, or was overwritten.
    ItrexInstanceRegistered,
    /// The paper's contract: a state was entered, or moved to another run.
    ItrexStateRegistered,
    /// The paper's contract: somebody says that one state followed another.
    ItrexTransitionRegistered,
    /// The paper's contract: a run ended, until it is registered again.
    ItrexInstanceTerminated,
    /// The paper's contract: a client is to learn of a state.
    ItrexClientNotified,
    /// The paper's contract: a certificate was registered, by calldata alone.
    ItrexCertificateRegistered,
    /// The chain calls the block safe: so is every entry that stands at or below it.
    BlockSafe,
    /// The chain calls the block finalized: so is every entry that stands at or below it.
    BlockFinalized,
}

/// Why an entry no longer holds.
#[derive(Debug, Clone, SimpleObject)]
pub(crate) struct Retraction {
    /// The entry that is taken back.
    position: Position,
    /// Why.
    reason: String,
    /// Canonical block at the same height, where there is one.
    replaced_by: Option<Hash>,
}

/// One entry of the append-only journal.
#[derive(Debug, SimpleObject)]
pub(crate) struct JournalEntry {
    /// Place in the journal: give it as `after` to go on from here.
    position: Position,
    /// Present if this entry takes an earlier one back; the rest is then that entry's.
    retraction: Option<Retraction>,
    /// What kind of event it is; null for a kind that this version does not know.
    kind: Option<EventKind>,
    /// Who issued it, or whose certificate it is about; null of what the chain says of a block.
    issuer: Option<Address>,
    /// The run it belongs to.
    instance_id: Option<ContentId>,
    /// The model, where the event names one.
    model_id: Option<ContentId>,
    /// The state's id, or the certificate's fingerprint.
    content_id: Option<ContentId>,
    /// The state's place in the run, from 0.
    sequence: Option<Long>,
    /// The event with all its fields, the same as in Kafka.
    event: Json<serde_json::Value>,
    /// Block of the registration, or the block that has become safe or final.
    block: Block,
    /// How firmly the chain holds that block, as of the watermark; null of what has been taken back by then.
    finality: Option<Finality>,
    /// Transaction of the registration; null of what the chain says of a block.
    transaction_hash: Option<Hash>,
    /// Place of the log in the block; null if only calldata tells of it, and of what the chain says of a block.
    log_index: Option<i32>,
    /// Place of the event in its log, which a batch's states share, or among the block's calls that no log tells of; null as the transaction is.
    item_index: Option<i32>,
    /// How far the journal had come when this was sent.
    watermark: Arc<Watermark>,
}

impl JournalEntry {
    pub(super) fn new(row: entry::Model, watermark: Arc<Watermark>) -> Self {
        let retraction = row.retracts.map(|position| Retraction {
            position: Position(position),
            reason: row.reason.unwrap_or_default(),
            replaced_by: row.replaced_by.map(Hash),
        });
        let stands = row.retracts.is_none() && row.retracted_by.is_none_or(|position| position > watermark.position.0);
        Self {
            block: block_of!(row),
            finality: stands.then(|| watermark.levels().of(row.block_number)),
            position: Position(row.position),
            retraction,
            kind: serde_json::from_value(row.kind.into()).ok(),
            issuer: row.issuer.map(Address),
            instance_id: row.instance_id.map(ContentId),
            model_id: row.model_id.map(ContentId),
            content_id: row.content_id.map(ContentId),
            sequence: row.sequence.map(Long),
            event: Json(row.event),
            transaction_hash: row.transaction_hash.map(Hash),
            log_index: row.log_index,
            item_index: row.item_index,
            watermark,
        }
    }
}
