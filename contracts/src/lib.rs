//! What Rust knows of the contracts: their bindings, their logs decoded, their storage, their errors in words.
//!
//! The Solidity sources are beside this crate in `solidity/`; `InstanceRegistry.json` is what they compile to (`build.sh`).

pub mod decode;
pub mod deployment;
pub mod ens;
pub mod itrex;
pub mod kind;
pub mod registry;
pub mod revert;
pub mod storage;
pub mod typed_data;

pub use decode::{DecodeError, RegistryEvent, decode};
pub use itrex::Itrex;
pub use kind::ContractKind;
pub use registry::{InstanceRegistry, RegistryErrors};
pub use revert::revert_reason;
