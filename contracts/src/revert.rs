//! Why a call reverted, in words.

use alloy::sol_types::{Panic, Revert, SolError, SolInterface};

use crate::registry::{InstanceRegistry as errors, RegistryErrors};

/// The contract's error in a reverted call's data, if it is one of its own.
pub fn registry_error(data: &[u8]) -> Option<RegistryErrors> {
    RegistryErrors::abi_decode(data).ok()
}

/// A sentence such as `SequenceMismatch: expected 5, given 3`; `None` if the data is neither the contract's error nor
/// Solidity's own `Error(string)` or `Panic(uint256)`.
pub fn revert_reason(data: &[u8]) -> Option<String> {
    if let Some(error) = registry_error(data) {
        return Some(sentence(&error));
    }
    if let Ok(revert) = Revert::abi_decode(data) {
        return Some(format!("Error: {}", revert.reason()));
    }
    Panic::abi_decode(data).ok().map(|panic| format!("Panic: {panic}"))
}

fn sentence(error: &RegistryErrors) -> String {
    use RegistryErrors as E;
    match error {
        E::AlreadyRegistered(errors::AlreadyRegistered { id }) => {
            format!("AlreadyRegistered: {id} is there already and is written once")
        }
        E::UnknownModel(errors::UnknownModel { model }) => {
            format!("UnknownModel: the issuer has not registered model {model}")
        }
        E::UnknownInstance(errors::UnknownInstance { instance }) => {
            format!("UnknownInstance: the issuer has not registered instance {instance}")
        }
        E::SequenceMismatch(errors::SequenceMismatch { expected, given }) => {
            format!("SequenceMismatch: expected {expected}, given {given}")
        }
        E::NotAuthorised(errors::NotAuthorised { caller }) => {
            format!(
                "NotAuthorised: {caller} is neither the issuer nor its delegate, nor a certificate's subject or guardian"
            )
        }
        E::NotParticipant(errors::NotParticipant { caller }) => {
            format!("NotParticipant: the issuer has not named {caller} a participant, or it has not accepted")
        }
        E::AlreadyTerminated(errors::AlreadyTerminated { instance }) => {
            format!("AlreadyTerminated: instance {instance} is sealed")
        }
        E::NoStates(_) => "NoStates: a batch holds at least one state".into(),
        E::TooLong(errors::TooLong { limit }) => format!("TooLong: at most {limit} bytes"),
        E::TooManyStates(errors::TooManyStates { limit }) => {
            format!(
                "TooManyStates: by roots an instance has at most {limit}: list the others, or start another instance"
            )
        }
        E::BadPredecessor(errors::BadPredecessor { sequence }) => {
            format!("BadPredecessor: the predecessor of state {sequence} must come before it")
        }
        E::BadPredecessorsLength(_) => "BadPredecessorsLength: give none, or four bytes a state".into(),
        E::BadOutcome(_) => "BadOutcome: a termination has an outcome".into(),
        E::BadSignature(_) => "BadSignature: the account did not sign this for this chain and contract".into(),
        E::Expired(errors::Expired { deadline }) => {
            format!("Expired: the call was signed to be relayed until {deadline}, Unix seconds: sign it again")
        }
        E::NonceMismatch(errors::NonceMismatch { expected, given }) => {
            format!("NonceMismatch: the account's next relayed call has nonce {expected}, not {given}")
        }
        E::BadValidity(_) => "BadValidity: notAfter must come after notBefore".into(),
        E::BadUri(_) => "BadUri: give https:// and a host, in visible ASCII".into(),
        E::UnknownCertificate(errors::UnknownCertificate { fingerprint }) => {
            format!("UnknownCertificate: {fingerprint} was never bound to this subject")
        }
        E::AlreadyRevoked(errors::AlreadyRevoked { fingerprint }) => {
            format!("AlreadyRevoked: {fingerprint} (zero: all) is revoked already, from that block or an earlier one")
        }
        E::BlockInFuture(errors::BlockInFuture { blockNumber }) => {
            format!("BlockInFuture: block {blockNumber} is not there yet; give none to revoke from now on")
        }
        E::ZeroId(_) => "ZeroId: zero is no id and no account".into(),
        E::NoSuchState(errors::NoSuchState { sequence }) => {
            format!("NoSuchState: the instance has not entered state {sequence}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contract_errors_are_told_with_their_values() {
        let data = errors::SequenceMismatch { expected: 5, given: 3 }.abi_encode();
        assert_eq!(revert_reason(&data).as_deref(), Some("SequenceMismatch: expected 5, given 3"));
        assert!(matches!(registry_error(&data), Some(RegistryErrors::SequenceMismatch(_))));
    }

    #[test]
    fn solidity_errors_are_told() {
        assert_eq!(revert_reason(&Revert::from("no").abi_encode()).as_deref(), Some("Error: no"));
        assert!(revert_reason(&Panic::from(0x11).abi_encode()).is_some_and(|text| text.starts_with("Panic")));
    }

    #[test]
    fn foreign_data_has_no_reason() {
        for data in [&[][..], &[1, 2, 3], &[0xff; 36]] {
            assert_eq!(revert_reason(data), None);
        }
    }
}
