//! What an instance is like after an entry of the journal that concerns it. Pure.

use alloy::primitives::{Address, B256};
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    event::{Event, JournalEntry, Origin},
    head::Outcome,
};
use serde::Serialize;

/// An instance is named within its issuer's namespace.
pub(super) type InstanceKey = (Address, InstanceId);

/// An instance as of a position (`schema/instance.schema.json`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Snapshot {
    position: u64,
    issuer: Address,
    instance: InstanceId,
    model: ModelId,
    ordinal: u64,
    registered: Origin,
    state_count: u64,
    newest_state: Option<State>,
    termination: Option<Termination>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct State {
    state: StateId,
    sequence: u64,
    predecessor: Option<u32>,
    origin: Origin,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Termination {
    outcome: Outcome,
    head: B256,
    origin: Origin,
}

/// The instance whose snapshot an entry changes.
pub(super) fn touched(event: &Event) -> Option<InstanceKey> {
    match event {
        Event::InstanceRegistered { issuer, instance, .. }
        | Event::StateRegistered { issuer, instance, .. }
        | Event::StatesRootRegistered { issuer, instance, .. }
        | Event::InstanceTerminated { issuer, instance, .. } => Some((*issuer, *instance)),
        _ => None,
    }
}

impl Snapshot {
    /// A new instance; `None` if the entry does not register one.
    pub(super) fn new(entry: &JournalEntry) -> Option<Self> {
        let Event::InstanceRegistered { issuer, instance, model, ordinal, .. } = entry.event else { return None };
        Some(Self {
            position: entry.position,
            issuer,
            instance,
            model,
            ordinal,
            registered: entry.origin,
            state_count: 0,
            newest_state: None,
            termination: None,
        })
    }

    /// From the entries that stand as of a position, in their order; `None` if the registration is not among them.
    pub(super) fn as_of(position: u64, standing: &[JournalEntry]) -> Option<Self> {
        let (registration, rest) = standing.split_first()?;
        let mut snapshot = Self::new(registration)?;
        rest.iter().for_each(|entry| snapshot.advance(entry));
        Some(Self { position, ..snapshot })
    }

    /// To after an entry that concerns it and takes nothing back.
    pub(super) fn advance(&mut self, entry: &JournalEntry) {
        let origin = entry.origin;
        self.position = entry.position;
        match entry.event {
            Event::StateRegistered { state, sequence, predecessor, .. } => {
                // The contract counts states from 0 by ones.
                self.state_count = sequence + 1;
                self.newest_state = Some(State { state, sequence, predecessor, origin });
            }
            Event::StatesRootRegistered { first, count, .. } => {
                self.state_count = first + count;
                self.newest_state = None;
            }
            Event::InstanceTerminated { outcome, head, .. } => {
                self.termination = Some(Termination { outcome, head, origin });
            }
            _ => {}
        }
    }

    /// Whether nothing but a reorganisation changes it any more.
    pub(super) fn has_ended(&self) -> bool {
        self.termination.is_some()
    }
}

#[cfg(test)]
mod tests {
    use runproof_protocol::event::Place;

    use super::*;

    const KEY: InstanceKey = (Address::repeat_byte(1), InstanceId(B256::repeat_byte(2)));

    fn entry(position: u64, event: Event) -> JournalEntry {
        let hash = B256::repeat_byte(9);
        let origin = Origin {
            block_number: position,
            block_hash: hash,
            block_timestamp_s: 0,
            place: Some(Place { transaction_hash: hash, log_index: Some(0), item_index: 0 }),
        };
        JournalEntry { position, retraction: None, event, origin }
    }

    fn run() -> [JournalEntry; 4] {
        let (issuer, instance) = KEY;
        let head = B256::ZERO;
        let state = |sequence: u32| Event::StateRegistered {
            issuer,
            instance,
            state: StateId(B256::with_last_byte(sequence as u8)),
            sequence: sequence.into(),
            predecessor: sequence.checked_sub(1),
            batch: 0,
        };
        let model = ModelId(B256::repeat_byte(3));
        [
            entry(4, Event::InstanceRegistered { issuer, instance, model, ordinal: 7, head, issuer_head: head }),
            entry(5, state(0)),
            entry(8, state(1)),
            entry(9, Event::InstanceTerminated { issuer, instance, count: 2, outcome: Outcome::Failed, head }),
        ]
    }

    #[test]
    fn entry_by_entry_is_as_from_all_that_stand() {
        let [registered, first, second, ended] = run();
        let begun = Snapshot::new(&registered).expect("it registers");
        assert_eq!((begun.state_count, begun.has_ended(), touched(&first.event)), (0, false, Some(KEY)));
        let mut one_by_one = begun;
        [&first, &second, &ended].into_iter().for_each(|entry| one_by_one.advance(entry));
        assert_eq!((one_by_one.position, one_by_one.state_count, one_by_one.has_ended()), (9, 2, true));
        // Of the states the newest is enough.
        assert_eq!(Snapshot::as_of(9, &[registered, second, ended]), Some(one_by_one));
    }

    #[test]
    fn states_under_a_root_are_counted_and_the_newest_is_not_told() {
        let [registered, first, ..] = run();
        let (issuer, instance) = KEY;
        let (root, predecessors_hash, head) = (B256::ZERO, B256::ZERO, B256::ZERO);
        let (begun, count) = (1, 1000);
        let root = Event::StatesRootRegistered { issuer, instance, first: begun, count, root, predecessors_hash, head };
        let after = Snapshot::as_of(8, &[registered, first, entry(8, root)]).expect("it is registered");
        assert_eq!((after.state_count, after.newest_state), (1001, None));
    }

    #[test]
    fn without_its_registration_there_is_none() {
        let [_, first, ..] = run();
        assert_eq!((Snapshot::as_of(5, &[first]), Snapshot::as_of(5, &[])), (None, None));
    }
}
