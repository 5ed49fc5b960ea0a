//! The embedded default: a private PostgreSQL, Apache Kafka, development chain with the real ENS, and Step Functions emulator.
//!
//! All listen on loopback and keep their data in one folder. They end with the process that started them, even if it is killed. Nothing else of the
//! project knows that it talks to these: in production each address in [`Endpoints`] is a setting.

pub mod aws_json;
mod chain;
pub mod demo;
mod emulator;
mod ens;
mod error;
mod geth;
mod kafka;
mod lambda;
mod localstack;
mod ports;
mod postgres;
mod process;
mod recorded;
mod secret;
mod stack;
mod tools;

pub use chain::{CHAIN_ID, Chain, Mining, Registry};
pub use emulator::{ACCESS_KEY, Emulator, REGION};
pub use ens::{CANONICAL_REGISTRY, EnsContracts, PARENT_NAME, namehash};
pub use error::StackError;
pub use geth::Geth;
pub use kafka::{Kafka, KafkaTls};
pub use lambda::{LambdaError, LambdaFunctions};
pub use localstack::LocalStack;
pub use ports::Ports;
pub use postgres::Postgres;
pub use recorded::{Pace, Recorded, Recording};
pub use stack::{Endpoints, Part, Progress, Stack, StackOptions};
pub use tools::Tools;
