//! A Step Functions endpoint that serves recorded executions, speaking AWS JSON 1.0 as AWS does: orders, pages and page tokens included.

use std::{
    collections::BTreeMap,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, response::Response, routing::post};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::aws_json::{accepted, refused};

mod counted;
mod documents;
mod map_run;

/// One execution as it is served.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The execution's ARN.
    pub execution_arn: String,
    /// The state machine's ARN.
    pub state_machine_arn: String,
    /// The version that it runs, if it was started by version or alias.
    pub version_arn: Option<String>,
    /// The Map Run that started it, if one did.
    pub map_run_arn: Option<String>,
    /// The state machine's definition.
    pub definition: String,
    /// Seconds since the Unix epoch.
    pub start_date: f64,
    /// How it ended, such as `SUCCEEDED`.
    pub status: String,
    /// As GetExecutionHistory gives them, by rising id.
    pub events: Vec<Value>,
    /// Events a page at most, whatever the caller asks for; and executions of a Map Run that it started.
    pub page: usize,
}

/// When the events of recordings are to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All at once: the executions have ended.
    Ended,
    /// As they came, counted from the moment at which they are served first: the executions run anew.
    AsItHappened,
}

/// Recordings being served on loopback, until this is dropped.
#[derive(Debug)]
pub struct Recorded {
    url: String,
    played: Arc<Played>,
    _serving: DropGuard,
}

#[derive(Debug)]
struct Played {
    recordings: BTreeMap<String, Recording>,
    pace: Pace,
    began: Instant,
    /// When the first event of all happened, Unix seconds.
    first: f64,
    /// Answered so far, by action.
    calls: Mutex<BTreeMap<String, u64>>,
    /// Calls that are yet to be refused, by action.
    refusals: Mutex<BTreeMap<String, u64>>,
}

impl Recorded {
    /// Begins to serve.
    ///
    /// # Errors
    /// No port is free.
    pub async fn serve(recordings: Vec<Recording>, pace: Pace) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let first = recordings.iter().filter_map(|one| one.events.first()).map(seconds).fold(f64::INFINITY, f64::min);
        let recordings = recordings.into_iter().map(|one| (one.execution_arn.clone(), one)).collect();
        let played = Arc::new(Played {
            recordings,
            pace,
            began: Instant::now(),
            first,
            calls: Mutex::default(),
            refusals: Mutex::default(),
        });
        let router = Router::new().route("/", post(answer)).with_state(played.clone());
        let stop = CancellationToken::new();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(async move { serving.await });
        Ok(Self { url, played, _serving: stop.drop_guard() })
    }

    /// The endpoint's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Calls answered so far.
    pub fn calls(&self) -> u64 {
        self.played.calls().values().sum()
    }

    /// Refuses the next calls of an action, as AWS refuses who may not make them.
    pub fn refuse(&self, action: &str, calls: u64) {
        self.played.refusals().insert(action.to_owned(), calls);
    }

    /// Calls of one action answered so far.
    pub fn calls_of(&self, action: &str) -> u64 {
        self.played.calls().get(action).copied().unwrap_or_default()
    }
}

impl Recording {
    /// Events until a moment, Unix seconds.
    fn until(&self, moment: f64) -> &[Value] {
        &self.events[..self.events.partition_point(|event| seconds(event) <= moment)]
    }
}

fn seconds(event: &Value) -> f64 {
    event["timestamp"].as_f64().unwrap_or_default()
}

async fn answer(State(played): State<Arc<Played>>, headers: HeaderMap, body: Bytes) -> Response {
    let target = headers.get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let action = target.strip_prefix("AWSStepFunctions.").unwrap_or_default();
    *played.calls().entry(action.to_owned()).or_default() += 1;
    if let Some(left) = played.refusals().get_mut(action).filter(|left| **left > 0) {
        *left -= 1;
        return refused("AccessDeniedException", "not allowed just now");
    }
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return refused("SerializationException", "not JSON");
    };
    let execution = request["executionArn"].as_str().and_then(|arn| played.recordings.get(arn));
    let of_machine = |one: &&Recording| request["stateMachineArn"].as_str() == Some(&one.state_machine_arn);
    let machine = || played.recordings.values().find(of_machine);
    match action {
        "ListStateMachines" => accepted(&played.state_machines()),
        "DescribeStateMachine" => machine().map_or_else(no_machine, |one| accepted(&one.state_machine())),
        "ListExecutions" if request["mapRunArn"].is_string() => played.executions_of_map_run(&request),
        "ListExecutions" => {
            let all: Vec<Value> =
                played.recordings.values().filter(of_machine).map(|one| played.execution(one)).collect();
            machine().map_or_else(no_machine, |_| accepted(&json!({ "executions": all })))
        }
        "DescribeMapRun" => played.map_run(&request),
        "DescribeExecution" => execution.map_or_else(no_execution, |one| accepted(&played.execution(one))),
        "DescribeStateMachineForExecution" => execution.map_or_else(no_execution, |one| accepted(&one.state_machine())),
        "GetExecutionHistory" => execution.map_or_else(no_execution, |one| played.history(one, &request)),
        _ => refused("UnknownOperationException", "this endpoint serves recorded executions only"),
    }
}

impl Recording {
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
}

impl Played {
    fn seen<'a>(&self, recording: &'a Recording) -> &'a [Value] {
        match self.pace {
            Pace::Ended => &recording.events,
            Pace::AsItHappened => recording.until(self.first + self.began.elapsed().as_secs_f64()),
        }
    }

    fn state_machines(&self) -> Value {
        let machines: BTreeMap<&str, Value> =
            self.recordings.values().map(|one| (one.state_machine_arn.as_str(), one.state_machine())).collect();
        json!({ "stateMachines": machines.into_values().collect::<Vec<_>>() })
    }

    fn execution(&self, recording: &Recording) -> Value {
        let seen = self.seen(recording);
        // One that failed and is redriven later has ended until then.
        let status = match seen.last().map(|event| &event["type"]) {
            _ if seen.len() == recording.events.len() => &recording.status,
            Some(last) if last == "ExecutionFailed" => "FAILED",
            _ => "RUNNING",
        };
        json!({
            "executionArn": recording.execution_arn,
            "stateMachineArn": recording.state_machine_arn,
            "name": recording.execution_arn.rsplit(':').next(),
            "stateMachineVersionArn": recording.version_arn,
            "mapRunArn": recording.map_run_arn,
            "status": status,
            "startDate": recording.start_date,
            "redriveCount": seen.iter().filter(|event| event["type"] == "ExecutionRedriven").count(),
        })
    }

    fn calls(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refusals(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.refusals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn history(&self, recording: &Recording, request: &Value) -> Response {
        let seen = self.seen(recording);
        let Some((from, to)) = page(request, seen.len(), recording.page) else {
            return refused("InvalidToken", "not a token of this endpoint");
        };
        let events: Vec<&Value> = match request["reverseOrder"] == json!(true) {
            true => seen.iter().rev().skip(from).take(to - from).collect(),
            false => seen[from..to].iter().collect(),
        };
        let mut page = json!({ "events": events });
        if to < seen.len() {
            page["nextToken"] = json!(format!("from-{to}"));
        }
        accepted(&page)
    }
}

/// From which to which of so many the page goes that is asked for; `None` if its token is of another endpoint.
fn page(request: &Value, all: usize, most: usize) -> Option<(usize, usize)> {
    let asked = request["maxResults"].as_u64().and_then(|most| usize::try_from(most).ok()).unwrap_or(100);
    let from = match &request["nextToken"] {
        Value::Null => 0,
        token => token.as_str()?.strip_prefix("from-")?.parse::<usize>().ok().filter(|from| *from <= all)?,
    };
    Some((from, all.min(from + asked.min(most))))
}

fn no_execution() -> Response {
    refused("ExecutionDoesNotExist", "no such execution")
}

fn no_machine() -> Response {
    refused("StateMachineDoesNotExist", "no such state machine")
}
