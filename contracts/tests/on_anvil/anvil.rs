//! A private anvil with the registry deployed, gone when dropped.

use std::{
    env,
    io::{BufRead, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use alloy::{
    network::EthereumWallet,
    primitives::Address,
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::TransactionReceipt,
    signers::local::PrivateKeySigner,
    sol_types::SolCall,
};
use eyre::{ContextCompat, Result, WrapErr, ensure};
use runproof_contracts::InstanceRegistry::{self, InstanceRegistryInstance};

/// The first of anvil's well-known accounts, which it funds at start.
const ISSUER_KEY: &str = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

pub(crate) struct Chain {
    process: Child,
    url: String,
    pub(crate) issuer: PrivateKeySigner,
    pub(crate) provider: DynProvider,
    pub(crate) registry: InstanceRegistryInstance<DynProvider>,
}

impl Drop for Chain {
    fn drop(&mut self) {
        // Nothing to be done about a process that is gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Chain {
    pub(crate) async fn start() -> Result<Self> {
        let (process, url) = launch()?;
        let issuer: PrivateKeySigner = ISSUER_KEY.parse()?;
        let provider = provider(&url, issuer.clone())?;
        let registry = InstanceRegistry::deploy(provider.clone()).await.wrap_err("deploying the registry")?;
        Ok(Self { process, url, issuer, provider, registry })
    }

    /// Sends a call to the registry as the issuer and waits until it is mined.
    pub(crate) async fn send(&self, call: impl SolCall) -> Result<TransactionReceipt> {
        let sent = self.registry.call_builder(&call).send().await?;
        let receipt = sent.get_receipt().await?;
        ensure!(receipt.status(), "the transaction reverted");
        Ok(receipt)
    }

    /// The same registry as another account sees it.
    pub(crate) fn registry_as(&self, account: PrivateKeySigner) -> Result<InstanceRegistryInstance<DynProvider>> {
        Ok(InstanceRegistry::new(self.address(), provider(&self.url, account)?))
    }

    pub(crate) fn address(&self) -> Address {
        *self.registry.address()
    }
}

fn provider(url: &str, account: PrivateKeySigner) -> Result<DynProvider> {
    Ok(ProviderBuilder::new().wallet(EthereumWallet::new(account)).connect_http(url.parse()?).erased())
}

/// Starts anvil on a free port; it tells which on its standard output.
fn launch() -> Result<(Child, String)> {
    let mut process = Command::new(binary())
        .args(["--port", "0"])
        .stdout(Stdio::piped())
        .spawn()
        .wrap_err("anvil does not start: run `make setup`, or set RUNPROOF_TOOLS to the tools folder")?;
    let output = process.stdout.take().wrap_err("anvil has no output")?;
    let mut lines = BufReader::new(output).lines();
    let address = loop {
        let line = lines.next().wrap_err("anvil ended before it listened")??;
        if let Some(address) = line.strip_prefix("Listening on ") {
            break address.to_owned();
        }
    };
    // Its pipe must not fill.
    std::thread::spawn(move || lines.for_each(drop));
    Ok((process, format!("http://{address}")))
}

fn binary() -> PathBuf {
    let tools = env::var_os("RUNPROOF_TOOLS").map(PathBuf::from).or_else(|| {
        let cache = env::var_os("XDG_CACHE_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
        Some(cache?.join("runproof/tools"))
    });
    tools
        .and_then(|tools| std::fs::read_dir(tools.join("foundry/node_modules/@foundry-rs")).ok())
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("bin/anvil")))
        .find(|path| path.is_file())
        .unwrap_or_else(|| "anvil".into())
}
