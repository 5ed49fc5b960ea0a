//! Where the journal is published.

use std::num::{NonZeroU16, NonZeroU32};

use alloy::primitives::Address;
use runproof_indexer::RelaySettings;
use serde::{Deserialize, Serialize};
use url::Url;

/// Where the journal is published.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Kafka {
    /// `host:port`, several separated by commas.
    pub bootstrap: String,
    /// Topic of the journal.
    pub topic: String,
    /// Partitions of topics that are created.
    pub partitions: NonZeroU16,
    /// Replicas of topics that are created; absent: the brokers' default.
    pub replication: Option<NonZeroU16>,
    /// Rows that a transaction holds at most.
    pub batch: NonZeroU32,
    /// Passed to librdkafka as they are, such as `security.protocol`.
    pub client: std::collections::BTreeMap<String, String>,
}

impl Default for Kafka {
    fn default() -> Self {
        use runproof_indexer::settings as defaults;
        Self {
            bootstrap: "127.0.0.1:9092".into(),
            topic: "runproof.events".into(),
            partitions: NonZeroU16::MIN,
            replication: None,
            batch: defaults::DEFAULT_RELAY_BATCH,
            client: Default::default(),
        }
    }
}

impl Kafka {
    /// What a relay of this contract's journal is told.
    pub fn relay_settings(&self, postgres_url: Url, contract: Address) -> RelaySettings {
        RelaySettings {
            topic: self.topic.clone(),
            partitions: self.partitions.get().into(),
            replication: self.replication.map(|replicas| replicas.get().into()),
            batch: self.batch.get(),
            options: self.client.clone(),
            ..RelaySettings::new(postgres_url, contract, &self.bootstrap)
        }
    }

    /// `runproof.events` becomes `runproof.<name>.events`.
    pub(in crate::config) fn of_source(&self, name: &str) -> Self {
        let family = self.topic.strip_suffix(".events").unwrap_or(&self.topic);
        Self { topic: format!("{family}.{name}.events"), ..self.clone() }
    }
}
