//! What an executor is told: where its engine, chain and database are, and with which key it registers.

use std::{fmt, num::NonZeroU64, time::Duration};

use alloy::primitives::Address;
use aws_config::timeout::TimeoutConfig;
use runproof_nodes::Nodes;

use crate::{key::Key, mask::AccountMask, publication::PublicationSettings, quota::QuotaSettings};

/// Settings of one executor. One key belongs to one executor.
#[derive(Clone)]
pub struct Settings {
    /// The chain's nodes.
    pub nodes: Nodes,
    /// The contract `InstanceRegistry`.
    pub registry: Address,
    /// Block in which the contract was deployed: its logs are read from there.
    pub registry_deployed_at_block: u64,
    /// `postgres://user:password@host:port/database`, migrated already.
    pub postgres_url: String,
    /// AWS Step Functions.
    pub aws: AwsSettings,
    /// The issuer's key.
    pub signer: Key,
    /// Base of the URLs in published documents, without trailing slash, such as `https://localhost:21443`.
    pub public_url: String,
    /// Where documents are stored for a static host, before what they tell of is registered; `None`: nowhere.
    pub publication: Option<PublicationSettings>,
    /// Time between two looks at a run that changes, or a transaction that is under way.
    pub poll_interval: Duration,
    /// Longest time between two looks at a run that stands still.
    pub max_poll_interval: Duration,
    /// Time between two looks when nothing is under way.
    pub idle_interval: Duration,
    /// Time between two questions to AWS, for each execution that failed in the last 14 days, whether it was redriven.
    pub redrive_interval: Duration,
    /// SQS queue that gets EventBridge's events of executions, each a hint to look at one now.
    pub hint_queue_url: Option<String>,
    /// Most states registered by one transaction.
    pub max_batch: usize,
    /// From how many open states of an instance on these are registered by their Merkle root instead of one by one; `None` never.
    pub root_from: Option<NonZeroU64>,
    /// Most gas that one transaction may use.
    pub max_gas: u64,
    /// Longest time for which what is captured waits for the transaction before it to be included.
    pub max_wait: Duration,
    /// Below this, the log warns of the issuer's balance, wei.
    pub min_balance_wei: u64,
    /// A transaction that waits for more blocks than this is replaced by one that offers more.
    pub replace_after_blocks: u64,
    /// Least tip offered to the block's proposer, wei a gas.
    pub min_tip_wei: u128,
    /// Most offered in all, wei a gas: above it, registrations wait for the chain to become cheaper.
    pub max_fee_wei: u128,
}

/// Where Step Functions is and who asks.
#[derive(Clone)]
pub struct AwsSettings {
    /// Another endpoint than AWS's own, for an emulator or a private link.
    pub endpoint_url: Option<String>,
    /// Such as `us-east-1`.
    pub region: String,
    /// Static credentials; `None` takes AWS's default chain (environment, profile, role).
    pub credentials: Option<AwsCredentials>,
    /// IAM role under which state machines run, given at their creation.
    pub role_arn: String,
    /// Quotas that differ from AWS's default.
    pub quotas: QuotaSettings,
    /// Account numbers that are not published.
    pub mask: AccountMask,
}

/// An access key.
#[derive(Clone)]
pub struct AwsCredentials {
    /// Its public part.
    pub access_key_id: String,
    /// Its secret part.
    pub secret_access_key: String,
}

/// Longest time between two looks at a run, if the settings do not say otherwise.
pub const DEFAULT_MAX_POLL_INTERVAL: Duration = Duration::from_secs(30);

/// Time between two questions for redrives, if the settings do not say otherwise.
pub const DEFAULT_REDRIVE_INTERVAL: Duration = Duration::from_secs(60);

/// Most states registered by one transaction, if the settings do not say otherwise: 108 KB of calldata, below the 128 KB that nodes relay. Sixteen such
/// transactions, as many as may be on their way, fill a block.
pub const DEFAULT_MAX_BATCH: usize = 3_000;

/// Most gas of one transaction, if the settings do not say otherwise: just below what EIP-7825 allows (2^24).
pub const DEFAULT_MAX_GAS: u64 = 16_700_000;

/// Longest wait for the transaction before, if the settings do not say otherwise: a block of Ethereum.
pub const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(12);

/// Balance below which the log warns, if the settings do not say otherwise: 0.05 ether.
pub const DEFAULT_MIN_BALANCE_WEI: u64 = 50_000_000_000_000_000;

/// Blocks for which a transaction is waited for before more is offered, if the settings do not say otherwise: three minutes of Ethereum.
pub const DEFAULT_REPLACE_AFTER_BLOCKS: u64 = 15;

/// Least tip, if the settings do not say otherwise: 1 gwei.
pub const DEFAULT_MIN_TIP_WEI: u64 = 1_000_000_000;

/// Most offered in all, if the settings do not say otherwise: 500 gwei.
pub const DEFAULT_MAX_FEE_WEI: u64 = 500_000_000_000;

/// An attempt to call AWS that takes longer has failed: the connection may be half open.
const ATTEMPT: Duration = Duration::from_secs(30);

// URLs may carry passwords and API keys, so only what is public is shown.
impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("nodes", &self.nodes)
            .field("registry", &self.registry)
            .field("registry_deployed_at_block", &self.registry_deployed_at_block)
            .field("aws", &self.aws)
            .field("issuer", &self.signer.address())
            .field("public_url", &self.public_url)
            .field("publication", &self.publication)
            .field("poll_interval", &self.poll_interval)
            .field("max_poll_interval", &self.max_poll_interval)
            .field("idle_interval", &self.idle_interval)
            .field("redrive_interval", &self.redrive_interval)
            .field("hint_queue_url", &self.hint_queue_url)
            .field("max_batch", &self.max_batch)
            .field("root_from", &self.root_from)
            .field("max_gas", &self.max_gas)
            .field("max_wait", &self.max_wait)
            .field("min_balance_wei", &self.min_balance_wei)
            .field("replace_after_blocks", &self.replace_after_blocks)
            .field("min_tip_wei", &self.min_tip_wei)
            .field("max_fee_wei", &self.max_fee_wei)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for AwsSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsSettings")
            .field("endpoint_url", &self.endpoint_url)
            .field("region", &self.region)
            .field("credentials", &self.credentials)
            .field("role_arn", &self.role_arn)
            .field("quotas", &self.quotas)
            .finish()
    }
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

impl AwsSettings {
    /// The configuration of AWS's clients.
    pub async fn load(&self) -> aws_config::SdkConfig {
        let mut loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12())
            .timeout_config(TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).build())
            .region(aws_config::Region::new(self.region.clone()));
        if let Some(url) = &self.endpoint_url {
            loader = loader.endpoint_url(url);
        }
        if let Some(AwsCredentials { access_key_id, secret_access_key }) = &self.credentials {
            loader = loader.credentials_provider(aws_sdk_sfn::config::Credentials::new(
                access_key_id,
                secret_access_key,
                None,
                None,
                "settings",
            ));
        }
        loader.load().await
    }
}
