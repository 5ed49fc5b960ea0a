//! Why there is no verdict at all. A site that does not answer is no such reason: that is in the verdict.

use alloy::primitives::{Address, B256};
use runproof_protocol::InstanceId;

/// Nothing can be said of the run.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The node does not answer, or not with what was asked.
    #[error("the node at {node} did not answer {request}: {reason}; check `rpc_url`, or try another node")]
    Node {
        /// Scheme and host; the rest of the URL may be secret.
        node: String,
        /// The call.
        request: &'static str,
        /// What came instead.
        reason: String,
    },
    /// A header that is not the preimage of its hash.
    #[error("the node gave a header of block {number} that hashes to {computed}, not to {given}: ask another node")]
    Header {
        /// Height.
        number: u64,
        /// Hash given with it.
        given: B256,
        /// Its hash.
        computed: B256,
    },
    /// A storage proof that proves nothing.
    #[error("the node's proof of the contract's storage in block {number} does not hold ({reason}): ask another node")]
    Proof {
        /// Height.
        number: u64,
        /// What does not fit.
        reason: String,
    },
    /// Another contract, or none.
    #[error("{address} is no InstanceRegistry on chain {chain_id}: check `registry` and `rpc_url`")]
    NotARegistry {
        /// What was asked.
        address: Address,
        /// On which chain.
        chain_id: u64,
    },
    /// The contract does not know the run.
    #[error(
        "instance {instance} is not registered{}: check the id, the issuer and the contract",
        issuer.map(|issuer| format!(" by {issuer}")).unwrap_or_default()
    )]
    UnknownInstance {
        /// What was asked.
        instance: InstanceId,
        /// Under whom, if that was asked.
        issuer: Option<Address>,
    },
    /// The same id stands in several namespaces.
    #[error("instance {instance} is registered by several issuers, {} first: say which one you mean", list(issuers))]
    Ambiguous {
        /// What was asked.
        instance: InstanceId,
        /// Who registered it, the earliest first.
        issuers: Vec<Address>,
    },
}

fn list(issuers: &[Address]) -> String {
    issuers.iter().map(Address::to_string).collect::<Vec<_>>().join(", ")
}
