//! Follows executions of AWS Step Functions and registers each state they enter.
//!
//! Read in this order, which is a state's way: it is found in a history ([`step_functions`]), captured and stored ([`capture`], for all executions in `capturing`), found to be open
//! ([`open`], [`plan`]), batched and sent in a transaction that survives crashes and reorganisations ([`registration`], [`transaction`], [`reconcile`]), and published
//! ([`protocol_document`], [`site`], [`publication`]). [`follow`] drives it; [`deploy`] and [`import`] are the other two ways in. Progress is in Postgres, schema
//! `executor`, and the contract has the last word.

pub mod adopt;
mod agreement;
pub mod arn;
mod aws_call;
mod aws_error;
mod batch;
pub mod capture;
mod captured;
mod capturing;
pub mod chain;
mod companion;
pub mod deploy;
pub mod disclosure;
mod event_detail;
pub mod executor;
mod fate;
pub mod follow;
mod funds;
mod hint;
mod history_event;
pub mod holes;
pub mod identity;
pub mod import;
pub mod key;
mod kms;
mod lease;
mod map_run;
pub mod mask;
mod metric;
mod model_settings;
pub mod open;
mod pace;
pub mod participant;
pub mod plan;
pub mod protocol_document;
pub mod publication;
pub mod quota;
mod reconcile;
mod redrive;
pub mod registration;
pub mod relay;
mod replacement;
pub mod request;
pub mod sender;
pub mod settings;
pub mod sight;
pub mod site;
mod started;
mod starting;
mod states;
pub mod step_functions;
pub mod transaction;
mod withheld;

pub use executor::Executor;
pub use follow::Scope;
pub use key::Key;
pub use sender::Sender;
pub use settings::{AwsCredentials, AwsSettings, Settings};
