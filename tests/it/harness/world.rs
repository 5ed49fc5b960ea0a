//! One test's own database, contract, issuer, ENS name, topic, ports and configuration file.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use alloy::{
    primitives::{Address, U256},
    providers::Provider,
};
use runproof_protocol::{InstanceId, verdict::Verdict};
use runproof_stack::{CHAIN_ID, Chain, Endpoints, LocalStack, Registry, Stack};
use sqlx::{PgPool, postgres::PgPoolOptions};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::{
    command::{self, Role, free_port, succeeded},
    localstack, own_chain, stack,
};

static NUMBER: AtomicU32 = AtomicU32::new(0);
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
const TEMPLATE_DATABASE: &str = "runproof_template";
const PASSWORD: &str = "only for tests";

/// Everything a test needs, apart from other tests.
pub struct World {
    /// Name of this world, unique in the test run: part of its database, topic, ENS name and state machines.
    pub name: String,
    /// Its registry contract.
    pub registry: Registry,
    /// Its database.
    pub pool: PgPool,
    /// Who registers.
    pub issuer: Address,
    /// Base URL of its site.
    pub site_url: String,
    /// Base URL of its API.
    pub api_url: String,
    /// Its Kafka topic.
    pub topic: String,
    /// The issuer's transactions when the world was made.
    pub nonce_after_binding: u64,
    folder: TempDir,
    chain: Option<Stack>,
}

/// What differs from the default world.
#[derive(Default)]
pub struct WorldBuilder {
    own_chain: bool,
    aws_endpoint_url: Option<String>,
    localstack: bool,
}

impl WorldBuilder {
    /// A chain of its own, which it may reorganise.
    pub fn own_chain(mut self) -> Self {
        self.own_chain = true;
        self
    }

    /// Another Step Functions endpoint than the emulator.
    pub fn aws_endpoint_url(mut self, url: impl Into<String>) -> Self {
        self.aws_endpoint_url = Some(url.into());
        self
    }

    /// The second emulator instead of the first.
    pub fn localstack(mut self) -> Self {
        self.localstack = true;
        self
    }

    /// Makes the world.
    pub async fn build(self) -> World {
        let shared = stack().await;
        let name = format!("w{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let folder = TempDir::new().expect("a temporary folder");
        let chain = if self.own_chain { Some(own_chain(&folder.path().join("chain")).await) } else { None };
        let on_chain = chain.as_ref().unwrap_or(shared).chain().expect("started");
        let registry = on_chain.deploy_registry().await.expect("the contract deploys");
        let database_url = database(shared, &name).await;
        let pool = PgPoolOptions::new().max_connections(3).connect(&database_url).await.expect("the database answers");
        let (site_port, api_port) = (free_port(), free_port());
        let mut world = World {
            topic: format!("{name}.events"),
            site_url: format!("https://localhost:{site_port}"),
            api_url: format!("https://localhost:{api_port}"),
            name,
            registry,
            pool,
            issuer: Address::ZERO,
            nonce_after_binding: 0,
            folder,
            chain,
        };
        let mut aws = shared.endpoints();
        aws.aws_endpoint_url = self.aws_endpoint_url.or(aws.aws_endpoint_url);
        if self.localstack {
            aws.aws_endpoint_url = Some(localstack().await.endpoint_url().to_owned());
            aws.aws_access_key_id = LocalStack::ACCESS_KEY.to_owned();
        }
        world.configure(&aws, &database_url, site_port, api_port);
        world.identify().await;
        world
    }
}

/// A migrated database: the schema is made once and cloned for each test.
async fn database(shared: &Stack, name: &str) -> String {
    let postgres = shared.postgres().expect("started");
    TEMPLATE
        .get_or_init(|| async {
            let url = postgres.create_database(TEMPLATE_DATABASE).await.expect("a new database");
            let database = sea_orm::Database::connect(&url).await.expect("it answers");
            runproof_migrations::migrate(&database).await.expect("the schema fits");
            database.close().await.expect("nothing else uses it");
        })
        .await;
    postgres.create_database_from(name, TEMPLATE_DATABASE).await.expect("a clone of the template")
}

impl World {
    /// The default world.
    pub async fn new() -> Self {
        Self::builder().build().await
    }

    /// A world that differs.
    pub fn builder() -> WorldBuilder {
        WorldBuilder::default()
    }

    /// The chain that it is on.
    pub async fn chain(&self) -> &runproof_stack::Chain {
        match &self.chain {
            Some(own) => own.chain().expect("started"),
            None => stack().await.chain().expect("started"),
        }
    }

    /// Chain and contract, as heads name them.
    pub fn registry_at(&self) -> runproof_protocol::head::Registry {
        runproof_protocol::head::Registry { chain_id: CHAIN_ID, address: self.registry.address }
    }

    /// Transactions of the issuer so far.
    pub async fn nonce(&self) -> u64 {
        let count = self.chain().await.provider().get_transaction_count(self.issuer).await;
        count.expect("the chain answers")
    }

    /// Its configuration file.
    pub fn config(&self) -> PathBuf {
        self.folder.path().join("runproof.toml")
    }

    /// A file of its own.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).expect("the folder can be written");
        path
    }

    /// Folder of the issuer's keystore and certificate.
    pub fn identity(&self) -> PathBuf {
        self.folder.path().join("identity")
    }

    /// The binary with this world's configuration, to be run or changed by the test.
    pub fn command(&self, arguments: &[&str]) -> Command {
        self.command_as(&self.identity(), arguments)
    }

    /// The same, as somebody else.
    pub fn command_as(&self, identity: &Path, arguments: &[&str]) -> Command {
        let mut command = command::runproof(&self.config(), arguments);
        command.env("RUNPROOF_IDENTITY__PASSWORD", PASSWORD).env("RUNPROOF_IDENTITY__FOLDER", identity);
        command
    }

    /// Runs the binary to its end, which must be a success; returns its standard output.
    pub async fn runproof(&self, arguments: &[&str]) -> String {
        let mut command = self.command(arguments);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs");
        succeeded(&output.expect("the binary runs"), &arguments.join(" "))
    }

    /// Starts a role of the binary.
    pub fn start(&self, arguments: &[&str]) -> Role {
        let log = self.folder.path().join(format!("{}.log", arguments[0]));
        Role::start(self.command(arguments), log)
    }

    /// The verdict of `runproof verify --json`, whatever its grade, and whether it succeeded.
    pub async fn verify(&self, instance: InstanceId, arguments: &[&str]) -> (Verdict, bool) {
        let id = instance.to_string();
        let mut command = self.command(&[&["verify", id.as_str(), "--json"], arguments].concat());
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
        let verdict = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("no verdict ({error}): {}", String::from_utf8_lossy(&output.stderr));
        });
        (verdict, output.status.success())
    }

    /// An address with funds and a keystore of its own, in a folder of this name.
    pub async fn somebody(&self, name: &str) -> (PathBuf, Address) {
        let folder = self.folder.path().join(name);
        let mut command = self.command_as(&folder, &["identity", "new"]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs");
        let told = succeeded(&output.expect("the binary runs"), "identity new");
        let address = address_in(&told);
        let wei = U256::from(10).pow(U256::from(19));
        self.chain().await.fund(address, wei).await.expect("the development chain funds anybody");
        (folder, address)
    }

    /// Adds a source to the configuration, with a database of its own.
    pub async fn add_source(&self, name: &str, chain: &Chain, kind: &str, contract: Address) -> PgPool {
        let database_url = database(stack().await, &format!("{}_{name}", self.name)).await;
        let text = format!(
            r#"[[source]]
name = "{name}"
[source.chain]
rpc_url = "{rpc}"
ws_url = "{ws}"
registry = "{contract}"
kind = "{kind}"
[source.postgres]
url = "{database_url}"
"#,
            rpc = chain.http_url(),
            ws = chain.ws_url(),
        );
        let configured = std::fs::read_to_string(self.config()).expect("it was written");
        self.file("runproof.toml", configured + &text);
        PgPoolOptions::new().max_connections(3).connect(&database_url).await.expect("the database answers")
    }

    fn configure(&self, shared: &Endpoints, database_url: &str, site: u16, api: u16) {
        let chain = self.chain.as_ref().map_or_else(|| shared.clone(), Stack::endpoints);
        let text = format!(
            r#"[chain]
rpc_url = "{rpc}"
ws_url = "{ws}"
registry = "{registry}"
registry_deployed_at_block = {block}
ens_registry = "{ens}"
[postgres]
url = "{database_url}"
[kafka]
bootstrap = "{kafka}"
topic = "{topic}"
[aws]
endpoint_url = "{aws}"
region = "{region}"
access_key_id = "{key}"
secret_access_key = "{secret}"
[identity]
ens_name = "{name}.runproof.eth"
[site]
listen = "127.0.0.1:{site}"
public_url = "{site_url}"
[executor]
poll_interval_ms = 100
[verifier]
allow_private_addresses = true
recheck_interval_s = 2
[api]
listen = "127.0.0.1:{api}"
"#,
            rpc = chain.rpc_http_url.as_deref().expect("started"),
            ws = chain.rpc_ws_url.as_deref().expect("started"),
            registry = self.registry.address,
            block = self.registry.deployed_at_block,
            ens = chain.ens_registry.expect("started"),
            kafka = shared.kafka_bootstrap.as_deref().expect("started"),
            topic = self.topic,
            aws = shared.aws_endpoint_url.as_deref().expect("started"),
            region = shared.aws_region,
            key = shared.aws_access_key_id,
            secret = shared.aws_secret_access_key,
            name = self.name,
            site_url = self.site_url,
        );
        self.file("runproof.toml", text);
    }

    async fn identify(&mut self) {
        let (_, issuer) = self.somebody("identity").await;
        self.issuer = issuer;
        self.chain().await.register_name(&self.name, issuer).await.expect("the name is free");
        self.runproof(&["identity", "bind"]).await;
        self.nonce_after_binding = self.nonce().await;
    }
}

/// The first address in what a command printed.
pub fn address_in(text: &str) -> Address {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    words.filter(|word| word.len() == 42).find_map(|word| word.parse().ok()).expect("an address was printed")
}
