//! The documents of a recorded run: what they say, and whether they fit each other.

use runproof_protocol::{
    InstanceId, ModelId,
    head::{self, Outcome},
    history::CapturedState,
    model::StateSelection,
    trace::{Trace, TraceError},
};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    arn::{ExecutionArn, last_part, state_machine_name},
    model_settings::show_selection,
};

/// Why documents are refused; nothing was stored or registered.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Not a JSON object.
    #[error("the {document} is not a JSON object: {reason}")]
    NotAnObject {
        /// Which document.
        document: &'static str,
        /// What the parser found.
        reason: serde_json::Error,
    },
    /// The trace does not hold together.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// The trace belongs to another run or model than the instance document.
    #[error(
        "the trace is of {field} `{trace}`, the instance document says `{document}`: they belong to different runs"
    )]
    Differs {
        /// `execution` or `state machine`.
        field: &'static str,
        /// By the trace.
        trace: String,
        /// By the instance document.
        document: String,
    },
    /// An event that is no state by the selection.
    #[error(
        "event {index} of the trace has the type `{event_type}`, which the selection `{selection}` does not take for a state"
    )]
    NotAState {
        /// Zero-based place in the list.
        index: usize,
        /// Its type.
        event_type: String,
        /// The selection.
        selection: &'static str,
    },
    /// A field that is there, but is not text.
    #[error("the instance document's `{0}` is not a string: give text, or leave it out")]
    NotText(&'static str),
    /// One document cannot be both: the site serves each under its id.
    #[error("model and instance document are the same bytes: give the model, and what is known of the execution")]
    SameDocument,
    /// The same instance was imported before under another model.
    #[error("instance {instance} is there already as a run of model {model}: import it with that model")]
    OtherModel {
        /// The instance.
        instance: InstanceId,
        /// Its model.
        model: ModelId,
    },
    /// The model's inputs are not to be published.
    #[error("model {0} was deployed with committed inputs, and an import publishes them: follow the execution instead")]
    Private(ModelId),
    /// A status that is none of AWS's.
    #[error(
        "the instance document has the status `{0}`: give RUNNING, SUCCEEDED, FAILED, TIMED_OUT or ABORTED, or leave it out"
    )]
    UnknownStatus(String),
    /// A time that cannot be read.
    #[error("the instance document has the startDate `{0}`: give RFC 3339, or leave it out")]
    BadStart(String),
    /// The same instance was imported before with other states.
    #[error("instance {0} is there already with other states: a run is imported once")]
    OtherStates(InstanceId),
}

/// A recorded run, as it is published: bytes whose hashes are its ids.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The model, a JSON object.
    pub model: Vec<u8>,
    /// What is known of the execution, a JSON object.
    pub instance: Vec<u8>,
    /// A JSON list of state events.
    pub trace: Vec<u8>,
}

impl Documents {
    pub(super) fn model_id(&self) -> ModelId {
        ModelId::of(&self.model)
    }

    pub(super) fn instance_id(&self) -> InstanceId {
        InstanceId::of(&self.instance)
    }
}

/// Documents that fit each other.
pub(super) struct Recorded {
    pub(super) model_name: String,
    pub(super) states: Vec<CapturedState>,
    pub(super) started_at: OffsetDateTime,
    pub(super) outcome: Option<Outcome>,
}

/// Reads the documents and compares what they say of each other.
pub(super) fn check(documents: &Documents, selection: StateSelection) -> Result<Recorded, ImportError> {
    let Documents { model, instance, trace } = documents;
    object("model", model)?;
    if model == instance {
        return Err(ImportError::SameDocument);
    }
    let document = object("instance document", instance)?;
    let trace = Trace::parse(trace)?;
    for field in ["name", "executionArn", "stateMachineArn", "status", "startDate"] {
        if document.get(field).is_some_and(|value| !value.is_string() && !value.is_null()) {
            return Err(ImportError::NotText(field));
        }
    }
    let text = |field: &str| document.get(field).and_then(Value::as_str);
    // Trace::parse gives at least one state, and the same run and model in all of them.
    let first = trace.states.first().ok_or(TraceError::Empty)?;
    agree("execution", &first.entry.instance_id, text("name"))?;
    agree("execution", &first.entry.instance_id, text("executionArn").map(last_part))?;
    if let Some(Ok(arn)) = text("executionArn").map(str::parse::<ExecutionArn>) {
        agree("state machine", &first.entry.model_id, Some(&arn.state_machine))?;
        agree("region", first.entry.region.as_deref().unwrap_or(&arn.region), Some(&arn.region))?;
        agree("account", first.entry.client.as_deref().unwrap_or(&arn.account), Some(&arn.account))?;
    }
    agree("state machine", &first.entry.model_id, text("stateMachineArn").map(state_machine_name))?;
    for (index, state) in trace.states.iter().enumerate() {
        let event_type = &state.entry.event_type;
        // Another engine names its events otherwise: all that are recorded are states, if all are wanted.
        if selection == StateSelection::Tasks && !selection.includes(event_type) {
            let (event_type, selection) = (event_type.clone(), show_selection(selection));
            return Err(ImportError::NotAState { index, event_type, selection });
        }
    }
    Ok(Recorded {
        model_name: first.entry.model_id.clone(),
        started_at: started_at(text("startDate"), first.entered_at_ms)?,
        outcome: outcome(text("status"))?,
        states: captured(trace),
    })
}

fn object(document: &'static str, bytes: &[u8]) -> Result<Map<String, Value>, ImportError> {
    serde_json::from_slice(bytes).map_err(|reason| ImportError::NotAnObject { document, reason })
}

fn agree(field: &'static str, trace: &str, document: Option<&str>) -> Result<(), ImportError> {
    match document {
        Some(document) if document != trace => {
            Err(ImportError::Differs { field, trace: trace.to_owned(), document: document.to_owned() })
        }
        _ => Ok(()),
    }
}

fn outcome(status: Option<&str>) -> Result<Option<Outcome>, ImportError> {
    match status {
        None | Some("RUNNING" | "PENDING_REDRIVE") => Ok(None),
        Some("SUCCEEDED") => Ok(Some(Outcome::Succeeded)),
        Some("FAILED") => Ok(Some(Outcome::Failed)),
        Some("TIMED_OUT") => Ok(Some(Outcome::TimedOut)),
        Some("ABORTED") => Ok(Some(Outcome::Aborted)),
        Some(other) => Err(ImportError::UnknownStatus(other.to_owned())),
    }
}

fn started_at(start_date: Option<&str>, first_state_ms: i64) -> Result<OffsetDateTime, ImportError> {
    match start_date {
        Some(text) => OffsetDateTime::parse(text, &Rfc3339).map_err(|_| ImportError::BadStart(text.to_owned())),
        None => OffsetDateTime::from_unix_timestamp_nanos(i128::from(first_state_ms) * 1_000_000)
            .map_err(|_| ImportError::BadStart(first_state_ms.to_string())),
    }
}

/// A recorded trace tells no branches: each state follows the one before it.
fn captured(trace: Trace) -> Vec<CapturedState> {
    let mut trace_len = 0;
    (0..)
        .zip(trace.states)
        .map(|(sequence, state)| {
            trace_len += state.part.len() as u64;
            CapturedState {
                sequence,
                id: state.id,
                predecessor: head::default_predecessor(sequence),
                event_id: state.event_id,
                entered_at_ms: state.entered_at_ms,
                name: state.entry.state_name,
                part: state.part,
                trace_len,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use runproof_protocol::StateId;

    use super::*;

    const MODEL: &[u8] = b"{}";
    const INSTANCE: &str = r#"{"executionArn": "arn:aws:states:r:1:execution:m:x", "stateMachineArn": "arn:aws:states:r:1:stateMachine:m",
        "name": "x", "status": "SUCCEEDED", "startDate": "2023-03-10T11:13:09.284000+01:00"}"#;

    fn trace(execution: &str, event_type: &str) -> String {
        let entry = |id: u32| {
            format!(
                r#"{{"state_id": "m-{execution}-{id}", "model_id": "m", "instance_id": "{execution}", "state_name": "S",
                "timestamp": "7", "type": "{event_type}", "id": "{id}", "task_input": "\u0000\u00e9"}}"#
            )
        };
        format!("[{}, {}]", entry(2), entry(15))
    }

    fn documents(model: &[u8], instance: &str, trace: &str) -> Documents {
        Documents { model: model.into(), instance: instance.into(), trace: trace.into() }
    }

    fn refused(model: &[u8], instance: &str, trace: &str) -> ImportError {
        check(&documents(model, instance, trace), StateSelection::Tasks).err().expect("refused")
    }

    #[test]
    fn documents_that_fit_become_a_linear_run() {
        let trace = trace("x", "TaskStateEntered");
        let run = check(&documents(MODEL, INSTANCE, &trace), StateSelection::Tasks).expect("they fit");
        assert_eq!((run.model_name.as_str(), run.outcome), ("m", Some(Outcome::Succeeded)));
        assert_eq!(run.started_at.unix_timestamp(), 1_678_443_189);
        let links: Vec<_> = run.states.iter().map(|state| (state.event_id, state.predecessor)).collect();
        assert_eq!(links, [(2, None), (15, Some(0))]);
        assert_eq!(run.states[1].id, StateId::of(trace.as_bytes()));
        assert_eq!(run.states[1].trace_len, trace.len() as u64 - 1);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_reason() {
        let fits = trace("x", "TaskStateEntered");
        assert!(matches!(refused(b"[]", INSTANCE, &fits), ImportError::NotAnObject { document: "model", .. }));
        assert!(matches!(refused(MODEL, "no", &fits), ImportError::NotAnObject { document: "instance document", .. }));
        assert!(matches!(refused(MODEL, INSTANCE, "{}"), ImportError::Trace(TraceError::NotAList(_))));
        let other_run = refused(MODEL, INSTANCE, &trace("y", "TaskStateEntered"));
        assert!(matches!(other_run, ImportError::Differs { field: "execution", .. }));
        let other_arn = refused(MODEL, &INSTANCE.replace("execution:m:x", "execution:n:x"), &fits);
        assert!(matches!(other_arn, ImportError::Differs { field: "state machine", .. }));
        let number = refused(MODEL, &INSTANCE.replace("\"SUCCEEDED\"", "5"), &fits);
        assert!(matches!(number, ImportError::NotText("status")));
        assert!(matches!(refused(INSTANCE.as_bytes(), INSTANCE, &fits), ImportError::SameDocument));
        let other_model = refused(MODEL, &INSTANCE.replace("stateMachine:m", "stateMachine:n"), &fits);
        assert!(matches!(other_model, ImportError::Differs { field: "state machine", .. }));
        let no_task = refused(MODEL, INSTANCE, &trace("x", "PassStateEntered"));
        assert!(matches!(no_task, ImportError::NotAState { index: 0, .. }));
        assert!(matches!(refused(MODEL, &INSTANCE.replace("SUCC", "PRO"), &fits), ImportError::UnknownStatus(_)));
        assert!(matches!(refused(MODEL, &INSTANCE.replace("2023", "23"), &fits), ImportError::BadStart(_)));
    }

    #[test]
    fn other_engines_name_their_events_as_they_like() {
        let trace = trace("x", "ActivityBegun");
        let documents = documents(br#"{"a": 1}"#, "{}", &trace);
        assert!(check(&documents, StateSelection::All).is_ok_and(|run| run.outcome.is_none()));
    }
}
