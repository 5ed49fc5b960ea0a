//! Keys, certificate, name, and who may act for whom.

use std::path::PathBuf;

use alloy::primitives::Address;
use clap::{Args, Subcommand};
use runproof_protocol::{Fingerprint, InstanceId};

/// Keys, certificate and ENS name.
#[derive(Debug, Subcommand)]
pub enum IdentityCommand {
    /// Make a key and a certificate, unless they are there.
    New,
    /// Show address, balance, names, certificate and bindings.
    Show,
    /// Set the ENS records and bind the certificate in the contract; what is right already is left alone.
    Bind(Bind),
    /// Make another certificate, bind it, and only then put it into the place of the one in use, which a running site notices. The old one is kept.
    Renew(Renew),
    /// Let another account register states and ends of this one's runs, or no longer.
    Delegate(Delegate),
    /// Let another account request transitions of one run, or of all runs, or no longer. Of a model's runs: `deploy --participant`.
    Participant(Participant),
    /// Name the account that may revoke certificates when this one's key is lost or stolen. Then only that account can name another.
    Guardian(Guardian),
    /// Revoke a certificate, or all that this account ever bound or binds.
    Revoke(Revoke),
}

/// Options of `identity bind`.
#[derive(Debug, Args)]
pub struct Bind {
    /// PEM file of another certificate than the identity's: that of the host that serves what is published.
    #[arg(long, value_name = "FILE")]
    pub certificate: Option<PathBuf>,
}

/// Options of `identity renew`.
#[derive(Debug, Args)]
pub struct Renew {
    /// PEM file of the new certificate, chain allowed, for instance from an ACME client [default: a generated one].
    #[arg(long, value_name = "FILE", requires = "key")]
    pub certificate: Option<PathBuf>,
    /// PEM file of its private key.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    pub key: Option<PathBuf>,
}

/// Options of `identity delegate`.
#[derive(Debug, Args)]
pub struct Delegate {
    /// The delegate.
    pub account: Address,
    /// Of this run alone [default: of all runs].
    #[arg(long)]
    pub instance: Option<InstanceId>,
    /// Take the right back.
    #[arg(long)]
    pub withdraw: bool,
}

/// Options of `identity participant`.
#[derive(Debug, Args)]
pub struct Participant {
    /// The participant.
    pub account: Address,
    /// Of this run alone [default: of all runs of all models].
    #[arg(long)]
    pub instance: Option<InstanceId>,
    /// Take the right back; for all runs, what it has by deployments too.
    #[arg(long)]
    pub withdraw: bool,
}

/// Options of `identity guardian`.
#[derive(Debug, Args)]
pub struct Guardian {
    /// The guardian; the zero address: nobody.
    pub account: Address,
    /// Whose certificates, as the guardian that hands over [default: this identity's].
    #[arg(long, value_name = "ADDRESS")]
    pub subject: Option<Address>,
}

/// Options of `identity revoke`.
#[derive(Debug, Args)]
pub struct Revoke {
    /// SHA-256 of the certificate, as `identity show` tells it.
    #[arg(required_unless_present = "all")]
    pub fingerprint: Option<Fingerprint>,
    /// All of the account's, those bound later included, for good: for an account whose key is stolen.
    #[arg(long, conflicts_with = "fingerprint")]
    pub all: bool,
    /// Since when it is not to be trusted, where that was before now: it was compromised in this block.
    #[arg(long, value_name = "BLOCK", value_parser = clap::value_parser!(u64).range(1..))]
    pub since_block: Option<u64>,
    /// Whose certificate, as the guardian [default: this identity's].
    #[arg(long, value_name = "ADDRESS")]
    pub subject: Option<Address>,
}
