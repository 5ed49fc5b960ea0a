//! The command line: what can be asked, in the order in which a newcomer meets it.

use std::path::PathBuf;

use alloy::primitives::Address;
use clap::{Args, Parser, Subcommand, ValueEnum};
use runproof_protocol::{
    Fingerprint, InstanceId,
    model::{ModelSettings, Privacy, StateSelection},
};

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

/// The registry contract.
#[derive(Debug, Subcommand)]
pub enum ContractCommand {
    /// Create it on the configured chain, unless it is there; prints the settings.
    Deploy,
    /// Print the address that it has on every chain.
    Address,
}

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

/// Which history events are states.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum States {
    /// Every state entered.
    All,
    /// Task states only, as in the paper.
    Tasks,
}

impl From<States> for StateSelection {
    fn from(states: States) -> Self {
        match states {
            States::All => Self::All,
            States::Tasks => Self::Tasks,
        }
    }
}

/// What is told of states' inputs.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Inputs {
    /// Published in full, as in the paper.
    Published,
    /// A salted commitment in place of each, which `disclose` opens.
    Committed,
}

impl From<Inputs> for Privacy {
    fn from(inputs: Inputs) -> Self {
        match inputs {
            Inputs::Published => Self::Published,
            Inputs::Committed => Self::Committed,
        }
    }
}

/// Options of `deploy`.
#[derive(Debug, Args)]
pub struct Deploy {
    /// The model: Amazon States Language, JSON.
    pub model: PathBuf,
    /// Name of the state machine [default: the file's name up to the first dot].
    #[arg(long)]
    pub name: Option<String>,
    /// Which history events are states.
    #[arg(long, value_enum, default_value = "all")]
    pub states: States,
    /// What is told of the states' inputs. It cannot be changed later, since ids follow from it.
    #[arg(long, value_enum, default_value = "published")]
    pub privacy: Inputs,
    /// Who may request transitions of its runs; may be repeated.
    #[arg(long = "participant", value_name = "ADDRESS")]
    pub participants: Vec<Address>,
    /// Only tell gas and fee of the registration.
    #[arg(long)]
    pub dry_run: bool,
}

impl Deploy {
    /// What is decided of the model.
    pub fn settings(&self) -> ModelSettings {
        ModelSettings { selection: self.states.into(), privacy: self.privacy.into() }
    }
}

/// Options of `run`.
#[derive(Debug, Args)]
pub struct Run {
    /// Name of a deployed model, its id, or its file.
    pub model: String,
    /// Input of the execution, a JSON file [default: {}].
    #[arg(long)]
    pub input: Option<PathBuf>,
    /// Name of the execution [default: a new one].
    #[arg(long)]
    pub name: Option<String>,
}

/// Options of `follow`.
#[derive(Debug, Args)]
pub struct Follow {
    /// ARN of one execution; without it, all executions of the deployed models.
    pub execution: Option<String>,
    /// Which history events are states, where the execution's model was not deployed.
    #[arg(long, value_enum, default_value = "all", requires = "execution")]
    pub states: States,
    /// What is told of the states' inputs, where the execution's model was not deployed.
    #[arg(long, value_enum, default_value = "published", requires = "execution")]
    pub privacy: Inputs,
    /// End when the execution has ended and all of it is registered.
    #[arg(long, requires = "execution")]
    pub once: bool,
}

impl Follow {
    /// What is decided of a model that was not deployed.
    pub fn settings(&self) -> ModelSettings {
        ModelSettings { selection: self.states.into(), privacy: self.privacy.into() }
    }
}

/// Options of `import`.
#[derive(Debug, Args)]
pub struct Import {
    /// The run.
    #[command(flatten)]
    pub run: Recorded,
    /// Only tell gas and fee of the registration.
    #[arg(long)]
    pub dry_run: bool,
}

/// A run that was recorded elsewhere.
#[derive(Debug, Args)]
pub struct Recorded {
    /// The model, JSON.
    #[arg(long)]
    pub model: PathBuf,
    /// What is known of the execution, JSON.
    #[arg(long)]
    pub instance: PathBuf,
    /// The states: a JSON list of state events.
    #[arg(long)]
    pub trace: PathBuf,
}

/// Options of `disclose`.
#[derive(Debug, Args)]
pub struct Disclose {
    /// The run.
    pub instance: InstanceId,
    /// Sequence number of the state.
    #[arg(required_unless_present = "event")]
    pub sequence: Option<u64>,
    /// Id of an event in the trace's companion document instead: print what opens its commitments (output, error, cause). Nothing is published by it.
    #[arg(long, conflicts_with_all = ["sequence", "print"])]
    pub event: Option<u64>,
    /// Only print what discloses it: for those whom you give it to, and for nobody else.
    #[arg(long)]
    pub print: bool,
}

/// Options of `request-transition`.
#[derive(Debug, Args)]
pub struct RequestTransition {
    /// The run.
    pub instance: InstanceId,
    /// Who issued it [default: this identity].
    #[arg(long)]
    pub issuer: Option<Address>,
    /// Sequence number of the waiting state [default: the last one registered].
    #[arg(long)]
    pub sequence: Option<u64>,
    /// What the state is to be completed with, JSON.
    #[arg(long, default_value = "{}")]
    pub payload: String,
    /// Ask the issuer's site by a signed HTTPS request, instead of the contract.
    #[arg(long, value_name = "URL")]
    pub https: Option<String>,
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
