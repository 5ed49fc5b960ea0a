//! Imports a run recorded elsewhere, of any engine: documents in, the same ids, registrations and publications out.

use alloy::{
    primitives::{Address, Bytes},
    sol_types::SolCall,
};
use runproof_contracts::InstanceRegistry::multicallCall;
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    head::{self, Outcome},
    history::CapturedState,
    model::StateSelection,
    trace::{Trace, TraceError},
};
use serde_json::{Map, Value};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::{
    arn::{ExecutionArn, last_part, state_machine_name},
    capture::store_states,
    chain::{OnChain, Quote},
    executor::Executor,
    model_settings::show_selection,
    open::Open,
    plan::{Captured, OpenStates, open_registrations},
};

/// An imported run, registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imported {
    /// SHA-256 of the model's bytes.
    pub model_id: ModelId,
    /// SHA-256 of the instance document's bytes.
    pub instance_id: InstanceId,
    /// Ids of the states, in order.
    pub states: Vec<StateId>,
    /// How the run ended, if its document says that it has.
    pub outcome: Option<Outcome>,
}

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
    fn model_id(&self) -> ModelId {
        ModelId::of(&self.model)
    }

    fn instance_id(&self) -> InstanceId {
        InstanceId::of(&self.instance)
    }
}

/// The contract's call that registers all of a run at once as `issuer`, for whoever is to send it. `model_registered`: the issuer's model is there.
/// A node relays transactions of 128 KB at most, which are some 3,900 states.
///
/// # Errors
/// If the documents do not fit each other.
pub fn registration(
    documents: &Documents,
    selection: StateSelection,
    issuer: Address,
    model_registered: bool,
) -> Result<Bytes, ImportError> {
    let calls = calls(documents, selection, issuer, None, model_registered)?;
    Ok(multicallCall { calls }.abi_encode().into())
}

/// What is open of these documents, given what the contract holds of them.
fn calls(
    documents: &Documents,
    selection: StateSelection,
    issuer: Address,
    on_chain: Option<OnChain>,
    model_registered: bool,
) -> Result<Vec<Bytes>, ImportError> {
    let recorded = check(documents, selection)?;
    let registered = on_chain.map_or(0, |known| known.count) as usize;
    let open = recorded.states.iter().skip(registered).map(|state| (state.id, state.predecessor)).collect();
    let captured = Captured {
        model: documents.model_id(),
        instance: documents.instance_id(),
        count: recorded.states.len() as u64,
        open: OpenStates::Listed(open),
        ended: recorded.outcome,
    };
    let plan = open_registrations(captured, on_chain, model_registered);
    Ok(plan.iter().map(|registration| registration.call(issuer)).collect())
}

/// Documents that fit each other.
struct Recorded {
    model_name: String,
    states: Vec<CapturedState>,
    started_at: OffsetDateTime,
    outcome: Option<Outcome>,
}

impl Executor {
    /// Imports a run: the documents are kept, hashed and published byte for byte as given. Returns when all of it is registered and included.
    /// Harmless to repeat.
    ///
    /// # Errors
    /// [`ImportError`] before anything is stored, or what did not answer.
    pub async fn import(&self, documents: &Documents, selection: StateSelection) -> eyre::Result<Imported> {
        let recorded = check(documents, selection)?;
        let (model_id, instance_id) = (documents.model_id(), documents.instance_id());
        self.require_model(instance_id, model_id).await?;
        self.require_public(model_id).await?;
        self.store_model(model_id, &recorded.model_name, &documents.model, selection.into()).await?;
        self.store_recorded(model_id, instance_id, &documents.instance, &recorded).await?;
        self.register_until_done(Open::Instance(instance_id)).await?;
        let states = recorded.states.iter().map(|state| state.id).collect();
        Ok(Imported { model_id, instance_id, states, outcome: recorded.outcome })
    }

    /// What [`Executor::import`] would take of the chain, in one transaction; stores and sends nothing.
    ///
    /// # Errors
    /// [`ImportError`], or [`crate::chain::SignError`]: it takes more gas than one transaction may have.
    pub async fn quote_import(&self, documents: &Documents, selection: StateSelection) -> eyre::Result<Quote> {
        self.require_model(documents.instance_id(), documents.model_id()).await?;
        let model_known = self.chain.model_block(documents.model_id()).await?.is_some();
        let on_chain = self.chain.instance(documents.instance_id()).await?;
        let calls = calls(documents, selection, self.chain.issuer, on_chain, model_known)?;
        Ok(self.chain.quote(calls).await?)
    }

    /// An instance that is known stays with its model.
    async fn require_model(&self, instance: InstanceId, model: ModelId) -> eyre::Result<()> {
        let stored: Option<Vec<u8>> =
            sqlx::query_scalar("select model_id from executor.instance where instance_id = $1")
                .bind(instance.as_slice())
                .fetch_optional(&self.pool)
                .await?;
        match stored.map(|stored| ModelId::try_from(&stored[..])).transpose()? {
            Some(stored) if stored != model => Err(ImportError::OtherModel { instance, model: stored }.into()),
            _ => Ok(()),
        }
    }

    /// What is imported is published as it is.
    async fn require_public(&self, model: ModelId) -> eyre::Result<()> {
        let private = "select exists (select from executor.model where model_id = $1 and privacy = 'committed')";
        let private: bool = sqlx::query_scalar(private).bind(model.as_slice()).fetch_one(&self.pool).await?;
        if private { Err(ImportError::Private(model).into()) } else { Ok(()) }
    }

    async fn store_recorded(
        &self,
        model: ModelId,
        instance: InstanceId,
        document: &[u8],
        recorded: &Recorded,
    ) -> eyre::Result<()> {
        let mut sql = self.pool.begin().await?;
        let inserted = sqlx::query(
            "insert into executor.instance (instance_id, model_id, document, ended_as, started_at, privacy) values ($1, $2, $3, $4, $5, 'published')
             on conflict (instance_id) do nothing",
        )
        .bind(instance.as_slice())
        .bind(model.as_slice())
        .bind(document)
        .bind(recorded.outcome.map(|outcome| outcome.to_string()))
        .bind(recorded.started_at)
        .execute(&mut *sql)
        .await?;
        if inserted.rows_affected() == 1 {
            store_states(&mut sql, instance, &recorded.states).await?;
            return Ok(sql.commit().await?);
        }
        let stored: Vec<Vec<u8>> =
            sqlx::query_scalar("select state_id from executor.state where instance_id = $1 order by sequence")
                .bind(instance.as_slice())
                .fetch_all(&mut *sql)
                .await?;
        if !stored.iter().map(Vec::as_slice).eq(recorded.states.iter().map(|state| state.id.as_slice())) {
            return Err(ImportError::OtherStates(instance).into());
        }
        Ok(())
    }
}

/// Reads the documents and compares what they say of each other.
fn check(documents: &Documents, selection: StateSelection) -> Result<Recorded, ImportError> {
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
