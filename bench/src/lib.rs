//! What the benchmarks are made of. Of the indexer: a chain that is built once ([`chain`]), a node that replays it ([`replay`]), what is measured
//! ([`measure`], [`ceiling`], [`live`]). Of the executor: [`executor`]. Of both: what a process has used ([`process`]).

pub mod ceiling;
pub mod chain;
#[cfg(feature = "table")]
pub mod executor;
pub mod live;
#[cfg(feature = "table")]
pub mod measure;
pub mod process;
mod quantile;
pub mod replay;
#[cfg(feature = "table")]
pub mod table;
pub mod topic;
