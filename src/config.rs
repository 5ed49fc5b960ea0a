//! One configuration file, with environment overrides: `RUNPROOF_CHAIN__RPC_URL` sets `rpc_url` of `[chain]`.

mod secret;
mod sections;

use std::path::Path;

use eyre::{Context, OptionExt, Result, ensure};
use figment::{
    Figment,
    providers::{Env, Format, Serialized, Toml},
};
pub use secret::Secret;
pub use sections::*;
use serde::{Deserialize, Serialize};

/// Where the configuration is, if nothing else is said; only this file may be missing.
pub const DEFAULT_FILE: &str = "runproof.toml";

/// Name of the source that `[chain]` describes.
pub const MAIN: &str = "main";

/// Gas that a transaction may use at most, 2^24: <https://eips.ethereum.org/EIPS/eip-7825>.
const MAX_GAS: u64 = 1 << 24;

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
    /// Where documents are stored for a static host; absent: nowhere.
    pub publication: Option<Publication>,
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
    /// Which source `chain` is, if this is the configuration of a further one.
    #[serde(skip)]
    pub further: Option<String>,
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
        let written = Figment::from(Toml::file(file));
        ensure!(
            !written.contains("identity.private_key"),
            "`private_key` of [identity] is in {}: a key in plain text is taken from RUNPROOF_IDENTITY__PRIVATE_KEY alone, for development; else use the keystore or `kms_key`",
            file.display()
        );
        let said = written.merge(Env::prefixed("RUNPROOF_").filter(|key| key.as_str().contains("__")).split("__"));
        let all = Figment::from(Serialized::defaults(Self::default())).merge(&said);
        let mut config: Self = all.extract().wrap_err_with(|| {
            format!(
                "{} or a RUNPROOF_… variable does not fit; runproof.example.toml shows every setting",
                file.display()
            )
        })?;
        config.postgres.is_set = said.contains("postgres.url");
        let base = file.parent().unwrap_or(Path::new("."));
        config.identity.folder = base.join(&config.identity.folder);
        config.api.certificate = config.api.certificate.map(|path| base.join(path));
        config.api.key = config.api.key.map(|path| base.join(path));
        ensure!(
            config.executor.max_gas <= MAX_GAS,
            "`max_gas` of [executor] is {}, and no transaction may use more than {MAX_GAS} (2^24, EIP-7825): nodes would refuse it",
            config.executor.max_gas
        );
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

    /// Name of the source that `chain` is.
    pub fn source_name(&self) -> &str {
        self.further.as_deref().unwrap_or(MAIN)
    }

    /// The same configuration for each source: that of `[chain]`, and the further ones with their chain, database and topics in its place.
    pub fn each_source(&self) -> Vec<Self> {
        let main = Self { sources: Vec::new(), ..self.clone() };
        let further = self.sources.iter().map(|source| Self {
            chain: source.chain.clone(),
            postgres: source.postgres.clone(),
            kafka: self.kafka.as_ref().map(|kafka| kafka.of_source(&source.name)),
            further: Some(source.name.clone()),
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
