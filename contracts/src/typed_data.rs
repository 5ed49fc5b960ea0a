//! What accounts sign (EIP-712), in the domain of one chain and one contract.

use alloy::{
    primitives::Address,
    sol_types::{Eip712Domain, eip712_domain},
};

alloy::sol! {
    /// A subject's statement that the server at `uri` presents the certificate with this fingerprint.
    #[derive(Debug, PartialEq, Eq)]
    struct Certificate {
        address subject;
        bytes32 fingerprint;
        string uri;
        uint64 notBefore;
        uint64 notAfter;
    }

    /// A call to the registry that its account lets anybody submit (`relay`).
    #[derive(Debug, PartialEq, Eq)]
    struct Relay {
        address account;
        /// Selector and arguments.
        bytes call;
        /// The account's `nonceOf`.
        uint256 nonce;
        /// Unix seconds after which it cannot be submitted.
        uint64 deadline;
    }

    /// A participant's request over HTTPS that the task waiting in state `sequence` go on. The contract never sees it.
    #[derive(Debug, PartialEq, Eq)]
    struct TransitionRequest {
        address issuer;
        bytes32 instance;
        uint64 sequence;
        /// keccak256 of the payload.
        bytes32 payloadHash;
        /// Unix seconds after which the request is void.
        uint64 deadline;
    }
}

/// The domain in which signatures hold: no other chain, no other contract.
pub fn domain(chain_id: u64, contract: Address) -> Eip712Domain {
    eip712_domain! {
        name: "runproof",
        version: "1",
        chain_id: chain_id,
        verifying_contract: contract,
    }
}

#[cfg(test)]
mod tests {
    use alloy::sol_types::SolStruct;

    use super::*;

    #[test]
    fn types_are_the_contracts() {
        assert_eq!(
            Certificate::eip712_root_type(),
            "Certificate(address subject,bytes32 fingerprint,string uri,uint64 notBefore,uint64 notAfter)"
        );
        assert_eq!(Relay::eip712_root_type(), "Relay(address account,bytes call,uint256 nonce,uint64 deadline)");
        assert_eq!(
            TransitionRequest::eip712_root_type(),
            "TransitionRequest(address issuer,bytes32 instance,uint64 sequence,bytes32 payloadHash,uint64 deadline)"
        );
    }
}
