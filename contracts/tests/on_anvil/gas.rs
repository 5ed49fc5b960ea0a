//! Gas of whole transactions: 21,000, calldata (with the floor of EIP-7623) and execution, as anvil's receipts tell it.
//!
//! `gas.json` holds the last accepted figures. A figure above its snapshot or its limit fails; after a change that is wanted,
//! run with `UPDATE_GAS=1` and commit the file.

use std::{collections::BTreeMap, fs};

use alloy::{
    primitives::{B256, Bytes, U256, keccak256},
    providers::Provider,
    rpc::types::TransactionReceipt,
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct},
};
use eyre::{ContextCompat, Result, WrapErr, ensure};
use runproof_contracts::{
    InstanceRegistry as abi,
    typed_data::{Certificate, Relay, domain},
};
use serde::{Deserialize, Serialize};

use crate::{anvil::Chain, gas_table};

const SNAPSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/gas.json");

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// Gas of the whole transaction.
    pub(crate) transaction_gas: u64,
    /// How many states it registers.
    #[serde(skip_serializing_if = "Option::is_none")]
    states: Option<u64>,
    /// `transaction_gas / states`, rounded up.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) gas_per_state: Option<u64>,
    /// What `gas_per_state` may not exceed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) limit_per_state: Option<u64>,
    /// What the same takes with the contract of PKIA 2023, by its published figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) paper_gas: Option<u64>,
}

#[derive(Default)]
struct Figures(BTreeMap<&'static str, Figure>);

impl Figures {
    fn add(&mut self, name: &'static str, receipt: &TransactionReceipt, paper_gas: Option<u64>) {
        let transaction_gas = receipt.gas_used;
        let figure = Figure { transaction_gas, states: None, gas_per_state: None, limit_per_state: None, paper_gas };
        self.0.insert(name, figure);
    }

    fn add_states(&mut self, name: &'static str, receipt: &TransactionReceipt, states: u64, limit: Option<u64>) {
        self.add(name, receipt, Some(states * PAPER_STATE));
        if let Some(figure) = self.0.get_mut(name) {
            figure.states = Some(states);
            figure.gas_per_state = Some(figure.transaction_gas.div_ceil(states));
            figure.limit_per_state = limit;
        }
    }
}

const PAPER_MODEL: u64 = 137_809;
const PAPER_INSTANCE: u64 = 116_813;
const PAPER_STATE: u64 = 54_771;
const PAPER_CERTIFICATE: u64 = 113_362;

/// An id with as few zero bytes as any digest has: they are cheaper than others.
fn id(label: &str, n: u64) -> B256 {
    keccak256(format!("{label} {n}"))
}

fn states(first: u64, n: u64) -> Vec<B256> {
    (first..first + n).map(|sequence| id("state", sequence)).collect()
}

#[tokio::test]
async fn gas_stays_within_snapshot_and_limits() -> Result<()> {
    let chain = Chain::start().await?;
    let mut figures = Figures::default();
    measure_registration(&chain, &mut figures).await?;
    measure_batches(&chain, &mut figures).await?;
    figures.add_states("whole_run_of_13_in_one_multicall", &chain.send(whole_run(&chain, 13)).await?, 13, None);
    if let Some(run) = figures.0.get_mut("whole_run_of_13_in_one_multicall") {
        run.paper_gas = Some(PAPER_MODEL + PAPER_INSTANCE + 13 * PAPER_STATE);
    }
    figures.add("model_relayed", &chain.send(relayed_model(&chain).await?).await?, None);
    figures.add("certificate", &chain.send(certificate(&chain).await?).await?, Some(PAPER_CERTIFICATE));
    compare(&figures)
}

async fn measure_registration(chain: &Chain, figures: &mut Figures) -> Result<()> {
    let (model, instance) = (id("model", 0), id("instance", 0));
    figures.add("model", &chain.send(abi::registerModelCall { model }).await?, Some(PAPER_MODEL));
    figures.add(
        "first_instance",
        &chain.send(abi::registerInstanceCall { model, instance }).await?,
        Some(PAPER_INSTANCE),
    );
    let instance = id("instance", 1);
    figures.add("instance", &chain.send(abi::registerInstanceCall { model, instance }).await?, Some(PAPER_INSTANCE));
    Ok(())
}

async fn measure_batches(chain: &Chain, figures: &mut Figures) -> Result<()> {
    let mut first = 0;
    let mut register = async |n: u64, named: bool| {
        let predecessors = if named {
            (first..first + n).flat_map(|k| (k as u32).saturating_sub(1).to_be_bytes()).collect()
        } else {
            Bytes::new()
        };
        let call = abi::registerStatesCall {
            issuer: chain.issuer.address(),
            instance: id("instance", 1),
            first,
            states: states(first, n),
            predecessors,
        };
        first += n;
        chain.send(call).await
    };
    figures.add_states("first_state", &register(1, false).await?, 1, None);
    figures.add_states("state_alone", &register(1, false).await?, 1, Some(42_000));
    figures.add_states("batch_of_13", &register(13, false).await?, 13, Some(4_200));
    figures.add_states("batch_of_13_with_predecessors", &register(13, true).await?, 13, None);
    figures.add_states("batch_of_100", &register(100, false).await?, 100, None);
    figures.add_states("batch_of_1000", &register(1_000, false).await?, 1_000, Some(1_450));
    figures.add_states("batch_of_1000_with_predecessors", &register(1_000, true).await?, 1_000, None);
    let call = abi::registerStatesRootCall {
        issuer: chain.issuer.address(),
        instance: id("instance", 1),
        first,
        count: 1_000,
        root: id("root", 0),
        predecessorsHash: id("predecessors", 0),
    };
    figures.add_states("root_of_1000", &chain.send(call).await?, 1_000, Some(50));
    figures.add_states(
        "ten_roots_of_1000_in_one_multicall",
        &chain.send(ten_roots(chain).await?).await?,
        10_000,
        Some(50),
    );
    let call = abi::terminateInstanceCall {
        issuer: chain.issuer.address(),
        instance: id("instance", 1),
        count: first + 1_000,
        outcome: 1,
    };
    figures.add("termination", &chain.send(call).await?, None);
    Ok(())
}

/// 1,000 states of each of ten instances, which have one state each before.
async fn ten_roots(chain: &Chain) -> Result<abi::multicallCall> {
    let (issuer, model) = (chain.issuer.address(), id("model", 0));
    let mut roots = Vec::new();
    for instance in (10..20).map(|n| id("instance", n)) {
        chain.send(abi::registerInstanceCall { model, instance }).await?;
        let states = states(0, 1);
        chain.send(abi::registerStatesCall { issuer, instance, first: 0, states, predecessors: Bytes::new() }).await?;
        let (root, predecessors_hash) = (keccak256(instance), keccak256([]));
        let call = abi::registerStatesRootCall {
            issuer,
            instance,
            first: 1,
            count: 1_000,
            root,
            predecessorsHash: predecessors_hash,
        };
        roots.push(call.abi_encode().into());
    }
    Ok(abi::multicallCall { calls: roots })
}

/// Model, instance, states and termination in one transaction.
fn whole_run(chain: &Chain, n: u64) -> abi::multicallCall {
    let (issuer, model, instance) = (chain.issuer.address(), id("model", 1), id("instance", 2));
    let calls = [
        abi::registerModelCall { model }.abi_encode(),
        abi::registerInstanceCall { model, instance }.abi_encode(),
        abi::registerStatesCall { issuer, instance, first: 0, states: states(0, n), predecessors: Bytes::new() }
            .abi_encode(),
        abi::terminateInstanceCall { issuer, instance, count: n, outcome: 1 }.abi_encode(),
    ];
    abi::multicallCall { calls: calls.map(Bytes::from).to_vec() }
}

/// A registration that another account signed. The key is always the same: zero bytes of address and signature are cheaper.
async fn relayed_model(chain: &Chain) -> Result<abi::relayCall> {
    let signer = PrivateKeySigner::from_bytes(&id("relayed account", 0))?;
    let call: Bytes = abi::registerModelCall { model: id("model", 2) }.abi_encode().into();
    let content = Relay { account: signer.address(), call, nonce: U256::ZERO, deadline: u64::MAX };
    let digest = content.eip712_signing_hash(&domain(chain.provider.get_chain_id().await?, chain.address()));
    let signature = signer.sign_hash_sync(&digest)?.as_bytes().into();
    let Relay { account, call, nonce, deadline } = content;
    Ok(abi::relayCall { account, call, nonce, deadline, signature })
}

async fn certificate(chain: &Chain) -> Result<abi::bindCertificateCall> {
    let subject = chain.issuer.address();
    // The paper's host: c-<address in lower case>.host.
    let uri = format!("https://c-{subject:?}.host").to_lowercase();
    let content = Certificate {
        subject,
        fingerprint: id("certificate", 0),
        uri,
        notBefore: 1_678_000_000,
        notAfter: 1_709_536_000,
    };
    let digest = content.eip712_signing_hash(&domain(chain.provider.get_chain_id().await?, chain.address()));
    let signature = chain.issuer.sign_hash_sync(&digest)?.as_bytes().into();
    let Certificate { subject, fingerprint, uri, notBefore, notAfter } = content;
    Ok(abi::bindCertificateCall { subject, fingerprint, uri, notBefore, notAfter, signature })
}

fn compare(measured: &Figures) -> Result<()> {
    for (name, figure) in &measured.0 {
        if let (Some(gas), Some(limit)) = (figure.gas_per_state, figure.limit_per_state) {
            ensure!(gas <= limit, "{name} takes {gas} gas a state, its limit is {limit}");
        }
    }
    if std::env::var_os("UPDATE_GAS").is_some() {
        gas_table::write(measured.0.iter().map(|(name, figure)| (*name, figure)))?;
        return Ok(fs::write(SNAPSHOT, serde_json::to_string_pretty(&measured.0)? + "\n")?);
    }
    let text = fs::read_to_string(SNAPSHOT).wrap_err("run with UPDATE_GAS=1 to make gas.json")?;
    let accepted: BTreeMap<String, Figure> = serde_json::from_str(&text)?;
    gas_table::check(accepted.iter().map(|(name, figure)| (name.as_str(), figure)))?;
    for (name, figure) in &measured.0 {
        let accepted =
            accepted.get(*name).wrap_err_with(|| format!("{name} is not in gas.json: run with UPDATE_GAS=1"))?;
        ensure!(
            figure.transaction_gas <= accepted.transaction_gas,
            "{name} takes {} gas, {} were accepted: if that is wanted, run with UPDATE_GAS=1",
            figure.transaction_gas,
            accepted.transaction_gas
        );
    }
    Ok(())
}
