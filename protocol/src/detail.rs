//! What a history tells of an event besides what states are captured from: how an attempt, a state or a run came out. Nothing of it goes into a trace; it is
//! published in the trace's companion document, `/<instance>/events.json`.

use serde::{Deserialize, Serialize};

/// Details of one event, under the names that AWS has for them
/// (<https://docs.aws.amazon.com/step-functions/latest/apireference/API_HistoryEvent.html>). Those are absent that the event's type does not have.
///
/// Parameters of tasks and inputs of their attempts are left out: they may hold the token by which a task is completed. Inputs of states are the trace's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Detail {
    /// What the run computed.
    #[serde(flatten)]
    pub data: Data,
    /// What the task calls, such as `invoke`, or an ARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Of which service, such as `lambda`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// How long an attempt may take, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_in_seconds: Option<i64>,
    /// How long an attempt may be silent, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heartbeat_in_seconds: Option<i64>,
    /// Worker of an activity that took the task.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub worker_name: Option<String>,
    /// State of whose iteration the event tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which iteration, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<i32>,
    /// How many iterations there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<i32>,
    /// State in which an expression failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Field of that state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
    /// The Map Run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub map_run_arn: Option<String>,
    /// Which redrive it is, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrive_count: Option<i32>,
}

/// Texts that a run computes, and that may quote what it was given. A private run's are committed to, like its inputs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Data {
    /// Result of an attempt, a state or the run: JSON text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Name of the error, by which `Retry` and `Catch` choose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What is said of the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Variables that the state assigned: a JSON object of JSON texts, by rising names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assigned_variables: Option<String>,
}

impl Data {
    /// The same with each text replaced, by what is made of its field's name and it.
    #[must_use]
    pub fn map(self, mut replaced: impl FnMut(&'static str, String) -> String) -> Self {
        let mut replace = |field, text: Option<String>| text.map(|text| replaced(field, text));
        Self {
            output: replace("output", self.output),
            error: replace("error", self.error),
            cause: replace("cause", self.cause),
            assigned_variables: replace("assigned_variables", self.assigned_variables),
        }
    }
}
