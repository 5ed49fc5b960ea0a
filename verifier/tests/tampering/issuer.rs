//! An honest issuer: it registers a run, publishes it, binds its certificate and has a name. Tests then alter one of these.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use alloy::{
    network::EthereumWallet,
    primitives::{Address, B256, Bytes, U256, keccak256},
    providers::{DynProvider, Provider, ProviderBuilder},
    rpc::types::{TransactionReceipt, TransactionRequest},
    signers::{SignerSync, local::PrivateKeySigner},
    sol_types::{SolCall, SolStruct},
};
use runproof_contracts::{
    InstanceRegistry::{
        bindCertificateCall, registerInstanceCall, registerModelCall, registerStatesCall, registerStatesRootCall,
        revokeCertificateCall, setGuardianCall, terminateInstanceCall,
    },
    ens::{EnsRegistry, EnsResolver, EnsReverseRegistrar},
    typed_data::{Certificate, domain},
};
use runproof_nodes::Nodes;
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    commitment::Salt,
    documents::{InstanceProtocol, Leaves, ProtocolRow, REGISTER_STATE, Termination, bare_address, bare_hash},
    head::{Batch, Outcome, Registry, default_predecessor},
    history::{Capture, CapturedState, Execution, HistoryEvent},
    model::{ModelSettings, Privacy},
};
use runproof_stack::{CHAIN_ID, namehash};
use runproof_verifier::Settings;
use tokio::sync::Mutex;

use crate::{site::Site, stack};

/// States of a usual run.
pub const STATES: usize = 6;
/// Sizes of the first batches; the rest is one batch.
const FIRST_BATCHES: [usize; 2] = [1, 3];

static NUMBER: AtomicU32 = AtomicU32::new(0);

pub struct Issuer {
    pub account: Account,
    pub site: Site,
    pub model: ModelId,
    pub instance: InstanceId,
    pub states: Vec<CapturedState>,
    /// Its ENS name.
    pub name: String,
    registry: Registry,
    start_block: u64,
    /// Whether the second batch is registered by its root.
    by_root: bool,
}

/// A funded key.
pub struct Account {
    pub key: PrivateKeySigner,
    provider: DynProvider,
}

impl Account {
    pub async fn new() -> Self {
        let key = PrivateKeySigner::random();
        let chain = stack().await.chain().expect("started");
        fund(chain.provider(), key.address()).await;
        let wallet = EthereumWallet::new(key.clone());
        let url = chain.http_url().parse().expect("a URL");
        let provider = ProviderBuilder::new().wallet(wallet).connect_http(url).erased();
        provider.client().set_poll_interval(Duration::from_millis(20));
        Self { key, provider }
    }

    pub fn address(&self) -> Address {
        self.key.address()
    }

    pub async fn send(&self, to: Address, call: impl SolCall) -> TransactionReceipt {
        let request = TransactionRequest::default().to(to).input(call.abi_encode().into());
        let sent = self.provider.send_transaction(request).await.expect("the call is taken");
        let receipt = sent.get_receipt().await.expect("the call is mined");
        assert!(receipt.status(), "the call reverted");
        receipt
    }

    async fn time_of(&self, block: u64) -> u64 {
        let found = self.provider.get_block_by_number(block.into()).await.expect("the node answers");
        found.expect("the block is there").header.timestamp
    }
}

impl Issuer {
    /// All is as it should be.
    pub async fn honest() -> Self {
        Self::honest_with(STATES).await
    }

    /// An honest issuer of a run of this length.
    pub async fn honest_with(states: usize) -> Self {
        let issuer = Self::registered(states, false, Privacy::Published).await;
        issuer.make_known().await;
        issuer
    }

    /// The same, but that the chain tells only the root of the second batch.
    pub async fn honest_by_root() -> Self {
        let issuer = Self::registered(STATES, true, Privacy::Published).await;
        issuer.make_known().await;
        issuer
    }

    /// The same, of a model whose traces only commit to inputs.
    pub async fn honest_and_private() -> Self {
        let issuer = Self::registered(STATES, false, Privacy::Committed).await;
        issuer.make_known().await;
        issuer
    }

    /// The same, but that the run's document names a parent, which is not registered.
    pub async fn honest_child(parent: InstanceId) -> Self {
        let document = format!(r#"{{"parent": "{parent}"}}"#);
        let issuer = Self::registered_as(document, STATES, false, Privacy::Published).await;
        issuer.make_known().await;
        issuer
    }

    async fn make_known(&self) {
        self.bind_certificate(&self.account, &self.account).await;
        self.claim_name().await;
        self.point_name(&self.site.url).await;
    }

    /// The run is registered and published; there is neither binding nor name.
    pub async fn unbound() -> Self {
        Self::registered(STATES, false, Privacy::Published).await
    }

    async fn registered(states: usize, by_root: bool, privacy: Privacy) -> Self {
        Self::registered_as(r#"{"name": "run"}"#.to_owned(), states, by_root, privacy).await
    }

    async fn registered_as(instance: String, states: usize, by_root: bool, privacy: Privacy) -> Self {
        let chain = stack().await.chain().expect("started");
        let registry = chain.deploy_registry().await.expect("the contract deploys");
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let model_bytes = br#"{"StartAt": "S0"}"#.to_vec();
        let instance_bytes = instance.into_bytes();
        let issuer = Self {
            account: Account::new().await,
            site: Site::start().await,
            model: ModelId::of(&model_bytes),
            instance: InstanceId::of(&instance_bytes),
            states: captured(states, privacy),
            name: format!("issuer{number}.runproof.eth"),
            registry: Registry { chain_id: CHAIN_ID, address: registry.address },
            start_block: registry.deployed_at_block,
            by_root,
        };
        issuer.site.publish(format!("{}.json", issuer.model), model_bytes);
        issuer.site.publish(format!("{}/instance.json", issuer.instance), instance_bytes);
        issuer.publish_trace();
        let protocol = issuer.register(&issuer.account).await;
        issuer.publish_protocol(&protocol);
        issuer
    }

    pub fn settings(&self, rpc_url: String) -> Settings {
        let ens = runproof_stack::CANONICAL_REGISTRY;
        let nodes = Nodes::new([rpc_url.parse().expect("a URL")]).expect("a node");
        let mut settings = Settings::new(nodes, self.registry.address, ens);
        settings.start_block = self.start_block;
        settings.log_range = 7; // so that logs come in several parts
        settings.allow_private_addresses = true;
        settings.document_timeout = Duration::from_millis(1500);
        settings
    }

    pub fn contract(&self) -> Address {
        self.registry.address
    }

    pub fn protocol_path(&self) -> String {
        format!("{}.json", self.instance)
    }

    pub fn edit_protocol(&self, change: impl FnOnce(&mut InstanceProtocol)) {
        self.site.alter(&self.protocol_path(), |bytes| {
            let mut protocol = serde_json::from_slice(bytes).expect("a protocol");
            change(&mut protocol);
            *bytes = serde_json::to_vec(&protocol).expect("JSON");
        });
    }

    fn publish_protocol(&self, protocol: &InstanceProtocol) {
        self.site.publish(self.protocol_path(), serde_json::to_vec(protocol).expect("JSON"));
    }

    fn publish_trace(&self) {
        let mut trace = String::new();
        for state in &self.states {
            trace.push_str(&state.part);
            self.site.publish(format!("{}.json", state.id), format!("{trace}]").into_bytes());
        }
        self.site.publish(format!("{}/trace.json", self.instance), format!("{trace}]").into_bytes());
    }

    /// Registers the run in the account's namespace; returns the protocol that tells of it.
    pub async fn register(&self, account: &Account) -> InstanceProtocol {
        let (contract, issuer, instance) = (self.registry.address, account.address(), self.instance.0);
        account.send(contract, registerModelCall { model: self.model.0 }).await;
        account.send(contract, registerInstanceCall { model: self.model.0, instance }).await;
        let mut rows = Vec::new();
        let mut left = &self.states[..];
        let sizes = FIRST_BATCHES.into_iter().chain([self.states.len() - FIRST_BATCHES.iter().sum::<usize>()]);
        for size in sizes {
            let (batch, rest) = left.split_at(size);
            left = rest;
            let first = batch[0].sequence;
            let receipt = if self.by_root && size == FIRST_BATCHES[1] {
                self.register_root(account, first, batch).await
            } else {
                let states = batch.iter().map(|state| state.id.0).collect();
                let call = registerStatesCall { issuer, instance, first, states, predecessors: Bytes::new() };
                account.send(contract, call).await
            };
            let time = account.time_of(receipt.block_number.expect("mined")).await;
            rows.extend(batch.iter().map(|state| self.row(issuer, state, first, &receipt, time)));
        }
        let count = self.states.len() as u64;
        let end = terminateInstanceCall { issuer, instance, count, outcome: Outcome::Succeeded as u8 };
        let receipt = account.send(contract, end).await;
        let block = receipt.block_number.expect("mined");
        let termination = Termination {
            outcome: Outcome::Succeeded,
            count,
            block_nr: Some(block),
            timestamp: Some(account.time_of(block).await),
            transaction_hash: bare_hash(receipt.transaction_hash),
        };
        self.protocol(issuer, rows, termination)
    }

    /// Registers another instance of the same model.
    pub async fn register_instance(&self, instance: InstanceId) {
        let call = registerInstanceCall { model: self.model.0, instance: instance.0 };
        self.account.send(self.registry.address, call).await;
    }

    /// Publishes the leaves and registers their root.
    async fn register_root(&self, account: &Account, first: u64, states: &[CapturedState]) -> TransactionReceipt {
        let states: Vec<StateId> = states.iter().map(|state| state.id).collect();
        self.publish_leaves(&Leaves { states: states.iter().copied().map(Some).collect(), predecessors: vec![] });
        let (block_number, block_timestamp_s) = (0, 0);
        let range = Batch { first, states, predecessors: vec![], block_number, block_timestamp_s }.range();
        let call = registerStatesRootCall {
            issuer: account.address(),
            instance: self.instance.0,
            first,
            count: range.count,
            root: range.root,
            predecessorsHash: range.predecessors_hash,
        };
        account.send(self.registry.address, call).await
    }

    pub fn leaves_path(&self) -> String {
        format!("{}/roots/{}.json", self.instance, FIRST_BATCHES[0])
    }

    pub fn publish_leaves(&self, leaves: &Leaves) {
        self.site.publish(self.leaves_path(), serde_json::to_vec(leaves).expect("JSON"));
    }

    pub fn edit_leaves(&self, change: impl FnOnce(&mut Leaves)) {
        self.site.alter(&self.leaves_path(), |bytes| {
            let mut leaves = serde_json::from_slice(bytes).expect("leaves");
            change(&mut leaves);
            *bytes = serde_json::to_vec(&leaves).expect("JSON");
        });
    }

    fn protocol(&self, issuer: Address, rows: Vec<ProtocolRow>, termination: Termination) -> InstanceProtocol {
        InstanceProtocol {
            model_hash: self.model,
            instance_hash: self.instance,
            instance_data: format!("{}/{}/instance.json", self.site.url, self.instance),
            model_data: format!("{}/{}.json", self.site.url, self.model),
            trace_data: format!("{}/{}/trace.json", self.site.url, self.instance),
            events_data: None,
            events_hash: None,
            registry: self.registry,
            issuer,
            ordinal: 0,
            termination: Some(termination),
            instance_protocol: rows,
        }
    }

    fn row(
        &self,
        issuer: Address,
        state: &CapturedState,
        batch: u64,
        receipt: &TransactionReceipt,
        time_s: u64,
    ) -> ProtocolRow {
        ProtocolRow {
            event_type: REGISTER_STATE.into(),
            state_hash: state.id,
            timestamp: Some(time_s),
            block_nr: receipt.block_number,
            client_address: bare_address(issuer),
            transaction_hash: bare_hash(receipt.transaction_hash),
            state_data: Some(format!("{}/{}.json", self.site.url, state.id)),
            input_data: None,
            sequence: state.sequence,
            predecessor: default_predecessor(state.sequence),
            batch,
            state_name: state.name.clone(),
            entered_at_ms: state.entered_at_ms,
        }
    }

    /// `subject` signs for the site's certificate, `sender` submits that.
    pub async fn bind_certificate(&self, subject: &Account, sender: &Account) {
        let signed = Certificate {
            subject: subject.address(),
            fingerprint: self.site.fingerprint.0,
            uri: self.site.url.clone(),
            notBefore: 0,
            notAfter: 4_000_000_000,
        };
        let digest: B256 = signed.eip712_signing_hash(&domain(CHAIN_ID, self.registry.address));
        let signature = subject.key.sign_hash_sync(&digest).expect("a signature").as_bytes().into();
        let Certificate { subject, fingerprint, uri, notBefore, notAfter } = signed;
        let call = bindCertificateCall { subject, fingerprint, uri, notBefore, notAfter, signature };
        sender.send(self.registry.address, call).await;
    }

    pub async fn revoke_certificate(&self) {
        self.revoke(&self.account, self.site.fingerprint.0, 0).await;
    }

    /// `by` revokes one certificate, or with zero all of the issuer's, since a block, or with zero from now on.
    pub async fn revoke(&self, by: &Account, fingerprint: B256, since_block: u64) {
        let subject = self.account.address();
        let call = revokeCertificateCall { subject, fingerprint, compromisedSinceBlock: since_block };
        by.send(self.registry.address, call).await;
    }

    /// From now on only `guardian` may revoke beside the issuer.
    pub async fn set_guardian(&self, guardian: &Account) {
        let call = setGuardianCall { subject: self.account.address(), guardian: guardian.address() };
        self.account.send(self.registry.address, call).await;
    }

    /// The name, its address and its reverse record.
    pub async fn claim_name(&self) {
        let chain = stack().await.chain().expect("started");
        let ens = chain.ens();
        let label = self.name.split('.').next().expect("a label");
        chain.register_name(label, self.account.address()).await.expect("names are given");
        let node = namehash(&self.name);
        self.account.send(ens.registry, EnsRegistry::setResolverCall { node, resolver: ens.resolver }).await;
        self.point_address(self.account.address()).await;
        self.set_reverse(&self.name).await;
        assert_eq!(node, keccak256([namehash("runproof.eth"), keccak256(label)].concat()));
    }

    pub async fn point_address(&self, addr: Address) {
        let resolver = stack().await.chain().expect("started").ens().resolver;
        self.account.send(resolver, EnsResolver::setAddrCall { node: namehash(&self.name), addr }).await;
    }

    pub async fn point_name(&self, url: &str) {
        let resolver = stack().await.chain().expect("started").ens().resolver;
        let call = EnsResolver::setTextCall { node: namehash(&self.name), key: "url".into(), value: url.into() };
        self.account.send(resolver, call).await;
    }

    pub async fn set_reverse(&self, name: &str) {
        let registrar = stack().await.chain().expect("started").ens().reverse_registrar;
        self.account.send(registrar, EnsReverseRegistrar::setNameCall { name: name.into() }).await;
    }
}

/// By a transfer: a balance set by the node's own means changes the state without a block, and no proof holds until the next one.
async fn fund(provider: &DynProvider, account: Address) {
    static ALONE: Mutex<()> = Mutex::const_new(());
    let _alone = ALONE.lock().await;
    let rich = *provider.get_accounts().await.expect("the node answers").last().expect("unlocked accounts");
    let transfer = TransactionRequest::default().from(rich).to(account).value(U256::from(10u64.pow(18)));
    let sent = provider.send_transaction(transfer).await.expect("the transfer is taken");
    assert!(sent.get_receipt().await.expect("the transfer is mined").status());
}

/// Input of every state.
pub const INPUT: &str = "{\"é\": \"\\\"\"}";
/// What a private run commits to it by.
pub const SALT: Salt = Salt(B256::repeat_byte(7));

/// The states of a run of this length.
fn captured(length: usize, privacy: Privacy) -> Vec<CapturedState> {
    let execution = Execution {
        model_name: "model".into(),
        name: "run".into(),
        region: "us-east-1".into(),
        account: "123456789012".into(),
    };
    let mut capture = Capture::new(execution, ModelSettings { privacy, ..ModelSettings::default() });
    (1..=length as u64)
        .map(|id| HistoryEvent {
            id,
            previous_id: id - 1,
            event_type: "TaskStateEntered".into(),
            timestamp_ms: 1_678_443_189_000 + id as i64,
            state_name: Some(format!("S{}", id - 1)),
            input: Some(INPUT.into()),
            starts: None,
            salt: (privacy == Privacy::Committed).then_some(SALT),
            detail: Default::default(),
        })
        .map(|event| capture.take(&event).expect("in order").expect("a state"))
        .collect()
}
