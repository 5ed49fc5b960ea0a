//! An execution of which documents tell, as the paper published them.

use serde_json::{Value, json};

use super::{Recording, seconds};

impl Recording {
    /// The execution that a model, an instance document and the trace of its last state tell of; `None` if they are not of the paper's form.
    pub fn of_documents(model: &[u8], instance: &[u8], trace: &[u8]) -> Option<Self> {
        let instance: Value = serde_json::from_slice(instance).ok()?;
        let trace: Vec<Value> = serde_json::from_slice(trace).ok()?;
        let text = |field: &str| instance[field].as_str().map(str::to_owned);
        let events: Vec<Value> = trace.iter().map(event).collect::<Option<_>>()?;
        let events = dense(events, &text("status")?)?;
        Some(Self {
            execution_arn: text("executionArn")?,
            state_machine_arn: text("stateMachineArn")?,
            version_arn: None,
            map_run_arn: None,
            definition: String::from_utf8(model.to_vec()).ok()?,
            start_date: seconds(events.first()?).floor(),
            status: text("status")?,
            events,
            page: 5,
        })
    }
}

/// A trace's entry as the history event it was made from.
fn event(entry: &Value) -> Option<Value> {
    let digits = |field: &str| entry[field].as_str().and_then(|digits| digits.parse::<i64>().ok());
    let (id, timestamp_ms) = (digits("id")?, digits("timestamp")?);
    Some(json!({
        "id": id,
        "previousEventId": id - 1,
        // As AWS sends it: seconds with a fraction.
        "timestamp": timestamp_ms as f64 / 1000.0,
        "type": entry["type"],
        "stateEnteredEventDetails": {
            "name": entry["state_name"],
            "input": entry["task_input"],
            "inputDetails": { "truncated": false },
        },
    }))
}

/// A trace tells of states entered alone. The events between them are there too, of a type of their own: a history has no holes, and an end.
fn dense(entered: Vec<Value>, status: &str) -> Option<Vec<Value>> {
    let end = match status {
        "SUCCEEDED" => "ExecutionSucceeded",
        "FAILED" => "ExecutionFailed",
        "TIMED_OUT" => "ExecutionTimedOut",
        "ABORTED" => "ExecutionAborted",
        _ => "Unrecorded",
    };
    let mut events = Vec::new();
    let other = |id: u64, event_type: &str, beside: &Value| json!({ "id": id, "previousEventId": id - 1, "timestamp": beside["timestamp"], "type": event_type });
    for event in &entered {
        let id = event["id"].as_u64()?;
        events.extend((events.len() as u64 + 1..id).map(|missing| other(missing, "Unrecorded", event)));
        events.push(event.clone());
    }
    events.push(other(events.len() as u64 + 1, end, entered.last()?));
    Some(events)
}
