//! What the benchmark of the indexer is made of: a chain that is built once ([`chain`]), a node that replays it ([`replay`]), what is measured
//! ([`measure`], [`ceiling`], [`live`]), and what a process has used ([`process`]).

pub mod ceiling;
pub mod chain;
pub mod live;
#[cfg(feature = "table")]
pub mod measure;
pub mod process;
pub mod replay;
#[cfg(feature = "table")]
pub mod table;
pub mod topic;
