//! A private development chain (anvil) that keeps its blocks, with the real ENS and the instance registry on it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alloy::network::TransactionBuilder;
use alloy::primitives::{Address, Bytes, U256};
use alloy::providers::ext::AnvilApi;
use alloy::providers::{DynProvider, Provider, ProviderBuilder};
use alloy::rpc::types::anvil::ReorgOptions;
use alloy::rpc::types::{TransactionReceipt, TransactionRequest};
use nix::sys::signal::Signal;
use runproof_contracts::InstanceRegistry;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::ens::{self, EnsContracts};
use crate::process::{Launch, Server};
use crate::{Part, StackError, Tools};

/// Chain id of the development chain.
pub const CHAIN_ID: u64 = 31337;
/// Enough for each deployment of the set-up. Estimating would fail: one transaction builds on another that is not mined yet.
const SETUP_GAS: u64 = 8_000_000;

/// When the chain makes a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mining {
    /// Every so many seconds, as a public network does.
    EverySeconds(u64),
    /// As soon as there is a transaction.
    EachTransaction,
    /// Only on [`Chain::mine`].
    OnDemand,
}

/// A contract `InstanceRegistry`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registry {
    /// Its address.
    pub address: Address,
    /// Number of the block that holds its deployment.
    pub deployed_at_block: u64,
}

/// A running development chain. Its ten accounts are funded and unlocked: for development only.
#[derive(Debug)]
pub struct Chain {
    server: Server,
    port: u16,
    mining: Mining,
    provider: DynProvider,
    contracts: Contracts,
    /// Two set-ups at once would be given the same nonce.
    sending: Mutex<()>,
}

/// What is deployed, as the data folder remembers it.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
struct Contracts {
    ens: EnsContracts,
    registry: Option<Registry>,
}

impl Chain {
    pub(crate) async fn start(data_dir: &Path, port: u16, mining: Mining, tools: &Tools) -> Result<Self, StackError> {
        let folder = data_dir.join("chain");
        fs::create_dir_all(&folder).map_err(StackError::io(&folder))?;
        let launch = Launch {
            part: Part::Chain,
            setpriv: tools.setpriv()?,
            program: tools.anvil()?,
            args: anvil_args(&folder, port, mining),
            env: vec![],
            account: None,
            run_dir: data_dir.to_owned(),
            stop_signal: Signal::SIGINT, // the only one on which anvil writes its state
        };
        let url = format!("http://127.0.0.1:{port}")
            .parse()
            .map_err(StackError::refused(Part::Chain, "reading its address"))?;
        let provider = ProviderBuilder::default().connect_http(url).erased();
        provider.client().set_poll_interval(Duration::from_millis(100));
        let mut chain = Self {
            server: Server::new(launch),
            port,
            mining,
            provider,
            contracts: Contracts::default(),
            sending: Mutex::new(()),
        };
        chain.server.reclaim().await?;
        crate::ports::ensure_free(Part::Chain, port)?;
        chain.restart().await?;
        chain.contracts = chain.deploy_once(&folder.join("contracts.json"), tools).await?;
        Ok(chain)
    }

    /// JSON-RPC over HTTP.
    pub fn http_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// JSON-RPC over WebSocket.
    pub fn ws_url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// JSON-RPC without a wallet and without fillers; anvil's own methods are in [`AnvilApi`].
    pub fn provider(&self) -> &DynProvider {
        &self.provider
    }

    /// The ENS contracts.
    pub fn ens(&self) -> EnsContracts {
        self.contracts.ens
    }

    /// The registry that the data folder's runs use.
    pub fn registry(&self) -> Option<Registry> {
        self.contracts.registry
    }

    /// Deploys one more, empty registry.
    pub async fn deploy_registry(&self) -> Result<Registry, StackError> {
        let from = self.deployer().await?;
        let transaction =
            TransactionRequest::default().with_from(from).with_deploy_code(InstanceRegistry::BYTECODE.clone());
        let receipts = self.submit(from, vec![transaction]).await?;
        let receipt = receipts.first().and_then(|receipt| Some((receipt.contract_address?, receipt.block_number?)));
        let missing = || StackError::refused(Part::Chain, "deploying InstanceRegistry")("no contract in the receipt");
        let (address, deployed_at_block) = receipt.ok_or_else(missing)?;
        Ok(Registry { address, deployed_at_block })
    }

    /// Gives `label.runproof.eth` to `owner`, who then sets its records.
    pub async fn register_name(&self, label: &str, owner: Address) -> Result<(), StackError> {
        let from = self.deployer().await?;
        self.submit(from, vec![ens::give_name(&self.contracts.ens, label, owner).with_from(from)]).await.map(drop)
    }

    /// Sends `wei` to an account; done when it is mined. A balance set by hand would stand in no block, and make its state root false.
    pub async fn fund(&self, account: Address, wei: U256) -> Result<(), StackError> {
        let from = self.deployer().await?;
        let transfer = TransactionRequest::default().with_from(from).with_to(account).with_value(wei);
        self.submit(from, vec![transfer]).await.map(drop)
    }

    /// Makes `blocks` blocks now.
    pub async fn mine(&self, blocks: u64) -> Result<(), StackError> {
        self.provider.anvil_mine(Some(blocks), None).await.map_err(StackError::refused(Part::Chain, "mining"))
    }

    /// Replaces the last `depth` blocks by as many others without their transactions (anvil tells new heads, but no removed logs).
    pub async fn reorganise(&self, depth: u64) -> Result<(), StackError> {
        let options = ReorgOptions { depth, tx_block_pairs: vec![] };
        self.provider.anvil_reorg(options).await.map_err(StackError::refused(Part::Chain, "reorganising"))
    }

    /// Ends the chain as a crash would: up to five seconds of blocks are lost.
    pub async fn kill(&self) {
        self.server.kill().await;
    }

    /// Starts the chain again after [`Self::kill`] or [`Self::stop`], from what it saved.
    pub async fn restart(&self) -> Result<(), StackError> {
        self.server.stop().await;
        self.server.start(|| async { self.provider.get_chain_id().await.is_ok() }).await
    }

    /// Stops the chain; it saves its blocks first.
    pub async fn stop(&self) {
        self.server.stop().await;
    }

    /// Sends the chain's server a signal, e.g. SIGSTOP.
    pub fn signal(&self, signal: Signal) {
        self.server.signal(signal);
    }

    /// The account that owns the names above everybody's.
    pub(crate) async fn deployer(&self) -> Result<Address, StackError> {
        let accounts =
            self.provider.get_accounts().await.map_err(StackError::refused(Part::Chain, "listing accounts"))?;
        accounts.first().copied().ok_or_else(|| StackError::refused(Part::Chain, "listing accounts")("there are none"))
    }

    /// Sends transactions of one unlocked account in order, and waits until all succeeded.
    pub(crate) async fn submit(
        &self,
        from: Address,
        transactions: Vec<TransactionRequest>,
    ) -> Result<Vec<TransactionReceipt>, StackError> {
        const ACTION: &str = "sending a set-up transaction";
        let refused = || StackError::refused(Part::Chain, ACTION);
        let _alone = self.sending.lock().await;
        let nonce = self.provider.get_transaction_count(from).pending().await.map_err(refused())?;
        let mut pending = Vec::with_capacity(transactions.len());
        for (transaction, nonce) in transactions.into_iter().zip(nonce..) {
            let transaction = transaction.with_from(from).with_nonce(nonce).with_gas_limit(SETUP_GAS);
            pending.push(self.provider.send_transaction(transaction).await.map_err(refused())?);
        }
        if self.mining != Mining::EachTransaction {
            self.mine(1).await?; // nobody need wait for the next block of a development chain
        }
        let mut receipts = Vec::with_capacity(pending.len());
        for transaction in pending {
            let receipt =
                transaction.get_receipt().await.map_err(StackError::refused(Part::Chain, "waiting for a receipt"))?;
            if !receipt.status() {
                return Err(StackError::refused(Part::Chain, ACTION)(format!(
                    "transaction {} reverted",
                    receipt.transaction_hash
                )));
            }
            receipts.push(receipt);
        }
        Ok(receipts)
    }

    /// What the data folder remembers if the chain still holds it, else new contracts.
    async fn deploy_once(&mut self, record: &Path, tools: &Tools) -> Result<Contracts, StackError> {
        let remembered = fs::read(record).ok().and_then(|json| serde_json::from_slice::<Contracts>(&json).ok());
        if let Some(contracts) = remembered
            && let Some(registry) = contracts.registry
            && self.has_code(contracts.ens.resolver).await?
            && self.has_code(registry.address).await?
        {
            return Ok(contracts);
        }
        let ens = ens::deploy(self, tools).await?;
        let contracts = Contracts { ens, registry: Some(self.deploy_registry().await?) };
        let json = serde_json::to_vec_pretty(&contracts)
            .map_err(StackError::refused(Part::Chain, "recording its contracts"))?;
        fs::write(record, json).map_err(StackError::io(record))?;
        Ok(contracts)
    }

    async fn has_code(&self, address: Address) -> Result<bool, StackError> {
        let code: Bytes =
            self.provider.get_code_at(address).await.map_err(StackError::refused(Part::Chain, "reading code"))?;
        Ok(!code.is_empty())
    }
}

/// `--order fifo` and the high gas limit: with the defaults anvil silently loses transactions of unlocked accounts under load.
fn anvil_args(folder: &Path, port: u16, mining: Mining) -> Vec<std::ffi::OsString> {
    let [state, cache]: [PathBuf; 2] = ["state.json", "cache"].map(|name| folder.join(name));
    let mut args: Vec<std::ffi::OsString> =
        ["--quiet", "--host", "127.0.0.1", "--order", "fifo", "--gas-limit", "300000000"].map(Into::into).into();
    args.extend(["--chain-id".into(), CHAIN_ID.to_string().into(), "--port".into(), port.to_string().into()]);
    args.extend(["--state-interval".into(), "5".into(), "--state".into(), state.into_os_string()]);
    args.extend(["--cache-path".into(), cache.into_os_string()]);
    match mining {
        Mining::EverySeconds(seconds) => args.extend(["--block-time".into(), seconds.to_string().into()]),
        Mining::EachTransaction => {}
        Mining::OnDemand => args.push("--no-mining".into()),
    }
    args
}
