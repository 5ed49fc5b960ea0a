//! How a state that waited for a client was left, by the history: the engine's answer to a late request need not tell.

use std::collections::HashSet;

use runproof_protocol::history::HistoryEvent;

use super::rules::Refusal;

/// Why the task of the state that was entered with event `entered` waits no more; `None` while the state is not left. `later` are the events after that
/// one, by rising id.
pub(super) fn leaving(entered: u64, later: &[HistoryEvent]) -> Option<Refusal> {
    let (mut own, mut refusal) = (HashSet::from([entered]), Refusal::Completed);
    for event in later {
        if !own.contains(&event.previous_id) {
            continue;
        }
        own.insert(event.id);
        match event.event_type.as_str() {
            "TaskStateExited" => return Some(refusal),
            "TaskSucceeded" | "ActivitySucceeded" => refusal = Refusal::Completed,
            "TaskTimedOut" | "ActivityTimedOut" => refusal = Refusal::TimedOut,
            "TaskFailed" | "ActivityFailed" => refusal = Refusal::Failed,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(types: &[(u64, u64, &str)]) -> Vec<HistoryEvent> {
        let event = |&(id, previous_id, event_type): &(u64, u64, &str)| HistoryEvent {
            id,
            previous_id,
            event_type: event_type.to_owned(),
            timestamp_ms: 0,
            state_name: None,
            input: None,
            starts: None,
            salt: None,
            detail: Default::default(),
        };
        types.iter().map(event).collect()
    }

    #[test]
    fn the_last_attempt_tells_how_a_state_was_left() {
        let waits = [(3, 2, "TaskScheduled"), (4, 3, "TaskStarted"), (5, 4, "TaskSubmitted")];
        let retried = [(6, 5, "TaskTimedOut"), (7, 6, "TaskScheduled"), (8, 7, "TaskSubmitted")];
        let left = |more: &[(u64, u64, &str)]| leaving(2, &events(&[&waits, &retried, more].concat()));
        assert_eq!(leaving(2, &events(&waits)), None);
        assert_eq!(left(&[]), None, "another attempt waits");
        assert_eq!(left(&[(9, 8, "TaskSucceeded"), (10, 9, "TaskStateExited")]), Some(Refusal::Completed));
        assert_eq!(left(&[(9, 8, "TaskTimedOut"), (10, 9, "TaskStateExited")]), Some(Refusal::TimedOut));
        assert_eq!(left(&[(9, 8, "TaskFailed"), (10, 9, "TaskStateExited")]), Some(Refusal::Failed));
    }

    #[test]
    fn another_branch_tells_nothing_of_it() {
        let branches = [(3, 2, "TaskScheduled"), (4, 1, "TaskTimedOut"), (5, 4, "TaskStateExited")];
        assert_eq!(leaving(2, &events(&branches)), None);
    }
}
