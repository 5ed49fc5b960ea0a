//! How a state that waited for a client was left, by the history: the engine's answer to a late request need not tell.

use std::collections::HashSet;

use runproof_protocol::history::HistoryEvent;

use super::rules::Refusal;

/// Why the task of the state that was entered with event `entered` waits no more; `None` while the state is not left. `later` are the events after that
/// one, by rising id.
pub(super) fn leaving(entered: u64, later: &[HistoryEvent]) -> Option<Refusal> {
    let (mut own, mut refusal) = (HashSet::from([entered]), Refusal::Left);
    for event in later {
        if !own.contains(&event.previous_id) {
            continue;
        }
        own.insert(event.id);
        match event.event_type.as_str() {
            "TaskStateExited" => return Some(refusal),
            "TaskSucceeded" | "ActivitySucceeded" => refusal = Refusal::Completed,
            "TaskTimedOut" | "ActivityTimedOut" => refusal = Refusal::TimedOut,
            "TaskFailed" | "TaskSubmitFailed" | "TaskStartFailed" | "ActivityFailed" | "ActivityScheduleFailed" => {
                refusal = Refusal::Failed;
            }
            // Another attempt: what became of the one before is not how the state was left.
            "TaskScheduled" | "ActivityScheduled" => refusal = Refusal::Left,
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
    fn an_attempt_that_never_waited_failed_and_was_not_completed() {
        for failed in ["TaskSubmitFailed", "TaskStartFailed", "ActivityScheduleFailed", "TaskFailed", "ActivityFailed"]
        {
            let attempt = [(3, 2, "TaskScheduled"), (4, 3, failed), (5, 4, "TaskStateExited")];
            assert_eq!(leaving(2, &events(&attempt)), Some(Refusal::Failed), "{failed}");
        }
    }

    #[test]
    fn what_the_history_does_not_tell_is_not_told_as_a_completion() {
        assert_eq!(leaving(2, &events(&[(3, 2, "TaskStateExited")])), Some(Refusal::Left));
        let attempt =
            [(3, 2, "TaskScheduled"), (4, 3, "TaskFailed"), (5, 4, "TaskScheduled"), (6, 5, "TaskStateExited")];
        assert_eq!(leaving(2, &events(&attempt)), Some(Refusal::Left));
    }

    #[test]
    fn another_branch_tells_nothing_of_it() {
        let branches = [(3, 2, "TaskScheduled"), (4, 1, "TaskTimedOut"), (5, 4, "TaskStateExited")];
        assert_eq!(leaving(2, &events(&branches)), None);
    }
}
