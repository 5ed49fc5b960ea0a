//! Holes in a history: event ids that are missing although later ones are there.
//!
//! AWS numbers events without gaps, but an answer may be one of some time ago, or come from a replica that lags. So nothing after a hole is taken, for as long
//! as it is there: the checkpoint never passes an event that was not seen, and one that comes late is not missed.

use runproof_protocol::history::HistoryEvent;

/// Missing events: all ids between these two. `found` is `None` if the execution has ended but its last event is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the history has a hole after event {after} (next is {found:?}): what follows is taken when it is filled")]
pub struct Hole {
    /// The last event before it, 0 for the start.
    pub after: u64,
    /// The first event after it.
    pub found: Option<u64>,
}

/// How many of `events`, which are by rising id and follow `last_event_id`, may be taken; and the hole that stops the rest, if any. `ended`: the
/// execution is known to have ended, so that the last event must be there.
pub(crate) fn admit(last_event_id: u64, events: &[HistoryEvent], ended: bool) -> (usize, Option<Hole>) {
    let mut after = last_event_id;
    for (index, event) in events.iter().enumerate() {
        if event.id != after + 1 {
            return (index, Some(Hole { after, found: Some(event.id) }));
        }
        after = event.id;
    }
    let end_missing = ended && events.last().is_none_or(|event| event.ending().is_none());
    (events.len(), end_missing.then_some(Hole { after, found: None }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(ids: &[u64]) -> Vec<HistoryEvent> {
        let event = |&id| HistoryEvent {
            id,
            previous_id: id - 1,
            event_type: if id == 9 { "ExecutionSucceeded" } else { "TaskStateEntered" }.into(),
            timestamp_ms: 0,
            state_name: None,
            input: None,
            starts: None,
            salt: None,
            detail: Default::default(),
        };
        ids.iter().map(event).collect()
    }

    #[test]
    fn a_dense_history_is_taken() {
        assert_eq!(admit(0, &events(&[1, 2, 3]), false), (3, None));
        assert_eq!(admit(7, &events(&[8, 9]), true), (2, None));
        assert_eq!(admit(7, &[], false), (0, None));
    }

    #[test]
    fn a_hole_stops_what_follows_until_it_is_filled() {
        for _ in 0..100 {
            assert_eq!(admit(0, &events(&[1, 3, 5]), false), (1, Some(Hole { after: 1, found: Some(3) })));
            assert_eq!(admit(1, &events(&[3, 5]), true), (0, Some(Hole { after: 1, found: Some(3) })));
        }
        assert_eq!(admit(1, &events(&[2, 3]), false), (2, None));
    }

    #[test]
    fn an_end_without_its_event_is_a_hole() {
        assert_eq!(admit(0, &events(&[1, 2]), true), (2, Some(Hole { after: 2, found: None })));
        // The two events were taken: the same hole is seen from the checkpoint.
        assert_eq!(admit(2, &[], true), (0, Some(Hole { after: 2, found: None })));
    }
}
