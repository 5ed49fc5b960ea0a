//! What an indexer and a relay are told.

use std::{
    collections::BTreeMap,
    fmt,
    num::NonZeroU32,
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

use alloy::primitives::Address;
use runproof_contracts::ContractKind;
use url::Url;

use crate::endpoints::Endpoints;

/// Rows that a relay's transaction holds at most, if nothing else is said.
pub const DEFAULT_RELAY_BATCH: NonZeroU32 = NonZeroU32::new(10_000).expect("not 0");

/// What the indexer is told.
#[derive(Clone)]
pub struct Settings {
    /// What the source is called in metrics.
    pub name: String,
    /// The endpoints of the contract's chain. If one has a websocket, blocks are noticed as they come, and `poll_interval` is the fallback.
    pub endpoints: Arc<Endpoints>,
    /// EIP-155 chain id that they must answer with; `None` takes what they say the first time.
    pub chain_id: Option<u64>,
    /// The contract.
    pub registry: Address,
    /// Which contract that is.
    pub kind: ContractKind,
    /// First block to look at: the one of the contract's deployment or an earlier one.
    pub start_block: u64,
    /// A migrated database.
    pub postgres_url: Url,
    /// How often the node is asked for its head.
    pub poll_interval: Duration,
    /// Blocks that a single request for logs may span at most.
    pub max_range: u64,
    /// Bytes that the blocks of a range, and what is decoded from them, may take together, about: one that holds more is taken in parts. Two ranges are
    /// held at a time.
    pub range_bytes: usize,
    /// Recompute the receipts root, and read the receipts of each block whose bloom filter admits the contract even if the node names no log in it.
    /// Costs a request for such blocks; without it a node that leaves logs out is believed.
    pub strict: bool,
}

impl Settings {
    /// The usual: strict, a poll each 500 ms, at most 2,000 blocks a request.
    pub fn new(endpoints: Arc<Endpoints>, registry: Address, postgres_url: Url) -> Self {
        Self {
            name: "main".into(),
            endpoints,
            chain_id: None,
            registry,
            kind: ContractKind::Registry,
            start_block: 0,
            postgres_url,
            poll_interval: Duration::from_millis(500),
            max_range: 2_000,
            range_bytes: crate::room::RANGE_BYTES,
            strict: true,
        }
    }
}

impl fmt::Debug for Settings {
    /// Without the URLs: providers and databases put their keys into them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Settings")
            .field("chain_id", &self.chain_id)
            .field("registry", &self.registry)
            .field("start_block", &self.start_block)
            .field("poll_interval", &self.poll_interval)
            .field("max_range", &self.max_range)
            .field("strict", &self.strict)
            .finish_non_exhaustive()
    }
}

/// What the relay is told.
#[derive(Clone)]
pub struct RelaySettings {
    /// The database that the indexer writes.
    pub postgres_url: Url,
    /// The contract whose journal is relayed.
    pub registry: Address,
    /// Kafka's bootstrap servers, `host:port,host:port`.
    pub bootstrap: String,
    /// Topic; created if it is missing.
    pub topic: String,
    /// Partitions of a topic that is created.
    pub partitions: i32,
    /// Replicas of a topic that is created; `None` leaves it to the brokers.
    pub replication: Option<i32>,
    /// Journal entries a transaction holds at most.
    pub batch: u32,
    /// How often the journal is looked at when no notification comes.
    pub poll_interval: Duration,
    /// Further settings of librdkafka, such as TLS and SASL.
    pub options: BTreeMap<String, String>,
    /// Where the relay tells up to which position the topic is filled; 0 before it knows.
    pub relayed: Arc<AtomicU64>,
}

impl RelaySettings {
    /// The usual: topic `runproof.events` with one partition, 10,000 entries a transaction.
    pub fn new(postgres_url: Url, registry: Address, bootstrap: impl Into<String>) -> Self {
        Self {
            postgres_url,
            registry,
            bootstrap: bootstrap.into(),
            topic: "runproof.events".into(),
            partitions: 1,
            replication: None,
            batch: DEFAULT_RELAY_BATCH.get(),
            poll_interval: Duration::from_secs(2),
            options: BTreeMap::new(),
            relayed: Arc::default(),
        }
    }
}

impl fmt::Debug for RelaySettings {
    /// Without the database's URL and the options, which may hold passwords.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelaySettings")
            .field("registry", &self.registry)
            .field("bootstrap", &self.bootstrap)
            .field("topic", &self.topic)
            .field("batch", &self.batch)
            .finish_non_exhaustive()
    }
}
