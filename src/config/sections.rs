//! The sections of the configuration, and what they are if nothing is said.

use std::{
    num::{NonZeroU16, NonZeroU32},
    path::PathBuf,
};

use alloy::primitives::Address;
use runproof_contracts::ContractKind;
use runproof_executor::quota::QuotaSettings;
use runproof_indexer::{RelaySettings, endpoints::Role};
use serde::{Deserialize, Serialize};
use url::Url;

use super::Secret;

/// The chain and the contracts on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// JSON-RPC over HTTP.
    pub rpc_url: Url,
    /// JSON-RPC over a websocket: a hint to look now. Absent: the chain is polled.
    pub ws_url: Option<Url>,
    /// Calls that `rpc_url` may be asked a second; absent: it tells when it is too much.
    pub calls_per_s: Option<NonZeroU32>,
    /// The contract.
    pub registry: Address,
    /// Which contract that is.
    pub kind: ContractKind,
    /// Where to begin to read it.
    pub registry_deployed_at_block: u64,
    /// The ENS registry; the default is its address on public networks.
    pub ens_registry: Address,
    /// What is indexed counts if so many endpoints say the same.
    pub quorum: usize,
    /// An endpoint that is more blocks behind the others is set aside.
    pub max_lag_blocks: u64,
    /// Whether all receipts of a block must prove its logs, as its header's root says. Without it a node that leaves out all logs of a block is believed;
    /// that saves a request for blocks whose bloom filter admits the contract in vain.
    pub strict: bool,
    /// Further endpoints, beside `rpc_url`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub endpoint: Vec<Endpoint>,
}

/// An endpoint of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// What it is called in logs, metrics and status; absent: host and port.
    #[serde(default)]
    pub name: Option<String>,
    /// JSON-RPC over HTTP.
    pub url: Url,
    /// JSON-RPC over a websocket: a hint to look now.
    #[serde(default)]
    pub ws_url: Option<Url>,
    /// `primary`, or `standby`: asked only if too few of the primary ones serve.
    #[serde(default)]
    pub role: Role,
    /// Calls that it may be asked a second; absent: it tells when it is too much.
    #[serde(default)]
    pub calls_per_s: Option<NonZeroU32>,
}

impl Chain {
    /// Whether two sources read from the same endpoints, by the same rules.
    pub fn has_same_endpoints(&self, other: &Self) -> bool {
        let rules = |chain: &Self| (chain.calls_per_s, chain.quorum, chain.max_lag_blocks);
        (&self.rpc_url, &self.ws_url, &self.endpoint) == (&other.rpc_url, &other.ws_url, &other.endpoint)
            && rules(self) == rules(other)
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            rpc_url: local("http://127.0.0.1:8545"),
            ws_url: None,
            calls_per_s: None,
            registry: Address::ZERO,
            kind: ContractKind::Registry,
            registry_deployed_at_block: 0,
            ens_registry: alloy::primitives::address!("00000000000C2E074eC69A0dFb2997BA6C7d2e1e"),
            quorum: 1,
            max_lag_blocks: 16,
            strict: true,
            endpoint: Vec::new(),
        }
    }
}

/// Where everything is kept.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Postgres {
    /// `postgres://user:password@host:port/database`.
    pub url: String,
    /// Whether file or environment say so.
    #[serde(skip)]
    pub is_set: bool,
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: "postgres://postgres@127.0.0.1:5432/runproof".into(), is_set: false }
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Postgres { url: (hidden) }")
    }
}

/// Where the journal is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// Topic of the journal.
    pub topic: String,
    /// Partitions of topics that are created.
    pub partitions: NonZeroU16,
    /// Replicas of topics that are created; absent: the brokers' default.
    pub replication: Option<NonZeroU16>,
    /// Rows that a transaction holds at most.
    pub batch: NonZeroU32,
    /// Passed to librdkafka as they are, such as `security.protocol`.
    pub client: std::collections::BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        use runproof_indexer::settings as defaults;
        Self {
            bootstrap: "127.0.0.1:9092".into(),
            topic: "runproof.events".into(),
            partitions: NonZeroU16::MIN,
            replication: None,
            batch: defaults::DEFAULT_RELAY_BATCH,
            client: Default::default(),
        }
    }
}

/// Step Functions and SQS. Credentials that are absent come from the environment, profile or instance role, as for every AWS tool.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Aws {
    /// Another endpoint than AWS: an emulator.
    pub endpoint_url: Option<Url>,
    /// Region.
    pub region: String,
    /// Role that new state machines run under.
    pub role_arn: String,
    /// Key for an emulator; absent: AWS's own chain of credentials.
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    pub secret_access_key: Option<String>,
    /// Quotas of Step Functions' API by the name of the action, where they differ from AWS's default.
    pub quotas: QuotaSettings,
    /// Account numbers that stand as 000000000000 in all that is published. Set before the first deployment: ids follow from it.
    pub masked_accounts: Vec<String>,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: "us-east-1".into(),
            role_arn: "arn:aws:iam::123456789012:role/runproof".into(),
            access_key_id: None,
            secret_access_key: None,
            quotas: QuotaSettings::new(),
            masked_accounts: Vec::new(),
        }
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws")
            .field("endpoint_url", &self.endpoint_url)
            .field("region", &self.region)
            .field("role_arn", &self.role_arn)
            .field("quotas", &self.quotas)
            .finish_non_exhaustive()
    }
}

/// Who registers.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// Folder of the keystore and the certificate.
    pub folder: PathBuf,
    /// Opens the keystore; better set by `RUNPROOF_IDENTITY__PASSWORD`.
    #[serde(skip_serializing)]
    pub password: Secret,
    /// Id, ARN or alias of a key in AWS KMS, instead of a keystore.
    pub kms_key: Option<String>,
    /// A private key, 32 bytes in hexadecimal, instead of a keystore: by `RUNPROOF_IDENTITY__PRIVATE_KEY` alone, for development only.
    #[serde(skip_serializing)]
    pub private_key: Option<Secret>,
    /// ENS name that leads to the site, such as `company.eth`.
    pub ens_name: Option<String>,
    /// Host names and addresses for a generated certificate.
    pub hosts: Vec<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            folder: "identity".into(),
            password: Secret::default(),
            kms_key: None,
            private_key: None,
            ens_name: None,
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("folder", &self.folder)
            .field("kms_key", &self.kms_key)
            .field("ens_name", &self.ens_name)
            .field("hosts", &self.hosts)
            .finish_non_exhaustive()
    }
}

/// The TLS site that publishes documents.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// Address and port to listen on.
    pub listen: String,
    /// How others reach it: `https://…`, without a slash at the end.
    pub public_url: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { listen: "127.0.0.1:27443".into(), public_url: "https://localhost:27443".into() }
    }
}

/// Where documents are stored for a static host.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// `file:///folder`, or `s3://bucket/prefix`.
    pub url: Url,
    /// Of S3-compatible storage; absent: where `[aws]` says.
    #[serde(default)]
    pub endpoint_url: Option<Url>,
    /// Key for it; absent: that of `[aws]`.
    #[serde(default)]
    pub access_key_id: Option<String>,
    /// See `access_key_id`.
    #[serde(default)]
    pub secret_access_key: Option<String>,
}

impl std::fmt::Debug for Publication {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Publication").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

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

/// How states are verified.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Verifier {
    /// Whether sites on loopback and private addresses, and on other ports than 443, may be read. Only for a stack of one's own.
    pub allow_private_addresses: bool,
    /// A verdict is renewed after so many seconds even if nothing changed on the chain.
    pub recheck_interval_s: u64,
}

impl Default for Verifier {
    fn default() -> Self {
        Self { allow_private_addresses: false, recheck_interval_s: 300 }
    }
}

/// GraphQL and the monitor page.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Address and port to listen on.
    pub listen: String,
    /// PEM files of the certificate and its key; absent: the identity's.
    pub certificate: Option<PathBuf>,
    /// See `certificate`.
    pub key: Option<PathBuf>,
    /// Other origins whose pages may ask, such as `https://dashboard.example`.
    pub allowed_origins: Vec<String>,
    /// Folder of the npm packages graphiql, react, react-dom and graphql-ws, for `/graphiql`; absent: not served.
    pub graphiql: Option<PathBuf>,
    /// Whether clients may ask for the schema.
    pub introspection: bool,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:27444".into(),
            certificate: None,
            key: None,
            allowed_origins: Vec::new(),
            graphiql: None,
            introspection: true,
        }
    }
}

/// Health and metrics.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operations {
    /// Address and port of `/healthz`, `/readyz`, `/status` and `/metrics`.
    pub listen: String,
}

impl Kafka {
    /// What a relay of this contract's journal is told.
    pub fn relay_settings(&self, postgres_url: Url, contract: Address) -> RelaySettings {
        RelaySettings {
            topic: self.topic.clone(),
            partitions: self.partitions.get().into(),
            replication: self.replication.map(|replicas| replicas.get().into()),
            batch: self.batch.get(),
            options: self.client.clone(),
            ..RelaySettings::new(postgres_url, contract, &self.bootstrap)
        }
    }

    /// `runproof.events` becomes `runproof.<name>.events`.
    pub(super) fn of_source(&self, name: &str) -> Self {
        let family = self.topic.strip_suffix(".events").unwrap_or(&self.topic);
        Self { topic: format!("{family}.{name}.events"), ..self.clone() }
    }
}

fn local(text: &'static str) -> Url {
    #[expect(clippy::unwrap_used, reason = "a constant of this file, parsed by a test of the defaults")]
    Url::parse(text).unwrap()
}
