//! Executions as a Step Functions engine would tell of them.

use runproof_stack::Recording;
use serde_json::{Value, json};

/// An execution of four states that waits between the second and the third.
pub(super) fn waiting(seconds: u32) -> Recording {
    let mut recording = Recording::counted("waiting", 0, 4);
    for event in recording.events.iter_mut().skip(4) {
        event["timestamp"] = json!(event["timestamp"].as_f64().unwrap_or_default() + f64::from(seconds));
    }
    recording
}

/// An execution with a distributed Map of so many items, and the executions of the items, of two states each.
pub(super) fn map_run(items: usize) -> Vec<Recording> {
    let map_run_arn = "arn:aws:states:us-east-1:123456789012:mapRun:distributed/Each:0a1b";
    let mut parent = Recording::counted("distributed", 0, 2);
    parent.events.insert(
        2,
        json!({ "type": "MapRunStarted", "mapRunStartedEventDetails": { "mapRunArn": map_run_arn }, "timestamp": parent.events[1]["timestamp"] }),
    );
    parent.events.insert(3, json!({ "type": "MapRunSucceeded", "timestamp": parent.events[2]["timestamp"] }));
    for (place, event) in parent.events.iter_mut().enumerate() {
        event["id"] = json!(place + 1);
        event["previousEventId"] = json!(place);
    }
    let child =
        |nth| Recording { map_run_arn: Some(map_run_arn.to_owned()), ..Recording::counted("distributed/Each", nth, 2) };
    [parent].into_iter().chain((0..items).map(child)).collect()
}

/// A workflow of so many steps, one after the other.
pub(super) fn steps(states: usize) -> String {
    let step = |number: usize| {
        let next = if number + 1 == states { json!({ "End": true }) } else { json!({ "Next": name(number + 1) }) };
        let mut state = json!({ "Type": "Pass" });
        state.as_object_mut().into_iter().for_each(|state| state.extend(next.as_object().cloned().unwrap_or_default()));
        (name(number), state)
    };
    let states: serde_json::Map<String, Value> = (0..states).map(step).collect();
    json!({ "StartAt": name(0), "States": states }).to_string()
}

fn name(number: usize) -> String {
    format!("Step {number:05}")
}
