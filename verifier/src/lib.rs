//! Verification of a run from the chain and the web alone, and the worker that keeps verdicts current in Postgres.
//!
//! [`verify()`] is the straight line: pin a block, read the run and its proof, follow ENS and the certificate bindings to the issuer's site,
//! fetch what it publishes, and put all of it before the rules of [`runproof_protocol::rules`].

mod address_filter;
mod certificate;
mod chain;
mod documents;
mod ens;
mod error;
mod itrex;
mod proof;
pub mod render;
mod run;
mod settings;
mod site;
mod store;
mod tls;
mod verify;
pub mod worker;

pub use error::VerifyError;
pub use settings::Settings;
pub use verify::verify;
