//! Content: published bytes hash to the ids that were registered.

use alloy_primitives::B256;

use super::{Question, Reading};
use crate::{
    StateId,
    trace::{Trace, TraceError, TraceState},
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
    /// Its name and when it was entered (milliseconds since the Unix epoch), if the bytes are a trace.
    pub entry: Option<(String, i64)>,
}

impl PublishedState {
    /// Reads a state's own document: the trace up to and including it. What it says counts only if its hash is the registered one, and
    /// is not looked at otherwise.
    pub fn of_document(bytes: &[u8], registered: StateId) -> Self {
        let id = StateId::of(bytes);
        let last = || Trace::parse(bytes).ok()?.states.pop();
        Self { id, entry: (id == registered).then(last).flatten().map(named) }
    }

    /// Reads all states of a whole trace.
    ///
    /// # Errors
    /// [`TraceError`] if the bytes are no trace.
    pub fn of_trace(bytes: &[u8]) -> Result<Vec<Self>, TraceError> {
        let states = Trace::parse(bytes)?.states;
        Ok(states.into_iter().map(|state| Self { id: state.id, entry: Some(named(state)) }).collect())
    }
}

fn named(state: TraceState) -> (String, i64) {
    (state.entry.state_name, state.entered_at_ms)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{id::sha256, verdict::Status};

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
        assert_eq!(PublishedState::of_document(bytes, registered).entry, Some(("S".into(), 5)));
        assert_eq!(PublishedState::of_trace(bytes).expect("a trace")[0].id, registered);
        assert_eq!(PublishedState::of_document(bytes, StateId::of(b"another")).entry, None);
    }
}
