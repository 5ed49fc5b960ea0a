//! What is held against the chain.

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use runproof_protocol::InstanceId;

/// Logs that could not be decoded.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List them with the reason of each.
    List {
        /// Print them with all that the node said of them, as JSON.
        #[arg(long)]
        json: bool,
    },
    /// Have those that can be decoded now indexed at their place: the journal is taken back to before the first, and indexed again from there.
    Replay {
        /// Only tell what would be done.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Options of `verify`.
#[derive(Debug, Args)]
pub struct Verify {
    /// The run.
    pub instance: InstanceId,
    /// Who issued it; needed if several issuers registered the same id.
    #[arg(long)]
    pub issuer: Option<Address>,
    /// Read documents here, instead of where the issuer's certificate says.
    #[arg(long, value_name = "URL")]
    pub site: Option<String>,
    /// Print the verdict with all its evidence as JSON.
    #[arg(long)]
    pub json: bool,
}

/// Options of `audit`.
#[derive(Debug, Args)]
pub struct Audit {
    /// How long journal and topic may take to come to the block that is the newest now, seconds.
    #[arg(long, default_value = "10", value_name = "SECONDS")]
    pub patience: u64,
    /// Print all differences as JSON.
    #[arg(long)]
    pub json: bool,
}
