//! The paper's own run: every published hash follows from the published bytes.

use std::{fs, path::PathBuf};

use runproof_protocol::{
    InstanceId, ModelId, StateId,
    history::{Capture, Execution, HistoryEvent},
    model::StateSelection,
    trace::Trace,
};
use serde_json::Value;

const RUN: &str = "data-queue-warehouse-etl-d02ebfb0-4074-436c-9d3f-f9e4e48223fc";
const EVENT_IDS: [u64; 13] = [2, 15, 17, 19, 21, 35, 37, 39, 41, 55, 57, 59, 61];

fn published(path: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/reference/paper-run");
    let path = folder.join(path);
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The state hashes of the published protocol, in order.
fn protocol_hashes() -> Vec<StateId> {
    let protocol: Value =
        serde_json::from_slice(&published("a681a01f3b9d2673b7fcf7f622274d55b4634ea313330c3705f631bee2ae779d.json"))
            .expect("the protocol is JSON");
    let rows = protocol["instance_protocol"].as_array().expect("a list of rows");
    rows.iter().map(|row| row["state_hash"].as_str().expect("text").parse().expect("an id")).collect()
}

#[test]
fn model_and_instance_ids_are_those_published() {
    let model = ModelId::of(&published("models/data-queue-warehouse-etl.json"));
    let instance = InstanceId::of(&published(&format!("instances/{RUN}.json")));
    assert_eq!(model.to_string(), "c632cb64251cfdb18cb6dcab680b9fc82952aea783538ed246a4cb84f65b81e1");
    assert_eq!(instance.to_string(), "a681a01f3b9d2673b7fcf7f622274d55b4634ea313330c3705f631bee2ae779d");
}

#[test]
fn the_recorded_trace_splits_into_the_thirteen_published_states() {
    let trace = Trace::parse(&published(&format!("states/{RUN}-61.json"))).expect("the last state is the trace");
    let ids: Vec<StateId> = trace.states.iter().map(|state| state.id).collect();
    assert_eq!(ids, protocol_hashes());
    assert_eq!(trace.states.iter().map(|state| state.event_id).collect::<Vec<_>>(), EVENT_IDS);
}

#[test]
fn capturing_the_events_again_gives_the_published_bytes() {
    let recorded = Trace::parse(&published(&format!("states/{RUN}-61.json"))).expect("the last state is the trace");
    let execution = Execution {
        model_name: "data-queue-warehouse-etl".into(),
        name: "d02ebfb0-4074-436c-9d3f-f9e4e48223fc".into(),
        region: "us-east-1".into(),
        account: "726210406721".into(),
    };
    let mut capture = Capture::new(execution, StateSelection::Tasks.into());
    let mut trace = String::new();
    for (recorded, published_id) in recorded.states.iter().zip(protocol_hashes()) {
        let event = HistoryEvent {
            id: recorded.event_id,
            previous_id: 0,
            event_type: recorded.entry.event_type.clone(),
            timestamp_ms: recorded.entered_at_ms,
            state_name: Some(recorded.entry.state_name.clone()),
            input: recorded.entry.task_input.clone(),
            starts: None,
            salt: None,
            detail: Default::default(),
        };
        let state = capture.take(&event).expect("in order").expect("a state");
        trace.push_str(&state.part);
        assert_eq!(state.id, published_id);
        let document = published(&format!("states/{RUN}-{}.json", recorded.event_id));
        assert_eq!(format!("{trace}]").as_bytes(), document, "event {}", recorded.event_id);
    }
}
