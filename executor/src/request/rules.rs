//! What a request must satisfy. Pure.

use alloy::primitives::Address;

/// Largest payload, bytes: the contract's limit.
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// Why a request is refused, as its sender is told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Too long.
    #[error("the payload has {0} bytes: at most 65536 are taken")]
    TooLong(usize),
    /// A task is completed with JSON text.
    #[error("the payload is not JSON: {0}")]
    NotJson(String),
    /// No such run.
    #[error("this issuer knows no such instance")]
    UnknownInstance,
    /// A stranger asks.
    #[error("{0} is not a participant of this instance: its issuer has to grant that in the contract")]
    NotParticipant(Address),
    /// A participant of other runs asks.
    #[error(
        "{0} is a participant of other models' runs, not of this one's: its issuer has to deploy the model with it, or to name it for this run"
    )]
    OtherModel(Address),
    /// Nothing waits any more.
    #[error("the run has ended ({0})")]
    Ended(String),
    /// A recorded run waits for nobody.
    #[error("the run was imported: nothing in it waits")]
    Imported,
    /// A state that does not wait.
    #[error("state `{0}` does not wait for a client")]
    NotWaiting(String),
    /// A state whose token the executor does not get.
    #[error(
        "state `{0}` waits, but its model hands the token to another service than SQS, and the executor completes only tasks whose token it is given: send it by `sqs:sendMessage.waitForTaskToken`, or take an activity"
    )]
    TokenElsewhere(String),
    /// Another request was first.
    #[error("the task was completed already")]
    Completed,
    /// Nobody asked in time, or the task's heartbeat was missed.
    #[error("the state was left when its task timed out")]
    TimedOut,
    /// The task failed otherwise.
    #[error("the state was left when its task failed")]
    Failed,
    /// The history does not tell why.
    #[error("the state was left")]
    Left,
    /// The engine does not know the task any more, with what it said.
    #[error("the task waits no more: it timed out, its run was stopped, or it was completed ({0})")]
    Gone(String),
    /// Nothing waited in time.
    #[error("no task waited in this state until the request expired")]
    Expired,
}

/// A payload as text, if it is JSON of acceptable size.
///
/// # Errors
/// [`Refusal::TooLong`], [`Refusal::NotJson`].
pub fn check_payload(payload: &[u8]) -> Result<&str, Refusal> {
    if payload.len() > MAX_PAYLOAD {
        return Err(Refusal::TooLong(payload.len()));
    }
    let text = std::str::from_utf8(payload).map_err(|error| Refusal::NotJson(error.to_string()))?;
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Refusal::NotJson(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_are_json_of_at_most_64_kib() {
        for good in ["{}", "null", " [1] ", r#""\u0000""#] {
            assert_eq!(check_payload(good.as_bytes()), Ok(good));
        }
        for bad in [&b""[..], b"{", b"{} {}", b"\xff", b"\"\0\"", b"nope"] {
            assert!(matches!(check_payload(bad), Err(Refusal::NotJson(_))), "{bad:?}");
        }
        let largest = format!("\"{}\"", "a".repeat(MAX_PAYLOAD - 2));
        assert!(check_payload(largest.as_bytes()).is_ok());
        assert_eq!(check_payload(format!("{largest} ").as_bytes()), Err(Refusal::TooLong(MAX_PAYLOAD + 1)));
    }
}
