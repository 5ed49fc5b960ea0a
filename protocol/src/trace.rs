//! A run's trace: the JSON list of its state events, stored once.
//!
//! State *k* of the paper is the list of the first *k* events, so its bytes are a prefix of the whole trace plus `]`. Ids are therefore computed
//! with one running SHA-256, cloned at each state: O(n) in the trace.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::{StateId, json_dumps};

/// One state event as the paper publishes it: thirteen fields, each a string or null, in this order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// `<model name>-<execution name>-<event id>`.
    pub state_id: String,
    /// Name of the model (of the state machine).
    pub model_id: String,
    /// Name of the execution.
    pub instance_id: String,
    /// Name of the state in the model.
    pub state_name: String,
    /// When the state was entered: milliseconds since the Unix epoch, in decimal digits.
    pub timestamp: String,
    /// Cloud region.
    #[serde(default)]
    pub region: Option<String>,
    /// Cloud account.
    #[serde(default)]
    pub client: Option<String>,
    /// Type of the history event, such as `TaskStateEntered`.
    #[serde(rename = "type")]
    pub event_type: String,
    /// Id of the history event, in decimal digits.
    pub id: String,
    /// Input of the state, JSON text.
    #[serde(default)]
    pub task_input: Option<String>,
    /// Output of the state; null on entry.
    #[serde(default)]
    pub task_output: Option<String>,
    /// Details of the input; null in the paper's run.
    #[serde(default)]
    pub task_input_detail: Option<String>,
    /// Details of the output; null in the paper's run.
    #[serde(default)]
    pub task_output_detail: Option<String>,
}

impl Entry {
    /// The entry's bytes in a trace: Python's `json.dumps` default style.
    pub fn to_json(&self) -> String {
        let mut out = String::with_capacity(512);
        json_dumps::write_object(
            &mut out,
            [
                ("state_id", Some(self.state_id.as_str())),
                ("model_id", Some(&self.model_id)),
                ("instance_id", Some(&self.instance_id)),
                ("state_name", Some(&self.state_name)),
                ("timestamp", Some(&self.timestamp)),
                ("region", self.region.as_deref()),
                ("client", self.client.as_deref()),
                ("type", Some(&self.event_type)),
                ("id", Some(&self.id)),
                ("task_input", self.task_input.as_deref()),
                ("task_output", self.task_output.as_deref()),
                ("task_input_detail", self.task_input_detail.as_deref()),
                ("task_output_detail", self.task_output_detail.as_deref()),
            ],
        );
        out
    }
}

/// The running hash over a growing trace.
#[derive(Debug, Clone, Default)]
pub struct TraceHasher {
    sha256: Sha256,
    len: u64,
}

impl TraceHasher {
    /// Appends the next part of the trace's bytes; the first ends with the first entry (`[{…}`), each later one with the next (`, {…}`).
    /// Returns the id of the state reached: SHA-256 of all bytes so far plus `]`.
    pub fn append(&mut self, part: &[u8]) -> StateId {
        self.sha256.update(part);
        self.len += part.len() as u64;
        let mut closed = self.sha256.clone();
        closed.update(b"]");
        StateId(alloy_primitives::B256::from_slice(&closed.finalize()))
    }

    /// Bytes appended so far: the length of the last state's document without its closing `]`.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether nothing has been appended.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

/// What stands before an entry in a trace that this project writes: `[` before the first, `, ` before the others.
pub fn separator(sequence: u64) -> &'static str {
    if sequence == 0 { "[" } else { ", " }
}

/// One state of a recorded trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceState {
    /// The state's id.
    pub id: StateId,
    /// Its history event's id.
    pub event_id: u64,
    /// When it was entered, milliseconds since the Unix epoch.
    pub entered_at_ms: i64,
    /// The bytes that this state adds to the trace, separator included (`[{…}` or `, {…}`).
    pub part: String,
    /// The event.
    pub entry: Entry,
}

/// A trace recorded elsewhere, checked and split into its states; ids are over the bytes as they were given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trace {
    /// In order of event id.
    pub states: Vec<TraceState>,
}

/// Why a recorded trace is refused.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// Not JSON, or not a list of objects.
    #[error("the trace is not a JSON list: {0}")]
    NotAList(serde_json::Error),
    /// An event lacks a field or has one of another type.
    #[error("event {index} of the trace is not a state event: {source}")]
    NotAnEvent {
        /// Zero-based place in the list.
        index: usize,
        /// What the parser found.
        source: serde_json::Error,
    },
    /// The last state's document would not be the trace.
    #[error(
        "white space stands before the trace's closing bracket: each state is what stands before it plus `]`, so write the list without"
    )]
    LooseEnd,
    /// An empty list has no state to register.
    #[error("the trace holds no event")]
    Empty,
    /// `id` or `timestamp` is not a whole number.
    #[error("event {index} of the trace: `{field}` is `{found}`, expected decimal digits of a 64-bit number")]
    NotANumber {
        /// Zero-based place in the list.
        index: usize,
        /// The field.
        field: &'static str,
        /// Its text.
        found: String,
    },
    /// Event ids must rise.
    #[error("event {index} of the trace has id {found}, which does not follow {previous}: ids must rise")]
    OutOfOrder {
        /// Zero-based place in the list.
        index: usize,
        /// Id before it.
        previous: u64,
        /// Its id.
        found: u64,
    },
    /// An event of another execution or model.
    #[error(
        "event {index} of the trace: `{field}` is `{found}`, expected `{expected}`: it belongs to another execution"
    )]
    Foreign {
        /// Zero-based place in the list.
        index: usize,
        /// The field.
        field: &'static str,
        /// What it should be.
        expected: String,
        /// What it is.
        found: String,
    },
}

impl Trace {
    /// Reads a recorded trace. White space after the list is dropped, all else is kept byte for byte.
    ///
    /// # Errors
    /// [`TraceError`] names the event and the field that does not fit.
    pub fn parse(bytes: &[u8]) -> Result<Self, TraceError> {
        let raw: Vec<&RawValue> = serde_json::from_slice(bytes).map_err(TraceError::NotAList)?;
        let mut hasher = TraceHasher::default();
        let mut states: Vec<TraceState> = Vec::with_capacity(raw.len());
        let mut consumed = 0;
        for (index, value) in raw.iter().enumerate() {
            let end = value.get().as_ptr() as usize - bytes.as_ptr() as usize + value.get().len();
            let part = &bytes[consumed..end];
            consumed = end;
            let entry: Entry =
                serde_json::from_str(value.get()).map_err(|source| TraceError::NotAnEvent { index, source })?;
            let event_id = number(index, "id", &entry.id)?;
            let entered_at_ms = number(index, "timestamp", &entry.timestamp)?;
            if let Some(last) = states.last() {
                follows(index, last, event_id, &entry)?;
            }
            let expected = format!("{}-{}-{}", entry.model_id, entry.instance_id, entry.id);
            belongs(index, "state_id", &expected, &entry.state_id)?;
            states.push(TraceState {
                id: hasher.append(part),
                event_id,
                entered_at_ms,
                part: String::from_utf8_lossy(part).into_owned(),
                entry,
            });
        }
        if states.is_empty() {
            return Err(TraceError::Empty);
        }
        if bytes[consumed..].trim_ascii_end() != b"]" {
            return Err(TraceError::LooseEnd);
        }
        Ok(Self { states })
    }
}

fn number<N: std::str::FromStr>(index: usize, field: &'static str, text: &str) -> Result<N, TraceError> {
    let digits_only = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits_only.then(|| text.parse().ok()).flatten().ok_or_else(|| TraceError::NotANumber {
        index,
        field,
        found: text.to_owned(),
    })
}

fn follows(index: usize, last: &TraceState, event_id: u64, entry: &Entry) -> Result<(), TraceError> {
    belongs(index, "model_id", &last.entry.model_id, &entry.model_id)?;
    belongs(index, "instance_id", &last.entry.instance_id, &entry.instance_id)?;
    if event_id <= last.event_id {
        return Err(TraceError::OutOfOrder { index, previous: last.event_id, found: event_id });
    }
    Ok(())
}

fn belongs(index: usize, field: &'static str, expected: &str, found: &str) -> Result<(), TraceError> {
    if expected == found {
        return Ok(());
    }
    Err(TraceError::Foreign { index, field, expected: expected.to_owned(), found: found.to_owned() })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn entry(id: u64, input: &str) -> Entry {
        Entry {
            state_id: format!("m-x-{id}"),
            model_id: "m".into(),
            instance_id: "x".into(),
            state_name: "S".into(),
            timestamp: "1678443189342".into(),
            region: Some("us-east-1".into()),
            client: None,
            event_type: "TaskStateEntered".into(),
            id: id.to_string(),
            task_input: Some(input.into()),
            task_output: None,
            task_input_detail: None,
            task_output_detail: None,
        }
    }

    fn list(entries: &[Entry]) -> String {
        let mut out = String::new();
        for (sequence, entry) in entries.iter().enumerate() {
            out.push_str(separator(sequence as u64));
            out.push_str(&entry.to_json());
        }
        out + "]"
    }

    proptest! {
        #[test]
        fn each_state_is_the_hash_of_the_list_up_to_it(inputs in prop::collection::vec(any::<String>(), 1..8)) {
            let entries: Vec<Entry> = inputs.iter().zip(1u64..).map(|(input, id)| entry(id, input)).collect();
            let trace = Trace::parse(list(&entries).as_bytes()).expect("a list of events");
            prop_assert_eq!(trace.states.len(), entries.len());
            for (k, state) in trace.states.iter().enumerate() {
                prop_assert_eq!(&state.entry, &entries[k]);
                prop_assert_eq!(state.id, StateId::of(list(&entries[..=k]).as_bytes()));
            }
        }

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Trace::parse(&bytes);
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_place() {
        let mut stranger = entry(3, "{}");
        stranger.instance_id = "y".into();
        stranger.state_id = "m-y-3".into();
        let refused = |text: &str| Trace::parse(text.as_bytes()).expect_err("refused").to_string();
        assert!(refused("nope").contains("not a JSON list"));
        assert!(refused(r#"{"a": 1}"#).contains("not a JSON list"));
        assert!(refused("[1]").contains("event 0"));
        assert!(refused("[]").contains("no event"));
        assert!(refused(&list(&[entry(2, "{}"), entry(2, "{}")])).contains("must rise"));
        assert!(refused(&list(&[entry(2, "{}"), stranger])).contains("another execution"));
    }

    #[test]
    fn other_separators_are_kept_byte_for_byte() {
        let text = format!(" [ {} ,\n{}]\n", entry(1, "a").to_json(), entry(2, "b").to_json());
        let trace = Trace::parse(text.as_bytes()).expect("a list");
        assert_eq!(trace.states[1].id, StateId::of(text.trim_end().as_bytes()));
        let loose = text.replace("]\n", " ]");
        assert!(matches!(Trace::parse(loose.as_bytes()), Err(TraceError::LooseEnd)));
    }
}
