//! A key that AWS KMS keeps, and one from the environment: what is registered is theirs.

use std::{path::PathBuf, process::Command};

use alloy_primitives::{Address, U256};
use aws_sdk_kms::{
    Client,
    types::{KeySpec, KeyUsageType},
};
use runproof_contracts::InstanceRegistry;
use runproof_protocol::{ModelId, verdict::Verdict};
use serde_json::json;

use crate::harness::{self, Role, World, address_in, eventually, localstack, stack};

/// 0.01 ether: enough for a model, and below what the log warns of.
const LITTLE_WEI: u64 = 10_000_000_000_000_000;

/// Somebody in a world whose key is not in a keystore.
struct Other {
    world: World,
    folder: PathBuf,
    key: (&'static str, String),
}

impl Other {
    async fn new(setting: &'static str, key: String) -> Self {
        Self::in_world(World::new().await, setting, key)
    }

    fn in_world(world: World, setting: &'static str, key: String) -> Self {
        Self { folder: world.config().with_file_name("other"), world, key: (setting, key) }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.world.command_as(&self.folder, arguments);
        command.env(self.key.0, &self.key.1).env_remove("RUNPROOF_IDENTITY__PASSWORD");
        command
    }

    /// Makes its identity, gives it a little ether, and returns its address.
    async fn identify(&self) -> Address {
        let (told, _) = run(self.command(&["identity", "new"])).await;
        assert!(!self.folder.join("keystore.json").exists());
        let account = address_in(&told);
        let chain = self.world.chain().await;
        chain.fund(account, U256::from(LITTLE_WEI)).await.expect("the development chain funds anybody");
        account
    }

    /// A model of its own, and the command that deploys it.
    fn deployment(&self, more: &[&str]) -> (ModelId, Command) {
        let model = json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}, "Comment": self.world.name});
        let model = model.to_string();
        let id = ModelId::of(model.as_bytes());
        let path = self.world.file("other.asl.json", model);
        let name = format!("{}-other", self.world.name);
        (id, self.command(&[&["deploy", &path.to_string_lossy(), "--name", &name], more].concat()))
    }

    async fn has_registered(&self, account: Address, model: ModelId) -> bool {
        let registry = InstanceRegistry::new(self.world.registry.address, self.world.chain().await.provider());
        registry.modelRegisteredAtBlock(account, model.0).call().await.expect("the chain answers") != 0
    }
}

/// A new key of KMS: its id, and its address as it follows from the public key.
async fn key_of_kms(client: &Client) -> (String, Address) {
    let created = client.create_key().key_spec(KeySpec::EccSecgP256K1).key_usage(KeyUsageType::SignVerify);
    let created = created.send().await.expect("KMS makes a key").key_metadata.expect("it is described");
    let public = client.get_public_key().key_id(&created.key_id).send().await.expect("KMS tells it").public_key;
    // RFC 5480: the point is at the end, 64 bytes after the one that says that it is not compressed.
    let public = public.expect("there is one").into_inner();
    (created.key_id, Address::from_raw_public_key(&public[public.len() - 64..]))
}

#[test]
fn a_run_that_a_key_of_kms_registers_is_verified() {
    harness::run(async {
        let world = World::builder().localstack().build().await;
        let (key, address) = key_of_kms(&Client::new(&localstack().await.sdk_config())).await;
        let label = format!("{}-kms", world.name);
        let name = format!("{label}.runproof.eth");
        let other = Other::in_world(world, "RUNPROOF_IDENTITY__KMS_KEY", key);
        assert_eq!(other.identify().await, address);
        other.world.chain().await.register_name(&label, address).await.expect("the name is free");
        let command = |arguments: &[&str]| {
            let mut command = other.command(arguments);
            command.env("RUNPROOF_IDENTITY__ENS_NAME", &name);
            command
        };
        run(command(&["identity", "bind"])).await;
        run(other.deployment(&[]).1).await;
        let (told, _) = run(command(&["run", &format!("{}-other", other.world.name)])).await;
        let execution = told.split_whitespace().last().expect("an ARN");
        let (told, _) = run(command(&["follow", execution, "--once"])).await;
        let instance = told.split_whitespace().last().expect("an id");

        let _site = Role::start(command(&["site"]), other.world.config().with_file_name("site.log"));
        let verdict = eventually("the run is verified", async || {
            let (passed, told, _) = output(command(&["verify", instance, "--json"])).await;
            passed.then(|| serde_json::from_str::<Verdict>(&told).expect("a verdict"))
        })
        .await;
        assert_eq!((verdict.issuer, verdict.states.len()), (address, 1));
    });
}

/// The stack's own emulator hashes what it is told to sign as it is.
#[test]
fn what_kms_signs_otherwise_than_asked_is_not_sent() {
    harness::run(async {
        let client = Client::new(stack().await.emulator().expect("started").sdk_config());
        let (key, address) = key_of_kms(&client).await;
        let other = Other::new("RUNPROOF_IDENTITY__KMS_KEY", key).await;
        assert_eq!(other.identify().await, address);

        let (model, deploy) = other.deployment(&[]);
        let (succeeded, _, log) = output(deploy).await;
        assert!(!succeeded && log.contains("not this digest as it is"), "{log}");
        assert!(!other.has_registered(address, model).await);
    });
}

#[test]
fn a_key_of_kms_that_is_not_there_is_named() {
    harness::run(async {
        let other = Other::new("RUNPROOF_IDENTITY__KMS_KEY", "alias/nobody".to_owned()).await;
        let (succeeded, _, log) = output(other.command(&["identity", "new"])).await;
        assert!(!succeeded && log.contains("alias/nobody") && log.contains("ECC_SECG_P256K1"), "{log}");
    });
}

#[test]
fn a_key_from_the_environment_registers_a_model_with_warnings_after_a_dry_run() {
    harness::run(async {
        let key = format!("0x{:064x}", 0xc0ffee);
        let other = Other::new("RUNPROOF_IDENTITY__PRIVATE_KEY", key.clone()).await;
        let account = other.identify().await;

        let (model, dry) = other.deployment(&["--dry-run"]);
        let (quote, _) = run(dry).await;
        assert!(quote.contains(" gas, at most 0.0"), "{quote}");
        assert!(!other.has_registered(account, model).await, "a dry run sends nothing");

        let (_, log) = run(other.deployment(&[]).1).await;
        assert!(other.has_registered(account, model).await);
        assert!(log.contains("for development only"), "{log}");
        assert!(log.contains("balance is low"), "{log}");
        assert!(!log.contains(&key[2..]), "no key in a log");
        let (quote, _) = run(other.deployment(&["--dry-run"]).1).await;
        assert!(quote.contains(" 0 gas"), "all is registered: {quote}");
    });
}

/// Whether a command succeeds, its standard output and its log.
async fn output(mut command: Command) -> (bool, String, String) {
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
    let [told, log] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.success(), told, log)
}

/// Standard output and log of a command that succeeds.
async fn run(command: Command) -> (String, String) {
    let (succeeded, told, log) = output(command).await;
    assert!(succeeded, "{log}");
    (told, log)
}
