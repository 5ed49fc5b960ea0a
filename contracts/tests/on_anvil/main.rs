//! The contract on a real chain: what it costs, and that Rust's view of it is the chain's.

mod anvil;
mod artifact;
mod certificates;
mod gas;
mod gas_table;
mod heads;
mod refusals;
