//! What is hashed, registered, published and verified.
//!
//! Pure: bytes in, values out. No network, no database, no clock. Read in this order, which is the order of a state's life: it is found in a
//! [`history`], becomes an entry of a [`trace`] (its input may be there as a [`commitment`] alone; what else the history tells is its [`detail`]), gets an [`id`], is chained into a [`head`] (by the root of a [`merkle`] tree), published in [`documents`], told to consumers as an
//! [`event`], and judged by a [`verdict`].

pub mod certificate;
pub mod commitment;
pub mod detail;
pub mod documents;
pub mod event;
pub mod head;
pub mod history;
pub mod id;
pub mod json_dumps;
pub mod merkle;
pub mod model;
pub mod rules;
pub mod trace;
pub mod verdict;

pub use id::{Fingerprint, InstanceId, ModelId, StateId};
