//! Holes in a history: event ids that are missing although later ones are there.
//!
//! An engine may answer late, so a hole is first taken to be transient and the history is read again. Only one that persists is accepted: a recorded
//! history may leave events out.

use std::collections::HashMap;

use runproof_protocol::history::HistoryEvent;

/// Readings in which a hole must be seen before it is accepted.
const PERSISTS: u32 = 3;

/// Missing events: all ids between these two. `found` is `None` if the execution has ended but its last event is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[error("the history has a hole after event {after} (next is {found:?}): it is read again before that is believed")]
pub struct Hole {
    /// The last event before it, 0 for the start.
    pub after: u64,
    /// The first event after it.
    pub found: Option<u64>,
}

/// The holes of one execution's history and how often each was seen in a row.
#[derive(Debug, Clone, Default)]
pub struct HoleWatch {
    seen: HashMap<Hole, u32>,
    /// The execution's last event was taken.
    closed: bool,
}

impl HoleWatch {
    /// Whether a hole is to be seen again before it is believed.
    pub fn is_open(&self) -> bool {
        !self.seen.is_empty()
    }

    /// How many of `events`, which are by rising id and follow `last_event_id`, may be taken now; and the hole that stops the rest, if any.
    pub fn admit(&mut self, last_event_id: u64, events: &[HistoryEvent], ended: bool) -> (usize, Option<Hole>) {
        self.closed |= events.last().is_some_and(|event| event.ending().is_some());
        let holes = holes(last_event_id, events, ended && !self.closed);
        self.seen = holes
            .iter()
            .map(|(_, hole)| (*hole, self.seen.get(hole).copied().unwrap_or_default().saturating_add(1)))
            .collect();
        let stop = holes.into_iter().find(|(_, hole)| self.seen.get(hole).is_none_or(|times| *times < PERSISTS));
        match stop {
            Some((index, hole)) => (index, Some(hole)),
            None => {
                if !self.seen.is_empty() {
                    let holes = self.seen.len();
                    tracing::warn!(holes, last_event_id, "the history leaves events out; going on without them");
                }
                (events.len(), None)
            }
        }
    }
}

/// Each hole with the index of the event that follows it.
fn holes(last_event_id: u64, events: &[HistoryEvent], end_missing: bool) -> Vec<(usize, Hole)> {
    let mut after = last_event_id;
    let mut holes = Vec::new();
    for (index, event) in events.iter().enumerate() {
        if event.id != after + 1 {
            holes.push((index, Hole { after, found: Some(event.id) }));
        }
        after = event.id;
    }
    if end_missing {
        holes.push((events.len(), Hole { after, found: None }));
    }
    holes
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
    fn a_dense_history_passes_at_once() {
        assert_eq!(HoleWatch::default().admit(0, &events(&[1, 2, 3]), false), (3, None));
        assert_eq!(HoleWatch::default().admit(7, &events(&[8, 9]), true), (2, None));
        assert_eq!(HoleWatch::default().admit(7, &[], false), (0, None));
    }

    #[test]
    fn a_hole_stops_what_follows_until_it_was_seen_three_times() {
        let mut watch = HoleWatch::default();
        let hole = Hole { after: 1, found: Some(3) };
        for _ in 0..2 {
            assert_eq!(watch.admit(0, &events(&[1, 3, 5]), false), (1, Some(hole)));
        }
        assert_eq!(watch.admit(0, &events(&[1, 3, 5]), false), (3, None));
    }

    #[test]
    fn a_hole_that_fills_is_forgotten() {
        let mut watch = HoleWatch::default();
        watch.admit(0, &events(&[1, 3]), false);
        watch.admit(0, &events(&[1, 3]), false);
        assert_eq!(watch.admit(0, &events(&[1, 2, 3]), false), (3, None));
        assert_eq!(watch.admit(0, &events(&[1, 3]), false), (1, Some(Hole { after: 1, found: Some(3) })));
    }

    #[test]
    fn an_end_without_its_event_is_believed_only_if_it_persists() {
        let mut watch = HoleWatch::default();
        let hole = Hole { after: 2, found: None };
        assert_eq!(watch.admit(0, &events(&[1, 2]), true), (2, Some(hole)));
        // The two events were taken: the same hole is seen from the checkpoint.
        assert_eq!(watch.admit(2, &[], true), (0, Some(hole)));
        assert_eq!(watch.admit(2, &[], true), (0, None));
    }
}
