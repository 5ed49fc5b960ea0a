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
