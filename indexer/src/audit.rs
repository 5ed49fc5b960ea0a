//! What the chain says, and where anything else says otherwise.
//!
//! A clean index is made in memory, from the chain alone, and held against the journal in Postgres, the topic as `read_committed` consumers see it,
//! and the heads and counts in the contract. The topics beside that of the events are held against what they are made of: those of instances against
//! the fold of the events, those of verdicts and dead letters against Postgres. Nothing is repaired: what differs is told, each with its place.

mod chain;
mod contract;
mod database;
mod dead_letters;
mod finality;
mod instances;
mod keyed;
mod ledger;
mod report;
mod topic;
mod verdicts;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use alloy::primitives::Address;
use eyre::{Context, Result};
use runproof_contracts::ContractKind;
use runproof_protocol::head::Registry;
use sqlx::PgPool;
use tokio::task::spawn_blocking;
use url::Url;

pub use self::report::{Difference, Place, Report};
use self::{finality::Canonical, keyed::Keyed, topic::TopicReader};
use crate::{RelaySettings, endpoints::Endpoints, relay::topic::Topic, source::Source};

/// How often a topic that differs is looked at anew.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// What an audit is told.
#[derive(Clone)]
pub struct AuditSettings {
    /// The endpoints of the contract's chain, which is read as the indexer reads it. Those asked must still know the contract's state as of the
    /// journal's block.
    pub endpoints: Arc<Endpoints>,
    /// The contract.
    pub registry: Address,
    /// Which contract that is.
    pub kind: ContractKind,
    /// Whether receipts must prove what the endpoints say.
    pub strict: bool,
    /// First block of the journal.
    pub start_block: u64,
    /// The journal's database.
    pub postgres_url: Url,
    /// The journal's topic; `None`: not compared.
    pub topic: Option<RelaySettings>,
    /// How long journal and topic may take to reach the block that was the chain's newest at the beginning, and what follows from it.
    pub patience: Duration,
}

/// Compares everything with the chain. Memory grows with the number of entries.
///
/// # Errors
/// What could not be read, and a chain that was reorganised meanwhile: then nothing is known, and the audit is to be repeated.
pub async fn audit(settings: &AuditSettings) -> Result<Report> {
    let source = Source::new(settings.endpoints.clone(), settings.registry, settings.kind, settings.strict);
    let chain_id = source.identify(None, None).await?.chain.chain_id;
    let registry = Registry { chain_id, address: settings.registry };
    let newest = source.head().await?.latest;
    // The order matters: what the topic holds now must be in the journal when that is read. The rest of the topic is read after it.
    let topic = match settings.topic.clone() {
        Some(topic) => Some(spawn_blocking(move || TopicReader::read_to_end(&topic, Topic::Events)).await??),
        None => None,
    };
    let journal = database::await_block(settings, registry, newest).await?;
    let topic = match topic.zip(settings.topic.clone()) {
        Some((reader, topic)) => {
            let (position, patience) = (journal.position, settings.patience);
            Some(spawn_blocking(move || reader.read_on(&topic, position, patience)).await??)
        }
        None => None,
    };
    let upto = journal.block.map_or(0, |block| block.number).max(newest.number);
    // Read after the journal, which names no tag that is newer.
    let head = source.head().await?;
    let upto = upto.min(head.latest.number);
    let index = chain::index(&source, settings.start_block..=upto).await.wrap_err("indexing the chain anew")?;

    let mut report = Report { upto_block: upto, entries: journal.entries.len() as u64, ..Report::default() };
    let canonical = Canonical::new(&index.blocks, &head);
    let judged = ledger::judge(Place::Postgres, &journal.entries, journal.position, &index.items);
    let mut named = report.add(judged);
    named.extend(report.add(finality::judge(Place::Postgres, &journal.entries, &canonical)));
    report.differences.extend(journal.compare(newest.number, &index, &named));
    if let Some(reader) = topic {
        let (entries, differences) = reader.entries(registry, journal.position)?;
        report.messages = Some(entries.len() as u64);
        report.differences.extend(differences);
        named.extend(report.add(ledger::judge(Place::Topic, &entries, journal.position, &index.items)));
        named.extend(report.add(finality::judge(Place::Topic, &entries, &canonical)));
        report.differences.extend(ledger::entries_differ(&journal.entries, &entries, &named));
        let keyed = Keyed { newest: instances::fold(&entries)?, upto: journal.position };
        report.differences.extend(topics(settings, keyed).await?);
    }
    // The paper's contract holds no head and no count that could be compared.
    if settings.kind == ContractKind::Registry {
        let (instances, differences) = contract::compare(&source, registry, &index).await?;
        report.instances = instances;
        report.differences.extend(differences);
    }
    Ok(report)
}

/// Compares the topics beside that of the events. What they follow may go on meanwhile: until patience ends, it is looked at anew.
async fn topics(settings: &AuditSettings, instances: Keyed) -> Result<Vec<Difference>> {
    let Some(topic) = &settings.topic else { return Ok(Vec::new()) };
    let pool = &crate::pool(&settings.postgres_url)?;
    let (beside, deadline) = (Beside { settings: topic, pool }, Instant::now() + settings.patience);
    let mut differences = Vec::new();
    for which in [Topic::Instances, Topic::Verdicts, Topic::DeadLetters] {
        let mut differing = beside.differences(which, settings.registry, &instances).await?;
        while !differing.is_empty() && Instant::now() < deadline {
            tokio::time::sleep(LOOK_AGAIN).await;
            differing = beside.differences(which, settings.registry, &instances).await?;
        }
        differences.extend(differing);
    }
    Ok(differences)
}

/// Topics, and what they are made of.
struct Beside<'a> {
    settings: &'a RelaySettings,
    pool: &'a PgPool,
}

impl Beside<'_> {
    /// What differs now. Postgres comes first: what it holds then must be in the topic, or have been overtaken there.
    async fn differences(&self, which: Topic, registry: Address, instances: &Keyed) -> Result<Vec<Difference>> {
        Ok(match which {
            Topic::Verdicts => {
                let verdicts = verdicts::newest(self.pool).await?;
                verdicts.compare("verdicts", &self.read(which).await?.read)
            }
            Topic::DeadLetters => {
                let letters = dead_letters::all(self.pool, registry).await?;
                dead_letters::compare(&letters, &self.read(which).await?.read)
            }
            _ => instances.compare("instances", &self.read(which).await?.read),
        })
    }

    async fn read(&self, which: Topic) -> Result<TopicReader> {
        let settings = self.settings.clone();
        spawn_blocking(move || TopicReader::read_to_end(&settings, which)).await?
    }
}
