//! Entities of the tables and views that are read through `SeaORM`. Views have no key of their own: `position` names each row.

pub mod batch;
pub mod certificate;
pub mod entry;
pub mod instance;
pub mod instance_verdict;
pub mod model;
pub mod source;
pub mod state;
pub mod state_verdict;
pub mod states_root;
pub mod termination;
