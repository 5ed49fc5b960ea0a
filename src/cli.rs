//! The command line: what can be asked, in the order in which a newcomer meets it.

mod check;
mod identity;
mod model;
mod relay;
mod run;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub use self::{check::*, identity::*, model::*, relay::*, run::*};

/// Watch a cloud workflow run, and check, for every state it entered, who issued it, when, and that nothing was left out.
///
/// An executor drives AWS Step Functions runs and registers their models, instances and states in an Ethereum contract. An indexer follows the
/// contract into Postgres and Kafka. A verifier checks what was published against what was registered. An API serves it all.
///
/// Start with `runproof demo`: it runs every part on this machine.
///
/// A command that sends a transaction stores it in Postgres first, and takes its nonce beside an executor of the same key. Without [postgres] in the
/// configuration it stores nothing: then nothing else may send with this key meanwhile. Both keep to `max_fee_wei` and `max_gas` of [executor].
#[derive(Debug, Parser)]
#[command(name = "runproof", version, max_term_width = 100)]
pub struct Cli {
    /// Configuration file; `RUNPROOF_<SECTION>__<SETTING>` variables go before it.
    #[arg(long, global = true, env = "RUNPROOF_CONFIG", default_value = crate::config::DEFAULT_FILE)]
    pub config: PathBuf,
    /// Log more.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// Work on this source alone, `main` being [chain]; may be given more than once. Without it `index`, `verdicts` and `migrate` work on all.
    #[arg(long = "source", global = true, value_name = "NAME")]
    pub sources: Vec<String>,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run everything on this machine: private Postgres, Kafka, chain and Step Functions emulator, one workflow, its verdicts, a page.
    Demo(Demo),
    /// Run only the embedded Postgres, Kafka, chain and emulator, and write a configuration for the other commands.
    Stack(StackArgs),
    /// Keys, certificate and ENS name of the one who registers.
    #[command(subcommand)]
    Identity(IdentityCommand),
    /// The registry contract: the same address on every chain.
    #[command(subcommand)]
    Contract(ContractCommand),
    /// Publish a model: create its state machine, register its hash on the chain.
    Deploy(Deploy),
    /// Start an execution of a deployed model.
    Run(Run),
    /// Follow executions: capture each state entered, register it, seal the end.
    Follow(Follow),
    /// Register and publish a run that was recorded elsewhere, of any engine.
    Import(Import),
    /// Register a recorded run at another's expense: one signs, the other submits.
    #[command(subcommand)]
    Relay(RelayCommand),
    /// Disclose the input of one state of a run whose inputs are committed to. What is disclosed cannot be taken back.
    Disclose(Disclose),
    /// Ask a waiting state to go on, as a participant of the run.
    RequestTransition(RequestTransition),
    /// Serve the documents over TLS, and take signed requests.
    Site,
    /// Follow the contract's logs into Postgres, and on to Kafka if it is configured.
    Index,
    /// Compare Postgres, Kafka and the contract's heads with the chain, indexed anew in memory; succeeds only if nothing differs.
    Audit(Audit),
    /// Logs of the contract that could not be decoded, and the way of those that now can into the journal.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Keep the verdicts in Postgres current.
    Verdicts,
    /// Check a run from chain and web alone; succeeds only if every check passed.
    Verify(Verify),
    /// Serve GraphQL, subscriptions and the monitor page over TLS.
    Serve,
    /// Bring the database to the newest schema.
    Migrate,
    /// Take what the journal's rows say besides their events from the events anew, without the chain and beside readers; prints how many differed.
    Rebuild,
}

impl Command {
    /// Whether it works until it is told to stop.
    pub fn is_role(&self) -> bool {
        match self {
            Self::Follow(follow) => !follow.once,
            Self::Site | Self::Index | Self::Verdicts | Self::Serve => true,
            _ => false,
        }
    }
}

/// Options of `demo`.
#[derive(Debug, Args)]
pub struct Demo {
    /// End after the run: exit 0 if every check passed.
    #[arg(long)]
    pub once: bool,
    /// Folder of all data; a later demo goes on from it.
    #[arg(long, default_value = ".runproof/demo")]
    pub data: PathBuf,
}

/// Options of `stack`.
#[derive(Debug, Args)]
pub struct StackArgs {
    /// Folder of all data.
    #[arg(long, default_value = ".runproof/stack")]
    pub data: PathBuf,
}

/// The registry contract.
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// Create it on the configured chain, unless it is there; prints the settings.
    Deploy,
    /// Print the address that it has on every chain.
    Address,
}
