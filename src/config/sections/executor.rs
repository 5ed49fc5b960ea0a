//! How executions are followed and registered.

use serde::{Deserialize, Serialize};

/// How executions are followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Executor {
    /// Wait between looks at an execution that changes, milliseconds.
    pub poll_interval_ms: u64,
    /// Longest wait between looks at one that stands still, milliseconds.
    pub max_poll_interval_ms: u64,
    /// URL of an SQS queue that gets EventBridge's events of executions, each a hint to look at one now.
    pub hint_queue_url: Option<String>,
    /// Wait between questions whether executions that failed in the last 14 days were redriven, seconds.
    pub redrive_interval_s: u64,
    /// States registered by one transaction at most.
    pub max_batch: usize,
    /// From how many open states of an instance on these are registered by their Merkle root instead of one by one; 0 never.
    pub root_from: u64,
    /// Gas that one transaction may use at most.
    pub max_gas: u64,
    /// How long what is captured may wait for the transaction before it to be included, milliseconds.
    pub max_wait_ms: u64,
    /// Below this, the log warns of the issuer's balance, wei.
    pub min_balance_wei: u64,
    /// A transaction that waits for more blocks than this is replaced by one that offers more.
    pub replace_after_blocks: u64,
    /// Least tip offered to the proposer of a block, wei a gas.
    pub min_tip_wei: u64,
    /// Most offered in all, wei a gas: above it, registrations wait.
    pub max_fee_wei: u64,
}

impl Default for Executor {
    fn default() -> Self {
        use runproof_executor::settings as defaults;
        Self {
            poll_interval_ms: 500,
            max_poll_interval_ms: defaults::DEFAULT_MAX_POLL_INTERVAL.as_millis() as u64,
            hint_queue_url: None,
            redrive_interval_s: defaults::DEFAULT_REDRIVE_INTERVAL.as_secs(),
            max_batch: defaults::DEFAULT_MAX_BATCH,
            root_from: 0,
            max_gas: defaults::DEFAULT_MAX_GAS,
            max_wait_ms: defaults::DEFAULT_MAX_WAIT.as_millis() as u64,
            min_balance_wei: defaults::DEFAULT_MIN_BALANCE_WEI,
            replace_after_blocks: defaults::DEFAULT_REPLACE_AFTER_BLOCKS,
            min_tip_wei: defaults::DEFAULT_MIN_TIP_WEI,
            max_fee_wei: defaults::DEFAULT_MAX_FEE_WEI,
        }
    }
}
