//! A geth without a consensus client: whoever holds it decides by the engine API which block is the head, so that its reorganisations are real ones.

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use alloy::network::EthereumWallet;
use alloy::primitives::{Address, B256, U256, keccak256};
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::Header;
use alloy::signers::local::PrivateKeySigner;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::process::{Launch, Server};
use crate::{CHAIN_ID, Part, StackError, Tools, postgres};

const POOL_LOOK: Duration = Duration::from_millis(5);
/// Accounts with funds.
const ACCOUNTS: u8 = 5;

/// A running geth on a chain of its own.
#[derive(Debug)]
pub struct Geth {
    server: Server,
    url: String,
    engine_url: String,
    secret: B256,
    http: reqwest::Client,
    provider: DynProvider,
    accounts: Vec<Address>,
}

impl Geth {
    /// Whether `install.sh --faults` has been run here.
    pub fn is_installed() -> bool {
        Tools::locate().geth().is_ok()
    }

    /// Starts it with a new chain in an empty folder, on free ports.
    pub async fn start(folder: &Path) -> Result<Self, StackError> {
        let tools = Tools::locate();
        fs::create_dir_all(folder).map_err(StackError::io(folder))?;
        let keys = (0..ACCOUNTS).map(|account| keccak256([b"runproof".as_slice(), &[account]].concat()));
        let keys = keys.map(|key| PrivateKeySigner::from_bytes(&key)).collect::<Result<Vec<_>, _>>();
        let keys = keys.map_err(StackError::refused(Part::Chain, "making its accounts"))?;
        let accounts: Vec<Address> = keys.iter().map(PrivateKeySigner::address).collect();
        let [genesis, data, jwt] = ["genesis.json", "geth", "jwt"].map(|name| folder.join(name));
        let secret = keccak256(folder.as_os_str().as_encoded_bytes());
        fs::write(&genesis, self::genesis(&accounts).to_string()).map_err(StackError::io(&genesis))?;
        fs::write(&jwt, secret.to_string()).map_err(StackError::io(&jwt))?;
        postgres::run(Command::new(tools.geth()?).args(["init", "--datadir"]).args([&data, &genesis]))?;
        let ports = crate::Ports::free()?;
        let port = |name: &str, port: u16| [name.to_owned(), port.to_string()];
        let mut args: Vec<String> = [
            "--syncmode",
            "full",
            "--nodiscover",
            "--maxpeers",
            "0",
            "--port",
            "0",
            "--ipcdisable",
            "--http",
            "--http.api",
            "eth,net,testing,txpool",
            // Its own rule is to stop below 1 GiB, far more than a short chain needs.
            "--datadir.minfreedisk",
            "64",
        ]
        .map(Into::into)
        .into();
        args.extend([port("--http.port", ports.chain), port("--authrpc.port", ports.aws)].concat());
        let mut args: Vec<std::ffi::OsString> = args.into_iter().map(Into::into).collect();
        args.extend(["--datadir".into(), data.into_os_string(), "--authrpc.jwtsecret".into(), jwt.into_os_string()]);
        let server = Server::new(Launch {
            part: Part::Chain,
            setpriv: tools.setpriv()?,
            program: tools.geth()?,
            args,
            env: vec![],
            account: None,
            run_dir: folder.to_owned(),
            stop_signal: Signal::SIGINT,
        });
        let [url, engine_url] = [ports.chain, ports.aws].map(|port| format!("http://127.0.0.1:{port}"));
        let mut wallet = EthereumWallet::default();
        keys.into_iter().for_each(|key| wallet.register_signer(key));
        let http_url = url.parse().map_err(StackError::refused(Part::Chain, "reading its address"))?;
        let builder = ProviderBuilder::default().with_simple_nonce_management().with_chain_id(CHAIN_ID).wallet(wallet);
        let provider = builder.connect_http(http_url).erased();
        let geth = Self { server, url, engine_url, secret, http: reqwest::Client::new(), provider, accounts };
        geth.server.start(|| async { geth.provider.get_chain_id().await.is_ok() }).await?;
        Ok(geth)
    }

    /// JSON-RPC over HTTP.
    pub fn http_url(&self) -> String {
        self.url.clone()
    }

    /// JSON-RPC that signs for [`Self::accounts`]; gas and its price must be given.
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// Those with funds.
    pub fn accounts(&self) -> &[Address] {
        &self.accounts
    }

    /// Makes a block after the head, of what waits in the pool; it becomes the head.
    pub async fn mine(&self) -> Result<B256, StackError> {
        let refused = || StackError::refused(Part::Chain, "making a block");
        self.pool_is_sorted().await?;
        let head: Header =
            self.provider.raw_request("eth_getHeaderByNumber".into(), ["latest"]).await.map_err(refused())?;
        // Two blocks of the same height, made at different times, differ.
        let random = keccak256(U256::from(now_ns()).to_be_bytes::<32>());
        let attributes = json!({
            "timestamp": format!("{:#x}", head.inner.timestamp + 1), "prevRandao": random, "suggestedFeeRecipient": Address::ZERO,
            "withdrawals": [], "parentBeaconBlockRoot": B256::ZERO,
        });
        let params = json!([attributes, null, null]);
        self.provider.raw_request("testing_commitBlockV1".into(), params).await.map_err(refused())
    }

    /// Waits, for a while, until the pool has found out about each transaction that its turn has come; nothing tells when.
    async fn pool_is_sorted(&self) -> Result<(), StackError> {
        for _ in 0..200 {
            let refused = StackError::refused(Part::Chain, "asking for the pool");
            let status: Value = self.provider.raw_request("txpool_status".into(), [(); 0]).await.map_err(refused)?;
            if status["queued"] == "0x0" {
                break;
            }
            tokio::time::sleep(POOL_LOOK).await;
        }
        Ok(())
    }

    /// What a consensus client would say: this is the head, this is safe, this is final (zero: nothing is).
    pub async fn choose(&self, head: B256, safe: B256, finalized: B256) -> Result<(), StackError> {
        const METHOD: &str = "engine_forkchoiceUpdatedV3";
        let refused = || StackError::refused(Part::Chain, METHOD);
        let state = json!({"headBlockHash": head, "safeBlockHash": safe, "finalizedBlockHash": finalized});
        let body = json!({"jsonrpc": "2.0", "id": 1, "method": METHOD, "params": [state, null]});
        let request = self.http.post(&self.engine_url).bearer_auth(self.token()?).json(&body);
        let answer: Value = request.send().await.map_err(refused())?.json().await.map_err(refused())?;
        match answer.pointer("/result/payloadStatus/status").and_then(Value::as_str) {
            Some("VALID") => Ok(()),
            _ => Err(StackError::refused::<String>(Part::Chain, METHOD)(answer.to_string())),
        }
    }

    /// Ends it.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// A JSON Web Token (RFC 7519) as the engine API asks for: signed by the shared secret, issued now.
    fn token(&self) -> Result<String, StackError> {
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let issued_at_s = now_ns() / 1_000_000_000;
        let signed =
            format!("{}.{}", part(json!({"alg": "HS256", "typ": "JWT"})), part(json!({"iat": issued_at_s as u64})));
        let mac = Hmac::<Sha256>::new_from_slice(self.secret.as_slice());
        let mut mac = mac.map_err(StackError::refused(Part::Chain, "signing a token"))?;
        mac.update(signed.as_bytes());
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
    }
}

fn now_ns() -> u128 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
}

/// A chain of its own from the Cancun fork on, which needs no contracts of the system.
fn genesis(accounts: &[Address]) -> Value {
    let mut config = json!({"chainId": CHAIN_ID, "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 0,
        "blobSchedule": {"cancun": {"target": 3, "max": 6, "baseFeeUpdateFraction": 3_338_477}}});
    for fork in [
        "homestead",
        "eip150",
        "eip155",
        "eip158",
        "byzantium",
        "constantinople",
        "petersburg",
        "istanbul",
        "berlin",
        "london",
    ] {
        config[format!("{fork}Block")] = json!(0);
    }
    let funds = U256::from(10).pow(U256::from(30));
    let alloc: serde_json::Map<String, Value> =
        accounts.iter().map(|account| (account.to_string(), json!({"balance": funds.to_string()}))).collect();
    json!({"config": config, "difficulty": "0x0", "gasLimit": "0x11e1a300", "timestamp": "0x0", "extraData": "0x",
        "baseFeePerGas": "0x3b9aca00", "alloc": alloc})
}
