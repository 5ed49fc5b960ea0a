//! The paper's own contract ("Itrex"): its logs, and the one call that emits none, as events.
//!
//! Its events name no sender, so who registered is who sent the transaction. The owner that a caller names is a free argument and says nothing.

use alloy::{
    primitives::{Address, Bytes, Log},
    sol,
    sol_types::{SolCall, SolEventInterface},
};
use runproof_protocol::event::Event;

use crate::decode::{DecodeError, STRICT};

sol! {
    /// Events, views and the call that emits no event, as the paper (DOI 10.1109/PKIA58446.2023.10262768) gives them.
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    interface Itrex {
        event RegisterModel(bytes32 indexed modelHash);
        event RegisterInstance(bytes32 indexed instanceHash, bytes32 modelHash);
        event RegisterState(bytes32 indexed stateHash, bytes32 instanceHash);
        event RegisterTransition(bytes32 indexed instance, bytes32 preState, bytes32 postState);
        event TerminateInstance(bytes32 indexed instance);
        event ClientNotificationEvent(bytes32 indexed stateHash, address clientID);

        function registerModel(bytes32 modelHash, address ownerAccount, bytes32 metadata) external;
        function registerInstance(bytes32 modelHash, bytes32 instHash, address ownerAccount, bytes32 metadata) external;
        function registerState(bytes32 instHash, bytes32 stateHash) external;
        function registerTransition(bytes32 instHash, bytes32 pre, bytes32 post) external;
        function terminateInstance(bytes32 instHash) external;
        function registerCertificate(address client, bytes32 fingerprint, bytes16 sigPrefix, bytes32 sigPartA, bytes32 sigPartB) external;
        function getInstance(bytes32 state) external view returns (bytes32);
        function getModel(bytes32 instance) external view returns (bytes32);
    }
}

use Itrex::ItrexEvents as Abi;

/// Decodes a log that the contract emitted in a transaction of `sender`. The caller has compared the log's address.
///
/// # Errors
/// [`DecodeError::UnknownEvent`] and [`DecodeError::Malformed`].
pub fn decode(log: &Log, sender: Address) -> Result<Event, DecodeError> {
    let signature = log.topics().first().copied();
    if !signature.is_some_and(|topic| Abi::SELECTORS.contains(&topic.0)) {
        return Err(DecodeError::UnknownEvent { topic: signature, contract: "Itrex" });
    }
    let issuer = sender;
    Ok(match Abi::decode_raw_log_with_config(log.topics(), &log.data.data, STRICT)? {
        Abi::RegisterModel(e) => Event::ItrexModelRegistered { issuer, model: e.modelHash.into() },
        Abi::RegisterInstance(e) => {
            Event::ItrexInstanceRegistered { issuer, instance: e.instanceHash.into(), model: e.modelHash.into() }
        }
        Abi::RegisterState(e) => {
            Event::ItrexStateRegistered { issuer, instance: e.instanceHash.into(), state: e.stateHash.into() }
        }
        Abi::RegisterTransition(e) => Event::ItrexTransitionRegistered {
            issuer,
            instance: e.instance.into(),
            from_state: e.preState.into(),
            to_state: e.postState.into(),
        },
        Abi::TerminateInstance(e) => Event::ItrexInstanceTerminated { issuer, instance: e.instance.into() },
        Abi::ClientNotificationEvent(e) => {
            Event::ItrexClientNotified { issuer, state: e.stateHash.into(), client: e.clientID }
        }
    })
}

/// Whether calldata is that of `registerCertificate`, which emits no event.
pub fn registers_certificate(input: &[u8]) -> bool {
    input.starts_with(&Itrex::registerCertificateCall::SELECTOR)
}

/// Decodes the calldata of a call of `registerCertificate` that `sender` made and that succeeded.
///
/// # Errors
/// [`DecodeError::Malformed`].
pub fn decode_call(input: &[u8], sender: Address) -> Result<Event, DecodeError> {
    let call = Itrex::registerCertificateCall::abi_decode_validate(input)?;
    let signature = [&call.sigPrefix[..], &call.sigPartA[..], &call.sigPartB[..]].concat();
    Ok(Event::ItrexCertificateRegistered {
        issuer: sender,
        subject: call.client,
        fingerprint: call.fingerprint.into(),
        signature: Bytes::from(signature),
    })
}

#[cfg(test)]
mod tests {
    use alloy::{
        primitives::{B256, FixedBytes, LogData},
        sol_types::SolEvent,
    };

    use super::*;

    const SENDER: Address = Address::repeat_byte(1);

    fn log(data: LogData) -> Log {
        Log { address: Address::ZERO, data }
    }

    #[test]
    fn who_registered_is_who_sent() {
        let state = Itrex::RegisterState { stateHash: B256::repeat_byte(2), instanceHash: B256::repeat_byte(3) };
        let decoded = decode(&log(state.encode_log_data()), SENDER).expect("an event");
        let expected = Event::ItrexStateRegistered {
            issuer: SENDER,
            instance: B256::repeat_byte(3).into(),
            state: B256::repeat_byte(2).into(),
        };
        assert_eq!(decoded, expected);
    }

    #[test]
    fn a_certificate_is_told_by_calldata_alone() {
        let call = Itrex::registerCertificateCall {
            client: Address::repeat_byte(4),
            fingerprint: B256::repeat_byte(5),
            sigPrefix: FixedBytes::repeat_byte(6),
            sigPartA: B256::repeat_byte(7),
            sigPartB: B256::repeat_byte(8),
        };
        let input = call.abi_encode();
        assert!(registers_certificate(&input));
        let Ok(Event::ItrexCertificateRegistered { subject, signature, .. }) = decode_call(&input, SENDER) else {
            panic!("a certificate")
        };
        assert_eq!((subject, signature.len(), signature[79]), (Address::repeat_byte(4), 80, 8));
        assert!(decode_call(&input[..100], SENDER).is_err(), "a truncated call is none");
        let dirty_address = [&input[..4], &[0xff; 32], &input[36..]].concat();
        assert!(decode_call(&dirty_address, SENDER).is_err(), "20 bytes are an address, more are not");
    }

    #[test]
    fn a_foreign_event_is_refused() {
        let foreign = LogData::new_unchecked(vec![B256::repeat_byte(9)], Bytes::new());
        assert!(matches!(decode(&log(foreign), SENDER), Err(DecodeError::UnknownEvent { .. })));
    }
}
