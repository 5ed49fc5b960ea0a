//! The same address on every chain: the registry is created by CREATE2 (EIP-1014) through the factory that stands at one address on all public
//! networks and development nodes.

use alloy::primitives::{Address, B256, Bytes, address};

use crate::InstanceRegistry;

/// The deterministic deployment proxy: takes salt and creation code, and creates.
pub const FACTORY: Address = address!("4e59b44847b379578588920cA78FbF26c0B4956C");

/// One registry a chain.
const SALT: B256 = B256::ZERO;

/// Where the registry is, or will be, on every chain. The address commits to the creation code: what stands there is the registry.
pub fn address() -> Address {
    FACTORY.create2_from_code(SALT, &InstanceRegistry::BYTECODE)
}

/// Whether this is the registry's code as it lies on a chain.
pub fn is_registry(code: &[u8]) -> bool {
    InstanceRegistry::DEPLOYED_BYTECODE.as_ref() == code
}

/// What the factory is called with to create it. Anybody may do so, once a chain.
pub fn input() -> Bytes {
    [SALT.as_slice(), &InstanceRegistry::BYTECODE].concat().into()
}
