//! Redrives, which the emulator does not know: the rest of an execution really runs, as another execution of a state machine that begins where it
//! failed, and is shown as its continuation.
//!
//! AWS keeps ARN and definition, counts redrives, and appends to the history (<https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>).

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use runproof_stack::aws_json::refused;
use serde_json::{Value, json};

use crate::aws_proxy::{Answer, Emulator};

/// What was redriven.
#[derive(Default)]
pub(crate) struct Redrives(Mutex<HashMap<String, Vec<Redrive>>>);

/// One redrive of an execution.
#[derive(Clone)]
struct Redrive {
    /// The execution in which the rest runs.
    rest: String,
    at_s: f64,
    /// Whether the history tells the entry of the state that is done again.
    enters_again: bool,
}

impl Redrives {
    fn of(&self, arn: &str) -> Vec<Redrive> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(arn).cloned().unwrap_or_default()
    }

    /// RedriveExecution.
    pub(crate) async fn begin(&self, emulator: &Emulator, arn: &str, history: &[Value], enters_again: bool) -> Answer {
        let unsuccessful = ["ExecutionFailed", "ExecutionAborted", "ExecutionTimedOut"];
        let ended = history.last().and_then(|event| event["type"].as_str());
        let failed = history.iter().rfind(|event| event["stateEnteredEventDetails"].is_object());
        let Some(failed) = failed.filter(|_| ended.is_some_and(|ended| unsuccessful.contains(&ended))) else {
            return Err(refused("ExecutionNotRedrivable", "it has not failed"));
        };
        let failed = &failed["stateEnteredEventDetails"];
        let machine = emulator.ask("DescribeStateMachineForExecution", &json!({ "executionArn": arn })).await?;
        let definition = machine["definition"].as_str().unwrap_or_default();
        let mut definition: Value = serde_json::from_str(definition).unwrap_or_default();
        definition["StartAt"] = failed["name"].clone();
        let number = self.of(arn).len() + 1;
        let name = format!("{}-redrive-{number}", arn.rsplit(':').next().unwrap_or_default());
        let rest = json!({"name": name, "definition": definition.to_string(), "roleArn": machine["roleArn"]});
        let rest = emulator.ask("CreateStateMachine", &rest).await?;
        let start = json!({"stateMachineArn": rest["stateMachineArn"], "name": name, "input": failed["input"]});
        let rest = emulator.ask("StartExecution", &start).await?;
        let at_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        let rest = rest["executionArn"].as_str().unwrap_or_default().to_owned();
        let redrive = Redrive { rest, at_s, enters_again };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(arn.to_owned()).or_default().push(redrive);
        Ok(json!({ "redriveDate": at_s }))
    }

    /// DescribeExecution's or ListExecutions' answer, with what redrives changed: status, count and date.
    pub(crate) async fn patched(&self, emulator: &Emulator, mut answer: Value) -> Answer {
        if let Some(list) = answer["executions"].as_array_mut() {
            for item in list {
                self.patch(emulator, item).await?;
            }
        } else {
            self.patch(emulator, &mut answer).await?;
        }
        Ok(answer)
    }

    async fn patch(
        &self,
        emulator: &Emulator,
        execution: &mut Value,
    ) -> std::result::Result<(), axum::response::Response> {
        let redrives = self.of(execution["executionArn"].as_str().unwrap_or_default());
        execution["redriveCount"] = json!(redrives.len());
        if let Some(redrive) = redrives.last() {
            let rest = emulator.ask("DescribeExecution", &json!({ "executionArn": redrive.rest })).await?;
            execution["redriveDate"] = json!(redrive.at_s);
            execution["status"] = rest["status"].clone();
            execution["stopDate"] = rest["stopDate"].clone();
        }
        Ok(())
    }

    /// The whole history.
    pub(crate) async fn history(
        &self,
        emulator: &Emulator,
        arn: &str,
    ) -> std::result::Result<Vec<Value>, axum::response::Response> {
        let mut events = events(emulator, arn).await?;
        for (number, redrive) in (1..).zip(self.of(arn)) {
            let last = events.last().map_or(0, id);
            events.push(json!({
                "id": last + 1, "previousEventId": last, "type": "ExecutionRedriven", "timestamp": redrive.at_s,
                "executionRedrivenEventDetails": { "redriveCount": number },
            }));
            // The rest's own start is not told, and perhaps not its first entry: ids stay dense.
            let hidden = if redrive.enters_again { 1 } else { 2 };
            for mut event in self::events(emulator, &redrive.rest).await?.into_iter().filter(|event| id(event) > hidden)
            {
                let moved = |id: u64| last + 1 + id.saturating_sub(hidden);
                let (id, previous) = (id(&event), event["previousEventId"].as_u64().unwrap_or_default());
                event["id"] = json!(moved(id));
                event["previousEventId"] = json!(moved(previous));
                events.push(event);
            }
        }
        Ok(events)
    }
}

fn id(event: &Value) -> u64 {
    event["id"].as_u64().unwrap_or_default()
}

async fn events(emulator: &Emulator, arn: &str) -> std::result::Result<Vec<Value>, axum::response::Response> {
    let mut events = Vec::new();
    let mut request = json!({ "executionArn": arn, "maxResults": 1_000 });
    loop {
        let mut answer = emulator.ask("GetExecutionHistory", &request).await?;
        events.append(answer["events"].as_array_mut().unwrap_or(&mut Vec::new()));
        match answer["nextToken"].take() {
            Value::Null => return Ok(events),
            token => request["nextToken"] = token,
        }
    }
}
