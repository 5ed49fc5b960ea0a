//! A run as the chain tells it: its logs, and the storage that proves or refutes them.

use alloy_primitives::{Address, B256};

use crate::{
    InstanceId, ModelId, StateId,
    head::{self, Batch, Outcome, Range, Registry},
};

/// States registered by one call, and the transaction that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredBatch {
    /// What the head took in of it.
    pub range: Range,
    /// The states, as the contract's log or leaves of its root tell them; `None` of a root without its leaves.
    states: Option<Batch>,
    /// Whether the log tells the root alone.
    pub by_root: bool,
    /// In which transaction.
    pub transaction_hash: B256,
}

impl RegisteredBatch {
    /// A batch that the contract's log tells.
    pub fn told(batch: Batch, transaction_hash: B256) -> Self {
        Self { range: batch.range(), states: Some(batch), by_root: false, transaction_hash }
    }

    /// One of which the log tells the root.
    pub fn by_root(range: Range, transaction_hash: B256) -> Self {
        Self { range, states: None, by_root: true, transaction_hash }
    }
}

/// A termination as the contract's log tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisteredTermination {
    /// How the run ended.
    pub outcome: Outcome,
    /// States in all.
    pub count: u64,
    /// Block of the registration.
    pub block_number: u64,
    /// That block's time, Unix seconds.
    pub block_timestamp_s: u64,
    /// In which transaction.
    pub transaction_hash: B256,
}

/// The instance in the contract's storage, proved against a block's state root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProvedInstance {
    /// Head of its chain.
    pub head: B256,
    /// Its model.
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

/// A run as the chain tells it, as of one block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredRun {
    /// Chain and contract.
    pub registry: Registry,
    /// In whose namespace.
    pub issuer: Address,
    /// The run.
    pub instance: InstanceId,
    /// From storage, with its proof checked.
    pub proved: ProvedInstance,
    /// From logs, in order.
    pub batches: Vec<RegisteredBatch>,
    /// From logs.
    pub termination: Option<RegisteredTermination>,
}

/// One state of a [`RegisteredRun`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegisteredState {
    /// Place in the run, from 0.
    pub sequence: u64,
    /// Its id.
    pub state: StateId,
    /// Sequence number of the state it was entered from.
    pub predecessor: Option<u32>,
    /// Sequence number of the first state registered by the same call.
    pub batch: u64,
    /// Whether that call registered their root alone.
    pub by_root: bool,
    /// Block of the registration.
    pub block_number: u64,
    /// That block's time, Unix seconds.
    pub block_timestamp_s: u64,
    /// In which transaction.
    pub transaction_hash: B256,
}

impl RegisteredRun {
    /// Its states, in order, but for those of which only the root is known.
    pub fn states(&self) -> impl Iterator<Item = RegisteredState> {
        let known = self.batches.iter().filter_map(|registered| Some((registered, registered.states.as_ref()?)));
        known.flat_map(|(registered, batch)| {
            (batch.first..).zip(&batch.states).enumerate().map(move |(place, (sequence, state))| RegisteredState {
                sequence,
                state: *state,
                predecessor: match batch.predecessors.get(place) {
                    Some(named) => *named,
                    None => head::default_predecessor(sequence),
                },
                batch: batch.first,
                by_root: registered.by_root,
                block_number: batch.block_number,
                block_timestamp_s: batch.block_timestamp_s,
                transaction_hash: registered.transaction_hash,
            })
        })
    }

    /// Whether all its states are known.
    pub fn is_revealed(&self) -> bool {
        self.batches.iter().all(|registered| registered.states.is_some())
    }

    /// Takes a batch for the states of the root that it makes.
    pub(super) fn reveal(&mut self, batch: Batch) {
        let range = batch.range();
        if let Some(registered) = self.batches.iter_mut().find(|registered| registered.range == range) {
            registered.states = Some(batch);
        }
    }

    /// How many states the logs register.
    pub fn count(&self) -> u64 {
        self.batches.iter().fold(0, |count, registered| count.saturating_add(registered.range.count))
    }

    /// The head that the logs fold to.
    pub fn folded_head(&self) -> B256 {
        let proved = &self.proved;
        let genesis = head::genesis(self.registry, self.issuer, self.instance, proved.model, proved.ordinal);
        let open = self.batches.iter().fold(genesis, |head, registered| head::extend_by(head, &registered.range));
        self.termination
            .map_or(open, |end| head::seal(open, end.count, end.outcome, end.block_number, end.block_timestamp_s))
    }

    /// Whether the logs are those that made the proved head: all of them, in order, unaltered.
    pub fn folds_to_proved_head(&self) -> bool {
        self.folded_head() == self.proved.head && self.count() == self.proved.count
    }
}
