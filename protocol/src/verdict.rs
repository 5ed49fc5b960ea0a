//! Verdicts: what was checked, what was found, and on whose word. Never one lone boolean.

use alloy_primitives::{Address, B256};
use serde::{Deserialize, Serialize};

use crate::{InstanceId, ModelId, StateId, head::Registry};

/// What is checked: the paper's five, then ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Check {
    /// 1: the state's id is registered in the contract.
    StateExists,
    /// 2: model and instance are registered in the contract.
    ModelAndInstanceExist,
    /// 3: the issuer's address leads by ENS to a name, a server, and back.
    IssuerKnown,
    /// 4: the certificate that the server presented is bound in the contract.
    CertificateKnown,
    /// 5: that binding's signature recovers to the issuer's address.
    ProtocolLinked,
    /// Published bytes hash to their ids.
    Content,
    /// The published history folds to the on-chain head: complete, ordered, timed, unaltered.
    Completeness,
}

impl Check {
    /// All checks, in order.
    pub const ALL: [Self; 7] = [
        Self::StateExists,
        Self::ModelAndInstanceExist,
        Self::IssuerKnown,
        Self::CertificateKnown,
        Self::ProtocolLinked,
        Self::Content,
        Self::Completeness,
    ];

    /// The name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::StateExists => "state_exists",
            Self::ModelAndInstanceExist => "model_and_instance_exist",
            Self::IssuerKnown => "issuer_known",
            Self::CertificateKnown => "certificate_known",
            Self::ProtocolLinked => "protocol_linked",
            Self::Content => "content",
            Self::Completeness => "completeness",
        }
    }

    /// What a pass means, for a reader who knows nothing of the system.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::StateExists => "the state is registered on the chain",
            Self::ModelAndInstanceExist => "the model and this run of it are registered on the chain",
            Self::IssuerKnown => "the issuer's address and its web server name each other",
            Self::CertificateKnown => "the server showed a certificate that is registered on the chain",
            Self::ProtocolLinked => "the issuer itself signed for that certificate",
            Self::Content => "the published documents are the ones registered",
            Self::Completeness => "nothing was left out, added or reordered",
        }
    }
}

/// Outcome of a check, from best to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It holds.
    Passed,
    /// Something that it rests on failed or was not asked for.
    NotChecked,
    /// A source could not be reached: nothing is known.
    Unavailable,
    /// It does not hold.
    Failed,
}

impl Status {
    /// The name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::NotChecked => "not_checked",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
        }
    }
}

/// One check's result with its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was checked.
    pub check: Check,
    /// The result.
    pub status: Status,
    /// What should be there.
    pub expected: Option<String>,
    /// What was there.
    pub found: Option<String>,
    /// Where it was read: a URL, a contract's view, an ENS name.
    pub source: String,
    /// One sentence for a reader, where expected and found do not say it all.
    pub detail: Option<String>,
}

/// A block that verdicts refer to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockReference {
    /// Height.
    pub number: u64,
    /// Hash.
    pub hash: B256,
    /// Unix seconds.
    pub timestamp_s: u64,
}

/// Whom a verdict trusts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// One node's word for the header; storage is proved against it.
    OneNode,
}

/// What everybody can know of a state's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InputSeen {
    /// The trace tells it.
    Published,
    /// The trace commits to it, and it is not disclosed, or what was disclosed could not be confirmed.
    Committed,
    /// The trace commits to it, and what was disclosed is that.
    Disclosed,
}

impl InputSeen {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Published, Self::Committed, Self::Disclosed];

    /// The name in JSON and SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Published => "published",
            Self::Committed => "committed",
            Self::Disclosed => "disclosed",
        }
    }
}

/// Verdict on one state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateVerdict {
    /// Place in the run, from 0.
    pub sequence: u64,
    /// Its id.
    pub state: StateId,
    /// Sequence number of the state it was entered from; `None` if there is none, or the contract tells none.
    pub predecessor: Option<u32>,
    /// Its name, if its document could be read and hashes to its id.
    pub state_name: Option<String>,
    /// When it was entered, milliseconds since the Unix epoch, from the same document.
    pub entered_at_ms: Option<i64>,
    /// What can be known of its input, from the same document and what was disclosed.
    pub input: Option<InputSeen>,
    /// Block of its registration.
    pub block_number: u64,
    /// That block's time, Unix seconds.
    pub block_timestamp_s: u64,
    /// Transaction of its registration.
    pub transaction_hash: B256,
    /// What concerns this state alone: [`Check::StateExists`] and [`Check::Content`].
    pub findings: Vec<Finding>,
}

/// Verdict on a run and each of its states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Chain and contract.
    pub registry: Registry,
    /// Who issued the run.
    pub issuer: Address,
    /// The run.
    pub instance: InstanceId,
    /// Its model.
    pub model: ModelId,
    /// The issuer's site, if one was found.
    pub site: Option<String>,
    /// The execution engine, if the instance document could be read, hashes to its id and names it.
    pub engine: Option<String>,
    /// All chain data is as of this block.
    pub as_of: BlockReference,
    /// When the web was read, Unix seconds.
    pub checked_at_s: u64,
    /// Whom to trust for the block.
    pub trust: Trust,
    /// What concerns the run as a whole, and so each state.
    pub findings: Vec<Finding>,
    /// One for each registered state, in order.
    pub states: Vec<StateVerdict>,
}

/// The worst status among findings; [`Status::NotChecked`] if there are none.
pub fn worst<'a>(findings: impl IntoIterator<Item = &'a Finding>) -> Status {
    findings.into_iter().map(|finding| finding.status).max().unwrap_or(Status::NotChecked)
}

impl Verdict {
    /// The grade of the run: the worst of all its checks and all its states.
    pub fn status(&self) -> Status {
        worst(self.findings.iter().chain(self.states.iter().flat_map(|state| &state.findings)))
    }

    /// The grade of one state: its own checks and those of the run.
    pub fn state_status(&self, state: &StateVerdict) -> Status {
        worst(self.findings.iter().chain(&state.findings))
    }
}
