//! Calls that one account signs and another submits.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Recorded;

/// Calls that one account signs and another submits.
#[derive(Debug, Subcommand)]
pub enum RelayCommand {
    /// Sign the registration of a recorded run; prints what `relay submit` takes. Asks nobody, so that the key may be on a machine without network.
    Sign(RelaySign),
    /// Submit what another account signed, and pay for it.
    Submit {
        /// What `relay sign` printed.
        file: PathBuf,
    },
}

/// Options of `relay sign`.
#[derive(Debug, Args)]
pub struct RelaySign {
    /// The run.
    #[command(flatten)]
    pub run: Recorded,
    /// The chain on which it may be submitted, to the configured contract.
    #[arg(long, value_name = "NUMBER")]
    pub chain_id: u64,
    /// How many signed calls of this identity were submitted before: `relay_nonce` of `identity show`.
    #[arg(long, default_value = "0")]
    pub nonce: u64,
    /// The model is registered already: leave it out.
    #[arg(long)]
    pub model_registered: bool,
    /// How long it may be submitted from now on, seconds.
    #[arg(long, default_value = "86400", value_name = "SECONDS")]
    pub valid_for: u64,
}
