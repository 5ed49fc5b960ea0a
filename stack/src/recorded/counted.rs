//! Executions that were never run, as long as one likes.

use serde_json::{Value, json};

use super::Recording;

/// A moment in 2026; all that counts is that time passes.
const START_S: f64 = 1_767_225_600.0;

/// A workflow that counts.
const COUNT: &str = r#"{"StartAt": "Count", "States": {
  "Count": {"Type": "Pass", "Next": "Enough?"},
  "Enough?": {"Type": "Choice", "Choices": [{"Variable": "$.enough", "BooleanEquals": true, "Next": "Done"}], "Default": "Count"},
  "Done": {"Type": "Succeed"}}}"#;

impl Recording {
    /// An execution of so many states, each with a little input and two events of a millisecond each, with as large pages as AWS gives.
    pub fn counted(machine: &str, nth: usize, states: usize) -> Self {
        let region = "arn:aws:states:us-east-1:123456789012";
        Self {
            execution_arn: format!("{region}:execution:{machine}:run-{nth:05}"),
            state_machine_arn: format!("{region}:stateMachine:{machine}"),
            version_arn: None,
            map_run_arn: None,
            definition: COUNT.to_owned(),
            start_date: START_S,
            status: "SUCCEEDED".to_owned(),
            events: events(nth, states),
            page: 1_000,
        }
    }
}

fn events(nth: usize, states: usize) -> Vec<Value> {
    let mut events = vec![json!({
        "type": "ExecutionStarted",
        "executionStartedEventDetails": { "input": "{}", "roleArn": "arn:aws:iam::123456789012:role/recorded" },
    })];
    for number in 0..states {
        let (name, kind) = match number {
            last if last + 1 == states => ("Done", "Succeed"),
            even if even % 2 == 0 => ("Count", "Pass"),
            _ => ("Enough?", "Choice"),
        };
        let data = json!({ "run": nth, "number": number, "enough": false }).to_string();
        events.push(json!({
            "type": format!("{kind}StateEntered"),
            "stateEnteredEventDetails": { "name": name, "input": data, "inputDetails": { "truncated": false } },
        }));
        events.push(json!({
            "type": format!("{kind}StateExited"),
            "stateExitedEventDetails": { "name": name, "output": data, "outputDetails": { "truncated": false } },
        }));
    }
    events.push(json!({ "type": "ExecutionSucceeded", "executionSucceededEventDetails": { "output": "{}" } }));
    for (place, event) in events.iter_mut().enumerate() {
        event["id"] = json!(place + 1);
        event["previousEventId"] = json!(place);
        event["timestamp"] = json!(START_S + place as f64 / 1_000.0);
    }
    events
}
