//! A Step Functions endpoint that serves one recorded execution, speaking AWS JSON 1.0 as AWS does: orders, pages and page tokens included.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::{Value, json};

/// One execution as it is served.
#[derive(Debug, Clone)]
pub struct RecordedHistory {
    /// The execution's ARN.
    pub execution_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// The state machine's definition.
    pub definition: String,
    /// Seconds since the Unix epoch.
    pub start_date: f64,
    /// Such as `SUCCEEDED`.
    pub status: String,
    /// As GetExecutionHistory gives them, by rising id.
    pub events: Vec<Value>,
    /// Events a page at most, whatever the caller asks for.
    pub page: usize,
}

impl RecordedHistory {
    /// The execution that a model, an instance document and the trace of its last state tell of.
    pub fn of_documents(model: &[u8], instance: &[u8], trace: &[u8]) -> Self {
        let instance: Value = serde_json::from_slice(instance).expect("an instance document");
        let trace: Vec<Value> = serde_json::from_slice(trace).expect("a trace");
        let text = |field: &str| instance[field].as_str().expect("a string").to_owned();
        let events: Vec<Value> = trace.iter().map(event).collect();
        Self {
            execution_arn: text("executionArn"),
            state_machine_arn: text("stateMachineArn"),
            definition: String::from_utf8(model.to_vec()).expect("UTF-8"),
            start_date: events[0]["timestamp"].as_f64().expect("a number").floor(),
            status: text("status"),
            events,
            page: 5,
        }
    }

    /// Serves it on loopback until the runtime ends; returns the endpoint's URL.
    pub async fn serve(self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let router = Router::new().route("/", post(answer)).with_state(Arc::new(self));
        tokio::spawn(async move { axum::serve(listener, router).await });
        url
    }
}

/// A trace's entry as the history event it was made from.
fn event(entry: &Value) -> Value {
    let digits = |field: &str| entry[field].as_str().and_then(|digits| digits.parse::<i64>().ok()).expect("digits");
    let (id, timestamp_ms) = (digits("id"), digits("timestamp"));
    json!({
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
    })
}

async fn answer(State(recorded): State<Arc<RecordedHistory>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refused("SerializationException", "not JSON");
    };
    let known = |field: &str, arn: &str| request[field].as_str() == Some(arn);
    let of_execution = known("executionArn", &recorded.execution_arn);
    let of_machine = known("stateMachineArn", &recorded.state_machine_arn);
    match target.strip_prefix("AWSStepFunctions.").unwrap_or_default() {
        "GetExecutionHistory" if of_execution => recorded.history(&request),
        "DescribeExecution" if of_execution => accepted(&recorded.execution()),
        "DescribeStateMachineForExecution" if of_execution => accepted(&recorded.state_machine()),
        "DescribeStateMachine" if of_machine => accepted(&recorded.state_machine()),
        "ListExecutions" if of_machine => accepted(&json!({ "executions": [recorded.execution()] })),
        "GetExecutionHistory" | "DescribeExecution" | "DescribeStateMachineForExecution" => {
            refused("ExecutionDoesNotExist", "no such execution")
        }
        "DescribeStateMachine" | "ListExecutions" => refused("StateMachineDoesNotExist", "no such state machine"),
        _ => refused("UnknownOperationException", "this endpoint serves a recorded execution only"),
    }
}

impl RecordedHistory {
    fn execution(&self) -> Value {
        json!({
            "executionArn": self.execution_arn,
            "stateMachineArn": self.state_machine_arn,
            "name": self.execution_arn.rsplit(':').next(),
            "status": self.status,
            "startDate": self.start_date,
        })
    }

    fn state_machine(&self) -> Value {
        json!({
            "stateMachineArn": self.state_machine_arn,
            "name": self.state_machine_arn.rsplit(':').next(),
            "definition": self.definition,
            "roleArn": "arn:aws:iam::726210406721:role/recorded",
            "type": "STANDARD",
            "status": "ACTIVE",
            "creationDate": self.start_date,
            "updateDate": self.start_date,
        })
    }

    fn history(&self, request: &Value) -> Response {
        let mut events = self.events.clone();
        if request["reverseOrder"] == json!(true) {
            events.reverse();
        }
        let asked = request["maxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(100);
        let from = match &request["nextToken"] {
            Value::Null => 0,
            token => match token.as_str().and_then(|token| token.strip_prefix("from-")?.parse::<usize>().ok()) {
                Some(from) if from <= events.len() => from,
                _ => return refused("InvalidToken", "not a token of this endpoint"),
            },
        };
        let to = events.len().min(from + asked.min(self.page));
        let mut page = json!({ "events": events[from..to] });
        if to < events.len() {
            page["nextToken"] = json!(format!("from-{to}"));
        }
        accepted(&page)
    }
}

const AWS_JSON: [(axum::http::HeaderName, &str); 1] = [(CONTENT_TYPE, "application/x-amz-json-1.0")];

fn accepted(answer: &Value) -> Response {
    (AWS_JSON, answer.to_string()).into_response()
}

fn refused(kind: &str, message: &str) -> Response {
    (StatusCode::BAD_REQUEST, AWS_JSON, json!({ "__type": kind, "message": message }).to_string()).into_response()
}
