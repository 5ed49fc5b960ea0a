//! All parts together: started side by side, stopped in order.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, TryLockError};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alloy::primitives::Address;
use serde::Serialize;

use crate::{
    ACCESS_KEY, CHAIN_ID, Chain, Emulator, Kafka, KafkaTls, LambdaFunctions, Mining, Ports, Postgres, REGION,
    StackError, Tools,
};

/// A part of the stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// PostgreSQL.
    Postgres,
    /// Apache Kafka.
    Kafka,
    /// The development chain.
    Chain,
    /// The emulator of Step Functions and what its tasks call.
    Emulator,
}

impl Part {
    /// Every part.
    pub const ALL: [Self; 4] = [Self::Postgres, Self::Kafka, Self::Chain, Self::Emulator];
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Postgres => "postgres",
            Self::Kafka => "kafka",
            Self::Chain => "chain",
            Self::Emulator => "emulator",
        })
    }
}

/// A part that has become ready, and how long that took.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// The part.
    pub part: Part,
    /// From the start of the stack to the part's first answer.
    pub took: Duration,
}

/// What to start, and where.
#[derive(Clone)]
pub struct StackOptions {
    /// The folder of all data, logs and process ids; created if missing. For root: if other accounts may not enter it, PostgreSQL, which
    /// refuses to be root, keeps its files in `/var/lib/runproof` and only a link to them here.
    pub data_dir: PathBuf,
    /// The ports to listen on.
    pub ports: Ports,
    /// The parts to start.
    pub parts: BTreeSet<Part>,
    /// When the chain makes blocks.
    pub mining: Mining,
    /// The AWS account that the emulator plays, 12 digits.
    pub account_id: String,
    /// Lambda functions besides the demo's.
    pub functions: LambdaFunctions,
    /// A listener of Kafka's for TLS, beside the usual one.
    pub kafka_tls: Option<KafkaTls>,
    /// Called as each part becomes ready.
    pub on_ready: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl StackOptions {
    /// Every part on its fixed port, a block a second.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            ports: Ports::fixed_defaults(),
            parts: Part::ALL.into(),
            mining: Mining::EverySeconds(1),
            account_id: "123456789012".into(),
            functions: LambdaFunctions::default(),
            kafka_tls: None,
            on_ready: Arc::new(|_| {}),
        }
    }
}

/// Where everything is. Fields of parts that were not started are `None`.
#[derive(Debug, Clone, Serialize)]
pub struct Endpoints {
    /// URL of the demo's database, password included.
    pub postgres_url: Option<String>,
    /// `host:port` of the Kafka broker.
    pub kafka_bootstrap: Option<String>,
    /// JSON-RPC of the chain over HTTP.
    pub rpc_http_url: Option<String>,
    /// JSON-RPC of the chain over WebSocket.
    pub rpc_ws_url: Option<String>,
    /// Chain id.
    pub chain_id: u64,
    /// Address of the contract `InstanceRegistry`.
    pub registry: Option<Address>,
    /// Number of the block that holds the registry's deployment.
    pub registry_deployed_at_block: Option<u64>,
    /// Address of the ENS registry.
    pub ens_registry: Option<Address>,
    /// Address of the ENS public resolver.
    pub ens_resolver: Option<Address>,
    /// Address of the ENS reverse registrar.
    pub ens_reverse_registrar: Option<Address>,
    /// Endpoint of Step Functions, SQS, DynamoDB and Lambda.
    pub aws_endpoint_url: Option<String>,
    /// AWS region.
    pub aws_region: String,
    /// AWS account, 12 digits.
    pub aws_account_id: String,
    /// AWS access key id; the emulator takes any.
    pub aws_access_key_id: String,
    /// AWS secret access key; the emulator takes any.
    pub aws_secret_access_key: String,
}

/// The running parts. Call [`Stack::stop`] at the end: dropping it ends the servers at once, without saving.
#[derive(Debug)]
pub struct Stack {
    account_id: String,
    emulator: Option<Emulator>,
    kafka: Option<Kafka>,
    chain: Option<Chain>,
    postgres: Option<Postgres>,
    /// Held while any of the parts above may run; the system lets go of it when the process ends, however it ends.
    _lock: File,
}

impl Stack {
    /// Starts the parts side by side and returns when each answers. Needs a Tokio runtime and an installed rustls crypto provider.
    pub async fn start(options: StackOptions) -> Result<Self, StackError> {
        let StackOptions { data_dir, ports, parts, mining, account_id, functions, kafka_tls, on_ready } = options;
        fs::create_dir_all(&data_dir).map_err(StackError::io(&data_dir))?;
        let data_dir = fs::canonicalize(&data_dir).map_err(StackError::io(data_dir))?;
        let lock = lock(&data_dir)?;
        let tools = Tools::locate();
        let timer = Timer { begun: Instant::now(), on_ready };
        let wanted = |part| parts.contains(&part);
        let (postgres, kafka, chain, emulator) = tokio::try_join!(
            timer.time(Part::Postgres, wanted(Part::Postgres), Postgres::start(&data_dir, ports.postgres, &tools)),
            timer.time(
                Part::Kafka,
                wanted(Part::Kafka),
                Kafka::start(&data_dir, ports.kafka, ports.kafka_controller, kafka_tls.as_ref(), &tools)
            ),
            timer.time(Part::Chain, wanted(Part::Chain), Chain::start(&data_dir, ports.chain, mining, &tools)),
            timer.time(
                Part::Emulator,
                wanted(Part::Emulator),
                Emulator::start(&data_dir, ports, &account_id, functions, &tools)
            ),
        )?;
        Ok(Self { account_id, emulator, kafka, chain, postgres, _lock: lock })
    }

    /// The running PostgreSQL.
    pub fn postgres(&self) -> Result<&Postgres, StackError> {
        self.postgres.as_ref().ok_or(StackError::NotStarted(Part::Postgres))
    }

    /// The running Kafka.
    pub fn kafka(&self) -> Result<&Kafka, StackError> {
        self.kafka.as_ref().ok_or(StackError::NotStarted(Part::Kafka))
    }

    /// The running chain.
    pub fn chain(&self) -> Result<&Chain, StackError> {
        self.chain.as_ref().ok_or(StackError::NotStarted(Part::Chain))
    }

    /// The running emulator.
    pub fn emulator(&self) -> Result<&Emulator, StackError> {
        self.emulator.as_ref().ok_or(StackError::NotStarted(Part::Emulator))
    }

    /// Where everything is.
    pub fn endpoints(&self) -> Endpoints {
        let chain = self.chain.as_ref();
        let (ens, registry) = (chain.map(Chain::ens), chain.and_then(Chain::registry));
        Endpoints {
            postgres_url: self.postgres.as_ref().map(Postgres::url),
            kafka_bootstrap: self.kafka.as_ref().map(Kafka::bootstrap),
            rpc_http_url: chain.map(Chain::http_url),
            rpc_ws_url: chain.map(Chain::ws_url),
            chain_id: CHAIN_ID,
            registry: registry.map(|registry| registry.address),
            registry_deployed_at_block: registry.map(|registry| registry.deployed_at_block),
            ens_registry: ens.map(|ens| ens.registry),
            ens_resolver: ens.map(|ens| ens.resolver),
            ens_reverse_registrar: ens.map(|ens| ens.reverse_registrar),
            aws_endpoint_url: self.emulator.as_ref().map(Emulator::endpoint_url),
            aws_region: REGION.into(),
            aws_account_id: self.account_id.clone(),
            aws_access_key_id: ACCESS_KEY.into(),
            aws_secret_access_key: ACCESS_KEY.into(),
        }
    }

    /// Stops what makes work first, then what keeps it; each saves its data.
    pub async fn stop(self) {
        if let Some(emulator) = &self.emulator {
            emulator.stop().await;
        }
        let stop_kafka = async {
            if let Some(kafka) = &self.kafka {
                kafka.stop().await
            }
        };
        let stop_chain = async {
            if let Some(chain) = &self.chain {
                chain.stop().await
            }
        };
        let stop_postgres = async {
            if let Some(postgres) = &self.postgres {
                postgres.stop().await
            }
        };
        tokio::join!(stop_kafka, stop_chain, stop_postgres);
    }
}

struct Timer {
    begun: Instant,
    on_ready: Arc<dyn Fn(Progress) + Send + Sync>,
}

impl Timer {
    /// Starts a part if it is wanted, and tells when it is ready.
    async fn time<T>(
        &self,
        part: Part,
        wanted: bool,
        start: impl Future<Output = Result<T, StackError>>,
    ) -> Result<Option<T>, StackError> {
        if !wanted {
            return Ok(None);
        }
        let started = start.await?;
        let took = self.begun.elapsed();
        tracing::info!(%part, took_ms = took.as_millis(), "ready");
        (self.on_ready)(Progress { part, took });
        Ok(Some(started))
    }
}

/// Makes sure that no other process runs a stack on the same folder.
fn lock(data_dir: &Path) -> Result<File, StackError> {
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(StackError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StackError::DataFolderInUse { path: data_dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(StackError::Io { path, source }),
    }
}
