//! A private model's trace tells nothing of its states' inputs, and its ids are hashes of what it tells.

use alloy_primitives::B256;
use proptest::prelude::*;
use runproof_protocol::{
    StateId,
    commitment::{Commitment, Salt},
    history::{Capture, Execution, HistoryError, HistoryEvent},
    model::{ModelSettings, Privacy},
    trace::Trace,
};

fn private() -> Capture {
    let execution = Execution { model_name: "m".into(), name: "x".into(), region: "r".into(), account: "1".into() };
    Capture::new(execution, ModelSettings { privacy: Privacy::Committed, ..ModelSettings::default() })
}

fn entered(id: u64, input: Option<&str>, salt: Option<u8>) -> HistoryEvent {
    HistoryEvent {
        id,
        previous_id: id - 1,
        event_type: "TaskStateEntered".into(),
        timestamp_ms: 1,
        state_name: Some("S".into()),
        input: input.map(str::to_owned),
        starts: None,
        salt: salt.map(|byte| Salt(B256::repeat_byte(byte))),
        detail: Default::default(),
    }
}

fn trace(inputs: &[String], salt: u8) -> (String, StateId) {
    let mut capture = private();
    let events = inputs.iter().zip(1..).map(|(input, id)| entered(id, Some(input), Some(salt)));
    let states: Vec<_> = events.map(|event| capture.take(&event).expect("in order").expect("a state")).collect();
    let parts: String = states.iter().map(|state| state.part.as_str()).collect();
    (format!("{parts}]"), states.last().expect("a state").id)
}

proptest! {
    #[test]
    fn it_tells_neither_bytes_nor_lengths_of_inputs(inputs in prop::collection::vec("[G-Z]{8,40}", 1..6), salt: u8) {
        let (told, id) = trace(&inputs, salt);
        prop_assert_eq!(id, StateId::of(told.as_bytes()));
        for input in &inputs {
            prop_assert!(!told.contains(input.as_str()));
        }
        let (other, other_id) = trace(&vec![String::new(); inputs.len()], salt);
        prop_assert_eq!(other.len(), told.len());
        prop_assert_ne!(other_id, id);
        for (state, input) in Trace::parse(told.as_bytes()).expect("a trace").states.iter().zip(&inputs) {
            let held = state.entry.task_input.as_deref().and_then(Commitment::read);
            prop_assert_eq!(held, Some(Commitment::to(input.as_bytes(), Salt(B256::repeat_byte(salt)))));
        }
    }
}

#[test]
fn an_input_without_a_salt_is_not_told() {
    let mut capture = private();
    assert_eq!(capture.take(&entered(1, Some("{}"), None)), Err(HistoryError::Unsalted(1)));
    assert_eq!((capture.count(), capture.last_event_id()), (0, 0));
    let state = capture.take(&entered(1, None, None)).expect("nothing to hide").expect("a state");
    assert!(state.part.contains(r#""task_input": null"#), "{}", state.part);
}

#[test]
fn a_salt_is_kept_with_its_event_and_only_where_there_is_one() {
    let event = entered(1, Some("{}"), Some(7));
    let written = serde_json::to_string(&event).expect("JSON");
    assert_eq!(serde_json::from_str::<HistoryEvent>(&written).ok(), Some(event));
    assert!(!serde_json::to_string(&entered(1, Some("{}"), None)).expect("JSON").contains("salt"));
}
