//! One configuration file, with environment overrides: `RUNPROOF_CHAIN__RPC_URL` sets `rpc_url` of `[chain]`.

use std::{
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use alloy::primitives::Address;
use eyre::{Context, OptionExt, Result, ensure};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
use runproof_contracts::ContractKind;
use runproof_indexer::endpoints::Role;
use serde::{Deserialize, Serialize};
use url::Url;

/// Where the configuration is, if nothing else is said; only this file may be missing.
pub const DEFAULT_FILE: &str = "runproof.toml";

/// Name of the source that `[chain]` describes.
pub const MAIN: &str = "main";

/// All settings. Roles read their own section and what they share.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The chain and the contracts on it.
    pub chain: Chain,
    /// Where everything is kept.
    pub postgres: Postgres,
    /// Where the journal is published; absent: nowhere.
    pub kafka: Option<Kafka>,
    /// Step Functions and SQS.
    pub aws: Aws,
    /// Who registers.
    pub identity: Identity,
    /// The TLS site that publishes documents.
    pub site: Site,
    /// How executions are followed.
    pub executor: Executor,
    /// How states are verified.
    pub verifier: Verifier,
    /// GraphQL and the monitor page.
    pub api: Api,
    /// Health and metrics; absent: not served.
    pub operations: Option<Operations>,
    /// Further contracts to index, to verify and to serve.
    #[serde(rename = "source")]
    pub sources: Vec<Source>,
}

/// A further contract, on the same chain or another, with a journal of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// Part of its topics' names and of its path in the API.
    pub name: String,
    /// The chain and the contract.
    pub chain: Chain,
    /// A database of its own: a database holds one journal.
    pub postgres: Postgres,
}

/// The chain and the contracts on it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Chain {
    /// JSON-RPC over HTTP.
    pub rpc_url: Url,
    /// JSON-RPC over a websocket: a hint to look now. Absent: the chain is polled.
    pub ws_url: Option<Url>,
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
        let rules = |chain: &Self| (chain.quorum, chain.max_lag_blocks);
        (&self.rpc_url, &self.ws_url, &self.endpoint) == (&other.rpc_url, &other.ws_url, &other.endpoint)
            && rules(self) == rules(other)
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self {
            rpc_url: local("http://127.0.0.1:8545"),
            ws_url: None,
            registry: Address::ZERO,
            kind: ContractKind::Registry,
            registry_deployed_at_block: 0,
            ens_registry: alloy::primitives::address!("00000000000C2E074eC69A0dFb2997BA6C7d2e1e"),
            quorum: 1,
            max_lag_blocks: 16,
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
}

impl Default for Postgres {
    fn default() -> Self {
        Self { url: "postgres://postgres@127.0.0.1:5432/runproof".into() }
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
    /// Passed to librdkafka as they are, such as `security.protocol`.
    pub client: std::collections::BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        Self { bootstrap: "127.0.0.1:9092".into(), topic: "runproof.events".into(), client: Default::default() }
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
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            endpoint_url: None,
            region: "us-east-1".into(),
            role_arn: "arn:aws:iam::123456789012:role/runproof".into(),
            access_key_id: None,
            secret_access_key: None,
        }
    }
}

impl std::fmt::Debug for Aws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Aws")
            .field("endpoint_url", &self.endpoint_url)
            .field("region", &self.region)
            .field("role_arn", &self.role_arn)
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
    pub password: String,
    /// ENS name that leads to the site, such as `company.eth`.
    pub ens_name: Option<String>,
    /// Host names and addresses for a generated certificate.
    pub hosts: Vec<String>,
}

impl Default for Identity {
    fn default() -> Self {
        Self {
            folder: "identity".into(),
            password: String::new(),
            ens_name: None,
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("folder", &self.folder)
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

/// How executions are followed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Executor {
    /// Wait between looks at a running execution, milliseconds.
    pub poll_interval_ms: u64,
    /// States registered by one transaction at most.
    pub max_batch: usize,
    /// Gas that one transaction may use at most.
    pub max_gas: u64,
    /// How long what is captured may wait for the transaction before it to be included, milliseconds.
    pub max_wait_ms: u64,
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
            max_batch: defaults::DEFAULT_MAX_BATCH,
            max_gas: defaults::DEFAULT_MAX_GAS,
            max_wait_ms: defaults::DEFAULT_MAX_WAIT.as_millis() as u64,
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

impl Config {
    /// Reads the file, if there is one, and the environment. Relative folders are meant from the file's own.
    ///
    /// # Errors
    /// Names the file and the setting that does not fit.
    pub fn load(file: &Path) -> Result<Self> {
        ensure!(
            file.exists() || file == Path::new(DEFAULT_FILE),
            "there is no configuration file {}: copy runproof.example.toml, or start `runproof stack`, which writes one",
            file.display()
        );
        let mut config: Self = Figment::from(Serialized::defaults(Self::default()))
            .merge(Toml::file(file))
            .merge(Env::prefixed("RUNPROOF_").filter(|key| key.as_str().contains("__")).split("__"))
            .extract()
            .wrap_err_with(|| {
                format!(
                    "{} or a RUNPROOF_… variable does not fit; runproof.example.toml shows every setting",
                    file.display()
                )
            })?;
        let base = file.parent().unwrap_or(Path::new("."));
        config.identity.folder = base.join(&config.identity.folder);
        config.api.certificate = config.api.certificate.map(|path| base.join(path));
        config.api.key = config.api.key.map(|path| base.join(path));
        config.check_sources()?;
        Ok(config)
    }

    fn check_sources(&self) -> Result<()> {
        for (place, Source { name, postgres, .. }) in self.sources.iter().enumerate() {
            let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            ensure!(
                !name.is_empty() && name != MAIN && name.chars().all(plain),
                "`{name}` cannot be the name of a source: take a-z, 0-9 and -, but not `{MAIN}`, which is [chain]"
            );
            let before = &self.sources[..place];
            ensure!(before.iter().all(|other| other.name != *name), "two sources are called `{name}`");
            ensure!(
                before
                    .iter()
                    .map(|other| &other.postgres)
                    .chain([&self.postgres])
                    .all(|other| other.url != postgres.url),
                "source `{name}` needs a database of its own: a database holds one journal"
            );
        }
        Ok(())
    }

    /// The same configuration for each source: that of `[chain]`, and the further ones with their chain, database and topics in its place.
    pub fn each_source(&self) -> Vec<Self> {
        let main = Self { sources: Vec::new(), ..self.clone() };
        let further = self.sources.iter().map(|source| Self {
            chain: source.chain.clone(),
            postgres: source.postgres.clone(),
            kafka: self.kafka.as_ref().map(|kafka| kafka.of_source(&source.name)),
            ..main.clone()
        });
        std::iter::once(main.clone()).chain(further).collect()
    }

    /// The configuration for the sources that are named, for all if none is.
    ///
    /// # Errors
    /// A name that no source has.
    pub fn named_sources(&self, names: &[String]) -> Result<Vec<Self>> {
        let known: Vec<&str> = std::iter::once(MAIN).chain(self.sources.iter().map(|one| one.name.as_str())).collect();
        let each = self.each_source();
        let place = |name: &String| known.iter().position(|one| one == name);
        let named = names.iter().map(|name| {
            let place =
                place(name).ok_or_eyre(format!("there is no source `{name}`: there are {}", known.join(", ")))?;
            Ok(each[place].clone())
        });
        if names.is_empty() { Ok(each) } else { named.collect() }
    }
}

impl Kafka {
    /// `runproof.events` becomes `runproof.<name>.events`.
    fn of_source(&self, name: &str) -> Self {
        let family = self.topic.strip_suffix(".events").unwrap_or(&self.topic);
        Self { topic: format!("{family}.{name}.events"), ..self.clone() }
    }
}

fn local(text: &'static str) -> Url {
    #[expect(clippy::unwrap_used, reason = "a constant of this file, parsed by a test of the defaults")]
    Url::parse(text).unwrap()
}
