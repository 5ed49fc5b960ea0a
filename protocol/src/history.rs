//! From a Step Functions execution history to captured states.
//!
//! The history (GetExecutionHistory) is the truth: events numbered 1, 2, 3, …, each with the id of the event before it on its branch.

use serde::{Deserialize, Serialize};

use crate::{
    StateId,
    commitment::{Commitment, Salt},
    detail::Detail,
    head::Outcome,
    model::{ModelSettings, Privacy, StateSelection},
    trace::{Entry, TraceHasher, separator},
};

/// What captured states say of their execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Execution {
    /// Name of the state machine.
    pub model_name: String,
    /// Name of the execution.
    pub name: String,
    /// Cloud region.
    pub region: String,
    /// Cloud account.
    pub account: String,
}

/// One event of an execution history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEvent {
    /// From 1.
    pub id: u64,
    /// The event before it on its branch, 0 for none.
    pub previous_id: u64,
    /// Such as `TaskStateEntered`.
    pub event_type: String,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// Name of the state, where the event has one.
    pub state_name: Option<String>,
    /// Input of the state entered, JSON text.
    pub input: Option<String>,
    /// ARN of the Map Run or execution that the event tells to have been started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<String>,
    /// By which a private model commits to the input. It is no part of what the engine tells, and is kept with the event from its capture on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<Salt>,
    /// What it tells besides. Nothing that is captured follows from it, so it is kept apart from the event.
    #[serde(skip)]
    pub detail: Detail,
}

impl HistoryEvent {
    /// How the execution ended, if it did so by this event.
    pub fn ending(&self) -> Option<Outcome> {
        match self.event_type.as_str() {
            "ExecutionSucceeded" => Some(Outcome::Succeeded),
            "ExecutionFailed" => Some(Outcome::Failed),
            "ExecutionTimedOut" => Some(Outcome::TimedOut),
            "ExecutionAborted" => Some(Outcome::Aborted),
            _ => None,
        }
    }

    /// Whether an execution that had ended without success begins again with this event, from where it failed.
    pub fn redrives(&self) -> bool {
        self.event_type == "ExecutionRedriven"
    }
}

/// A state as it is to be registered and published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturedState {
    /// Place in the instance, from 0.
    pub sequence: u64,
    /// Its id.
    pub id: StateId,
    /// Sequence number of the state it was entered from.
    pub predecessor: Option<u32>,
    /// Id of its history event.
    pub event_id: u64,
    /// When it was entered, milliseconds since the Unix epoch.
    pub entered_at_ms: i64,
    /// Name of the state in the model.
    pub name: String,
    /// The bytes it adds to the trace, separator included.
    pub part: String,
    /// Length of the trace up to and including it, without the closing `]`.
    pub trace_len: u64,
}

/// An event that does not fit what was captured before it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HistoryError {
    /// The event was captured already.
    #[error("history event {found} repeats: event {last} was captured before it")]
    Repeated {
        /// Last event captured.
        last: u64,
        /// The event.
        found: u64,
    },
    /// A state without a name.
    #[error("history event {0} enters a state but names none")]
    Unnamed(u64),
    /// An input that the trace would tell, of a model that is private.
    #[error("history event {0} has an input and no salt to commit to it by")]
    Unsalted(u64),
}

/// Captures the states of one execution, event by event.
#[derive(Debug, Clone)]
pub struct Capture {
    execution: Execution,
    settings: ModelSettings,
    hasher: TraceHasher,
    count: u64,
    last_event_id: u64,
    /// For each event id, what its branch had reached.
    reached: Vec<Reached>,
}

/// The last states on an event's branch, that event included.
#[derive(Debug, Clone, Copy, Default)]
struct Reached {
    /// The last captured: its place in the instance.
    state: Option<u32>,
    /// The last entered, captured or not: its event.
    entered: Option<u64>,
}

impl Capture {
    /// Nothing captured yet.
    pub fn new(execution: Execution, settings: ModelSettings) -> Self {
        Self {
            execution,
            settings,
            hasher: TraceHasher::default(),
            count: 0,
            last_event_id: 0,
            reached: vec![Reached::default()],
        }
    }

    /// The part of an execution that follows this event, with a trace of its own.
    pub fn after(execution: Execution, settings: ModelSettings, last_event_id: u64) -> Self {
        Self { last_event_id, ..Self::new(execution, settings) }
    }

    /// Id of the last event taken, 0 for none: the checkpoint to resume from.
    pub fn last_event_id(&self) -> u64 {
        self.last_event_id
    }

    /// States captured so far.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Takes the next event; returns the state if it is one.
    ///
    /// # Errors
    /// [`HistoryError`] if the event does not follow; the capture is unchanged then.
    pub fn take(&mut self, event: &HistoryEvent) -> Result<Option<CapturedState>, HistoryError> {
        if event.id <= self.last_event_id {
            return Err(HistoryError::Repeated { last: self.last_event_id, found: event.id });
        }
        let is_state = self.settings.selection.includes(&event.event_type);
        if is_state && event.state_name.is_none() {
            return Err(HistoryError::Unnamed(event.id));
        }
        if self.settings.privacy == Privacy::Committed && event.input.is_some() && event.salt.is_none() {
            return Err(HistoryError::Unsalted(event.id));
        }
        let before = self.reached(event.previous_id);
        self.last_event_id = event.id;
        let state = is_state.then(|| self.capture(event, before.state));
        let entered = StateSelection::All.includes(&event.event_type).then_some(event.id);
        let reached = Reached {
            state: state.as_ref().and_then(|state| u32::try_from(state.sequence).ok()).or(before.state),
            entered: entered.or(before.entered),
        };
        // Ids are dense in a real history; a recorded one may have holes, which lead nowhere.
        if let Ok(index) = usize::try_from(event.id)
            && index < self.reached.len() + MAX_HOLE
        {
            self.reached.resize(index, Reached::default());
            self.reached.push(reached);
        }
        Ok(state)
    }

    /// The event with which the state was entered in which an event taken before happened; `None` if that is not part of the instance.
    pub fn entered(&self, event_id: u64) -> Option<u64> {
        self.reached(event_id).entered
    }

    fn reached(&self, event_id: u64) -> Reached {
        usize::try_from(event_id).ok().and_then(|index| self.reached.get(index).copied()).unwrap_or_default()
    }

    fn capture(&mut self, event: &HistoryEvent, predecessor: Option<u32>) -> CapturedState {
        let name = event.state_name.clone().unwrap_or_default();
        let entry = self.entry(event, &name);
        let part = format!("{}{}", separator(self.count), entry.to_json());
        let id = self.hasher.append(part.as_bytes());
        let sequence = self.count;
        self.count += 1;
        CapturedState {
            sequence,
            id,
            predecessor,
            event_id: event.id,
            entered_at_ms: event.timestamp_ms,
            name,
            part,
            trace_len: self.hasher.len(),
        }
    }

    fn entry(&self, event: &HistoryEvent, state_name: &str) -> Entry {
        let Execution { model_name, name, region, account } = &self.execution;
        Entry {
            state_id: format!("{model_name}-{name}-{}", event.id),
            model_id: model_name.clone(),
            instance_id: name.clone(),
            state_name: state_name.to_owned(),
            timestamp: event.timestamp_ms.to_string(),
            region: Some(region.clone()),
            client: Some(account.clone()),
            event_type: event.event_type.clone(),
            id: event.id.to_string(),
            task_input: match (&event.input, event.salt) {
                (Some(input), Some(salt)) => Some(Commitment::to(input.as_bytes(), salt).to_string()),
                (input, _) => input.clone(),
            },
            task_output: None,
            task_input_detail: None,
            task_output_detail: None,
        }
    }
}

/// An execution ends at 25,000 events, so no honest hole is larger.
const MAX_HOLE: usize = 25_000;

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
