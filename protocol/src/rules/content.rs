//! Content: published bytes hash to the ids that were registered.

use std::ops::Range;

use alloy_primitives::B256;
use serde::de::IgnoredAny;

use super::{Question, Reading};
use crate::{
    StateId,
    commitment::Commitment,
    trace::{Entry, TraceHasher},
    verdict::{Check, Finding},
};

/// A published document hashes to its id. `hash` is the SHA-256 of the bytes read.
pub fn content(expected: B256, hash: &Reading<B256>, source: &str) -> Finding {
    let question = Question { check: Check::Content, source };
    question.judge(hash, |hash| {
        if *hash == expected {
            return question.passed(hex::encode(expected));
        }
        question.failed(hex::encode(expected), Some(hex::encode(hash)), "the published bytes are not those registered")
    })
}

/// A state as its published bytes tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedState {
    /// Hash of the bytes.
    pub id: StateId,
    /// What it tells of itself, if the bytes are a trace.
    pub entry: Option<PublishedEntry>,
}

/// What a state's own entry in a trace tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedEntry {
    /// Its name in the model.
    pub state_name: String,
    /// When it was entered, milliseconds since the Unix epoch.
    pub entered_at_ms: i64,
    /// What stands in place of its input, if the model is private.
    pub committed: Option<Commitment>,
}

impl PublishedState {
    /// Reads a state's own document: the trace up to and including it. What it says counts only if its hash is the registered one, and
    /// is not looked at otherwise.
    pub fn of_document(bytes: &[u8], registered: StateId) -> Self {
        let id = StateId::of(bytes);
        let last = || Self::of_trace(bytes).pop()?.entry;
        Self { id, entry: (id == registered).then(last).flatten() }
    }

    /// Reads the states of a whole trace, as far as it is a JSON list: what stands before an altered entry is as good as ever.
    pub fn of_trace(bytes: &[u8]) -> Vec<Self> {
        let mut hasher = TraceHasher::default();
        let mut states = Vec::new();
        let mut begun = 0;
        while let Some(value) = next_value(bytes, begun) {
            let id = hasher.append(&bytes[begun..value.end]);
            states.push(Self { id, entry: serde_json::from_slice(&bytes[value.clone()]).ok().and_then(told) });
            begun = value.end;
        }
        states
    }
}

/// Where the next value of a JSON list lies, from `begun`, the end of the one before.
fn next_value(bytes: &[u8], begun: usize) -> Option<Range<usize>> {
    let separator = if begun == 0 { b'[' } else { b',' };
    let before = bytes[begun..].iter().position(|byte| !byte.is_ascii_whitespace())?;
    (bytes[begun + before] == separator).then_some(())?;
    let rest = &bytes[begun + before + 1..];
    let start = begun + before + 1 + rest.iter().position(|byte| !byte.is_ascii_whitespace())?;
    let mut values = serde_json::Deserializer::from_slice(&bytes[start..]).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    Some(start..start + values.byte_offset())
}

fn told(entry: Entry) -> Option<PublishedEntry> {
    Some(PublishedEntry {
        entered_at_ms: entry.timestamp.parse().ok()?,
        committed: entry.task_input.as_deref().and_then(Commitment::read),
        state_name: entry.state_name,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{id::sha256, verdict::Status};

    fn entry(name: &str) -> PublishedEntry {
        PublishedEntry { state_name: name.into(), entered_at_ms: 5, committed: None }
    }

    proptest! {
        #[test]
        fn any_altered_byte_fails(bytes in prop::collection::vec(any::<u8>(), 1..200), at in any::<prop::sample::Index>(), flip in 1u8..) {
            let registered = sha256(&bytes);
            prop_assert_eq!(content(registered, &Reading::Read(sha256(&bytes)), "url").status, Status::Passed);
            let mut altered = bytes;
            let at = at.index(altered.len());
            altered[at] ^= flip;
            let finding = content(registered, &Reading::Read(sha256(&altered)), "url");
            prop_assert_eq!(finding.status, Status::Failed);
            prop_assert_ne!(finding.expected, finding.found);
        }
    }

    #[test]
    fn document_that_was_not_read_fails_nothing() {
        let finding = content(B256::ZERO, &Reading::Unavailable("404".into()), "url");
        assert_eq!((finding.status, finding.detail.as_deref()), (Status::Unavailable, Some("404")));
    }

    #[test]
    fn altered_document_names_nothing() {
        let bytes = br#"[{"state_id": "m-x-2", "model_id": "m", "instance_id": "x", "state_name": "S", "timestamp": "5", "type": "T", "id": "2"}]"#;
        let registered = StateId::of(bytes);
        assert_eq!(PublishedState::of_document(bytes, registered).entry, Some(entry("S")));
        assert_eq!(PublishedState::of_document(bytes, StateId::of(b"another")).entry, None);
    }

    fn trace(names: &[String]) -> String {
        let entries: Vec<String> = names
            .iter()
            .map(|name| serde_json::json!({"state_id": "", "model_id": "", "instance_id": "", "state_name": name, "timestamp": "5", "type": "", "id": ""}))
            .map(|entry| entry.to_string())
            .collect();
        format!("[{}]", entries.join(" , "))
    }

    proptest! {
        #[test]
        fn trace_tells_the_same_as_the_documents(names in prop::collection::vec(any::<String>(), 1..6)) {
            let states = PublishedState::of_trace(trace(&names).as_bytes());
            prop_assert_eq!(states.len(), names.len());
            for (k, state) in states.into_iter().enumerate() {
                let document = trace(&names[..=k]);
                let own = PublishedState::of_document(document.as_bytes(), StateId::of(document.as_bytes()));
                prop_assert_eq!(&own, &state);
                prop_assert_eq!(state.entry, Some(entry(&names[k])));
            }
        }

        #[test]
        fn altered_byte_of_a_trace_leaves_earlier_states_alone(at in any::<prop::sample::Index>(), byte: u8) {
            let names: Vec<String> = (0..5).map(|k| format!("S{k}")).collect();
            let honest = trace(&names);
            let at = at.index(honest.len());
            let mut altered = honest.clone().into_bytes();
            altered[at] = byte;
            let (honest, altered) = (PublishedState::of_trace(honest.as_bytes()), PublishedState::of_trace(&altered));
            let before = (0..5).take_while(|k| trace(&names[..=*k]).len() - 1 <= at).count();
            prop_assert_eq!(&honest[..before], &altered[..before]);
        }
    }
}
