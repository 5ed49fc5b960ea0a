//! Bindings of the contract `InstanceRegistry`, generated from its artifact: calls, events, errors, deployment.

#![expect(missing_docs, reason = "generated; `solidity/IInstanceRegistry.sol` documents each item")]

pub use self::InstanceRegistry::InstanceRegistryErrors as RegistryErrors;

alloy::sol! {
    /// The registry; its documentation is in `solidity/IInstanceRegistry.sol`.
    #[sol(rpc)]
    #[derive(Debug, PartialEq, Eq)]
    InstanceRegistry,
    "InstanceRegistry.json"
}
