//! Histories as an engine tells them, and what is captured of them.

use super::*;

fn event(id: u64, previous_id: u64, event_type: &str) -> HistoryEvent {
    HistoryEvent {
        id,
        previous_id,
        event_type: event_type.into(),
        timestamp_ms: 1,
        state_name: Some(format!("S{id}")),
        input: Some("{}".into()),
        starts: None,
        salt: None,
        detail: Default::default(),
    }
}

fn capture(selection: StateSelection) -> Capture {
    let execution = Execution { model_name: "m".into(), name: "x".into(), region: "r".into(), account: "1".into() };
    Capture::new(execution, selection.into())
}

#[test]
fn branches_of_a_map_share_their_predecessor() {
    let mut capture = capture(StateSelection::All);
    let events = [
        event(1, 0, "ExecutionStarted"),
        event(2, 0, "MapStateEntered"),
        event(3, 2, "MapStateStarted"),
        event(4, 3, "MapIterationStarted"),
        event(5, 3, "MapIterationStarted"),
        event(6, 4, "TaskStateEntered"),
        event(7, 5, "TaskStateEntered"),
        event(8, 7, "TaskStateExited"),
        event(9, 8, "PassStateEntered"),
    ];
    let states: Vec<CapturedState> = events.iter().filter_map(|e| capture.take(e).expect("in order")).collect();
    let links: Vec<_> = states.iter().map(|state| (state.event_id, state.predecessor)).collect();
    assert_eq!(links, [(2, None), (6, Some(0)), (7, Some(0)), (9, Some(2))]);
    let trace: String = states.iter().map(|state| state.part.as_str()).collect();
    assert_eq!(states[3].id, StateId::of(format!("{trace}]").as_bytes()));
    assert_eq!(states[3].trace_len, trace.len() as u64);
}

#[test]
fn each_way_in_which_an_execution_ends_is_an_outcome_and_nothing_within_it_is() {
    let ending = |event_type: &str| event(9, 8, event_type).ending();
    assert_eq!(ending("ExecutionSucceeded"), Some(Outcome::Succeeded));
    assert_eq!(ending("ExecutionFailed"), Some(Outcome::Failed));
    assert_eq!(ending("ExecutionTimedOut"), Some(Outcome::TimedOut));
    assert_eq!(ending("ExecutionAborted"), Some(Outcome::Aborted));
    for within in [
        "ExecutionStarted",
        "ExecutionRedriven",
        "TaskTimedOut",
        "ActivityTimedOut",
        "MapRunFailed",
        "MapRunAborted",
        "MapIterationAborted",
        "ParallelStateFailed",
        "FailStateEntered",
        "SucceedStateExited",
    ] {
        assert_eq!(ending(within), None, "{within}");
    }
}

#[test]
fn the_papers_selection_takes_tasks_only() {
    let mut capture = capture(StateSelection::Tasks);
    assert_eq!(capture.take(&event(1, 0, "PassStateEntered")), Ok(None));
    assert!(capture.take(&event(2, 1, "TaskStateEntered")).is_ok_and(|state| state.is_some()));
}

#[test]
fn an_event_is_of_the_state_entered_last_on_its_branch_captured_or_not() {
    let mut capture = capture(StateSelection::Tasks);
    for event in [
        event(1, 0, "ExecutionStarted"),
        event(2, 0, "MapStateEntered"),
        event(3, 2, "MapStateStarted"),
        event(4, 2, "TaskStateEntered"),
        event(5, 3, "MapRunStarted"),
    ] {
        capture.take(&event).expect("in order");
    }
    assert_eq!([1, 3, 4, 5, 6].map(|id| capture.entered(id)), [None, Some(2), Some(4), Some(2), None]);
}

#[test]
fn a_part_that_follows_has_a_trace_of_its_own_and_the_executions_event_ids() {
    let execution = capture(StateSelection::All).execution;
    let mut capture = Capture::after(execution, StateSelection::All.into(), 7);
    assert_eq!(capture.take(&event(7, 6, "ExecutionFailed")), Err(HistoryError::Repeated { last: 7, found: 7 }));
    assert_eq!(capture.take(&event(8, 7, "ExecutionRedriven")), Ok(None));
    let state = capture.take(&event(9, 8, "TaskStateEntered")).expect("in order").expect("a state");
    assert_eq!((state.sequence, state.predecessor, state.part.starts_with('[')), (0, None, true));
    let next = capture.take(&event(10, 9, "PassStateEntered")).expect("in order").expect("a state");
    assert_eq!((next.sequence, next.predecessor), (1, Some(0)));
}

#[test]
fn a_repeated_event_changes_nothing() {
    let mut capture = capture(StateSelection::All);
    capture.take(&event(1, 0, "TaskStateEntered")).expect("first");
    assert_eq!(capture.take(&event(1, 0, "TaskStateEntered")), Err(HistoryError::Repeated { last: 1, found: 1 }));
    assert_eq!((capture.count(), capture.last_event_id()), (1, 1));
}
