//! Map Runs of recorded executions: DescribeMapRun, and ListExecutions of one.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/apireference/API_DescribeMapRun.html>

use axum::response::Response;
use serde_json::{Value, json};

use super::{Played, Recording, page};
use crate::aws_json::{accepted, refused};

impl Played {
    /// The executions of a Map Run that have begun, newest first as AWS lists them.
    fn begun_by(&self, map_run_arn: &Value) -> Vec<&Recording> {
        let of_it = |one: &&Recording| one.map_run_arn.as_deref() == map_run_arn.as_str();
        let mut begun: Vec<_> =
            self.recordings.values().filter(of_it).filter(|one| !self.seen(one).is_empty()).collect();
        begun.sort_by(|one, other| other.start_date.total_cmp(&one.start_date));
        begun
    }

    /// The execution that started a Map Run, once it has.
    fn parent_of(&self, map_run_arn: &Value) -> Option<&Recording> {
        let tells = |event: &Value| event["mapRunStartedEventDetails"]["mapRunArn"] == *map_run_arn;
        let parent = self.recordings.values().find(|one| self.seen(one).iter().any(tells));
        parent.filter(|_| map_run_arn.is_string())
    }

    pub(super) fn executions_of_map_run(&self, request: &Value) -> Response {
        let Some(parent) = self.parent_of(&request["mapRunArn"]) else { return no_map_run() };
        let all = self.begun_by(&request["mapRunArn"]);
        let Some((from, to)) = page(request, all.len(), parent.page) else {
            return refused("InvalidToken", "not a token of this endpoint");
        };
        let mut answer =
            json!({ "executions": all[from..to].iter().map(|one| self.execution(one)).collect::<Vec<_>>() });
        if to < all.len() {
            answer["nextToken"] = json!(format!("from-{to}"));
        }
        accepted(&answer)
    }

    pub(super) fn map_run(&self, request: &Value) -> Response {
        let map_run = &request["mapRunArn"];
        let Some(parent) = self.parent_of(map_run) else { return no_map_run() };
        let begun = self.begun_by(map_run);
        let of = |status| begun.iter().filter(|one| self.execution(one)["status"] == status).count();
        let (running, failed) = (of("RUNNING"), of("FAILED"));
        // A redrive opens it again.
        let last = self.seen(parent).iter().rfind(|event| {
            ["MapRunSucceeded", "MapRunFailed", "MapRunRedriven"].iter().any(|of_it| event["type"] == *of_it)
        });
        let (status, end) = match last.map(|event| &event["type"]) {
            Some(ended) if ended == "MapRunSucceeded" => ("SUCCEEDED", last),
            Some(ended) if ended == "MapRunFailed" => ("FAILED", last),
            _ => ("RUNNING", None),
        };
        let counts = json!({
            "pending": 0, "running": running, "succeeded": begun.len() - running - failed, "failed": failed, "timedOut": 0,
            "aborted": 0, "total": begun.len(), "resultsWritten": 0,
        });
        accepted(&json!({
            "mapRunArn": map_run,
            "executionArn": parent.execution_arn,
            "status": status,
            "startDate": parent.start_date,
            "stopDate": end.map(|event| &event["timestamp"]),
            "maxConcurrency": 0,
            "toleratedFailurePercentage": 0.0,
            "toleratedFailureCount": 0,
            "itemCounts": counts,
            "executionCounts": counts,
        }))
    }
}

fn no_map_run() -> Response {
    refused("ResourceNotFound", "no such Map Run")
}
