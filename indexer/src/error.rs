//! What stops the indexer, and what only makes it start over.

use alloy::primitives::{Address, B256};

use crate::check::Mismatch;

/// Why a step did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The node follows another chain.
    #[error(
        "the node is on chain {found}, not {expected}: set rpc_url to a node of chain {expected}, or use another database"
    )]
    WrongChain {
        /// Chain id of the settings or of the journal.
        expected: u64,
        /// Chain id of the node.
        found: u64,
    },
    /// Nothing is deployed at the contract's address.
    #[error("there is no contract at {registry} on chain {chain_id}: check the registry's address, or deploy it first")]
    NoContract {
        /// The address.
        registry: Address,
        /// The chain.
        chain_id: u64,
    },
    /// The node's chain has the same id, and began with another block.
    #[error(
        "the node's chain {chain_id} began with block {found}, not {expected}: a development chain that was started anew is another one; \
         set rpc_url to a node of the journal's chain, or use another database"
    )]
    OtherGenesis {
        /// The chain.
        chain_id: u64,
        /// Hash of block 0 of the journal's chain, or of most endpoints'.
        expected: B256,
        /// Hash of the node's.
        found: B256,
    },
    /// Something else than before is deployed at the contract's address.
    #[error(
        "the code of {registry} on chain {chain_id} hashes to {found}, not {expected}: check the node; \
         a contract that was exchanged needs another database"
    )]
    OtherCode {
        /// The address.
        registry: Address,
        /// The chain.
        chain_id: u64,
        /// keccak256 of the code as the journal or most endpoints have it.
        expected: B256,
        /// As the node has it.
        found: B256,
    },
    /// Too few endpoints say the same.
    #[error(
        "fewer than {wanted} endpoints agree on {what}: look at /status, and exchange those that were set aside, or set chain.quorum lower"
    )]
    NoQuorum {
        /// How many must.
        wanted: usize,
        /// On what.
        what: &'static str,
    },
    /// The endpoint was asked too much, and is to be left alone for a while.
    #[error("{method}: the endpoint's rate limit is reached")]
    RateLimited {
        /// JSON-RPC method.
        method: &'static str,
        /// For how long, if it says so.
        retry_after: Option<std::time::Duration>,
    },
    /// The journal in this database is of another contract.
    #[error("this database holds the journal of {found} on chain {chain_id}: use another database for {registry}")]
    OtherJournal {
        /// The contract of the settings.
        registry: Address,
        /// The contract of the journal.
        found: String,
        /// The journal's chain.
        chain_id: i64,
    },
    /// The journal in this database was begun as that of another kind of contract.
    #[error(
        "the journal was begun with kind = \"{journal}\" in [chain], which now says \"{kind}\": set it back, or run `runproof quarantine replay`, \
         which takes back what was read so and lets it be read anew"
    )]
    OtherKind {
        /// The journal's kind.
        journal: String,
        /// The settings'.
        kind: &'static str,
    },
    /// The chain has replaced what it had called final.
    #[error(
        "block {number} is {} at the node but {ours} in the journal, which knows all up to {finalized} as final: nothing was written. \
         Check that rpc_url is a node of the same chain (a development chain that was started anew is another one); if the chain did revert, index into a new database",
        theirs.map_or_else(|| "missing".to_owned(), |hash| hash.to_string())
    )]
    ForkBelowFinalized {
        /// The block.
        number: u64,
        /// Its hash in the journal.
        ours: B256,
        /// Its hash at the node.
        theirs: Option<B256>,
        /// Last final block that the journal knows.
        finalized: u64,
    },
    /// Another indexer has taken over.
    #[error("another indexer writes this journal now (epoch {found}, ours is {ours})")]
    Fenced {
        /// Epoch of this writer.
        ours: i64,
        /// Epoch in the journal.
        found: i64,
    },
    /// The cursor is not where this writer left it: a commit whose answer was lost may have succeeded.
    #[error("the journal's cursor is not where this writer left it")]
    CursorMoved,
    /// The node could not be asked.
    #[error("{method}: {reason}")]
    Rpc {
        /// JSON-RPC method.
        method: &'static str,
        /// Why, without the node's URL.
        reason: String,
    },
    /// The node answered with an error, or not in time: a smaller question may be answered.
    #[error("{method}: {reason}")]
    Refused {
        /// JSON-RPC method.
        method: &'static str,
        /// As the node says it.
        reason: String,
    },
    /// The node's answers do not fit each other.
    #[error("the node's answer does not fit: {0}")]
    Mismatch(#[from] Mismatch),
    /// Postgres.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
}

impl IndexError {
    /// Whether trying again cannot help.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Self::WrongChain { .. }
                | Self::OtherGenesis { .. }
                | Self::OtherCode { .. }
                | Self::NoContract { .. }
                | Self::OtherJournal { .. }
                | Self::OtherKind { .. }
                | Self::ForkBelowFinalized { .. }
        )
    }
}
