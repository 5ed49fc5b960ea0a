//! What the benchmark of the indexer is made of: a chain that is built once ([`chain`]), a node that replays it ([`replay`]), and what a process
//! has used ([`process`]).

pub mod chain;
#[cfg(feature = "table")]
pub mod measure;
pub mod process;
pub mod replay;
#[cfg(feature = "table")]
pub mod table;
#[cfg(feature = "table")]
pub mod topic;
