//! The documents of a run, read from its issuer's site and hashed.

use std::collections::BTreeMap;

use alloy::primitives::B256;
use futures::{StreamExt, stream};
use runproof_protocol::{
    InstanceId, StateId,
    commitment::{Claim, Disclosure},
    documents::{InstanceProtocol, Leaves, MOST_STATE_DOCUMENTS, engine, named_instances},
    head::Range,
    id::sha256,
    rules::{
        Reading,
        content::PublishedState,
        leaves,
        registered::{RegisteredRun, RegisteredState},
    },
    verdict::Finding,
};

use crate::site::{Site, SiteError};

/// Requests to one site at a time.
const CONCURRENCY: usize = 8;

/// A source and what came of reading it.
pub(crate) struct Sourced<T> {
    pub(crate) source: String,
    pub(crate) reading: Reading<T>,
}

/// Hashes of what a site publishes of a run.
pub(crate) struct Documents {
    pub(crate) model: Sourced<B256>,
    pub(crate) instance: Sourced<B256>,
    /// The execution engine, where the instance document is the registered one and names it.
    pub(crate) engine: Option<String>,
    /// Instances that the document names, where it is the registered one.
    pub(crate) named: Vec<InstanceId>,
    /// One for each registered state, in order.
    pub(crate) states: Vec<Sourced<PublishedState>>,
    /// What is claimed by the disclosures that the protocol tells of, by sequence number of the state; `Err` says why what was read is none.
    pub(crate) disclosures: BTreeMap<u64, Disclosed>,
}

/// Without the data itself, which may be large.
pub(crate) type Disclosed = Sourced<Result<Claim, String>>;

/// The run's protocol; `Err` inside says why what was read is none.
pub(crate) type Protocol = Reading<Result<InstanceProtocol, String>>;

/// Reads the protocol. It is read first, so a site that does not answer is known by it, and is not asked for more.
pub(crate) async fn protocol(site: Reading<Site>, instance: InstanceId) -> (Reading<Site>, Protocol) {
    let open = match site {
        Reading::Read(open) => open,
        Reading::Unavailable(why) => return (Reading::Unavailable(why.clone()), Reading::Unavailable(why)),
        Reading::NotAsked(why) => return (Reading::NotAsked(why.clone()), Reading::NotAsked(why)),
    };
    match open.get(&protocol_path(instance)).await {
        Ok(bytes) => {
            let parsed = serde_json::from_slice(&bytes).map_err(|error| error.to_string());
            (Reading::Read(open), Reading::Read(parsed))
        }
        Err(error) if error.is_of_the_site() => {
            (Reading::Unavailable(error.to_string()), Reading::Unavailable(error.to_string()))
        }
        Err(error) => (Reading::Read(open), Reading::Unavailable(error.to_string())),
    }
}

pub(crate) fn protocol_path(instance: InstanceId) -> String {
    format!("{instance}.json")
}

/// Reads the leaves of all roots of the run, which then knows the states of those that are right. One finding a root.
pub(crate) async fn reveal(site: &Reading<Site>, run: &mut RegisteredRun) -> Vec<Finding> {
    let roots: Vec<Range> = run.batches.iter().filter(|batch| batch.by_root).map(|batch| batch.range).collect();
    let instance = run.instance;
    let published = stream::iter(roots).map(|range| async move {
        let Sourced { source, reading } = bytes(site, format!("{instance}/roots/{}.json", range.first)).await;
        (
            range,
            source,
            reading.map(|bytes| serde_json::from_slice::<Leaves>(&bytes).map_err(|error| error.to_string())),
        )
    });
    let mut published = std::pin::pin!(published.buffered(CONCURRENCY));
    let mut findings = Vec::new();
    while let Some((range, source, reading)) = published.next().await {
        findings.push(leaves::reveal(run, &range, &reading, &source));
    }
    findings
}

impl Documents {
    pub(crate) async fn read(site: &Reading<Site>, protocol: &Protocol, run: &RegisteredRun) -> Self {
        let model = hashed(bytes(site, format!("{}.json", run.proved.model)).await);
        let instance = bytes(site, format!("{}/instance.json", run.instance)).await;
        let registered = instance.reading.read().filter(|bytes| InstanceId::of(bytes) == run.instance);
        let engine = registered.and_then(|bytes| engine(bytes)).map(str::to_owned);
        let named = registered.map(|bytes| named_instances(bytes)).unwrap_or_default();
        let instance = hashed(instance);
        let registered: Vec<RegisteredState> = run.states().collect();
        let disclosures = disclosures(site, protocol, run.instance, &registered).await;
        let states = if registered.len() > MOST_STATE_DOCUMENTS {
            of_trace(site, run.instance, &registered).await
        } else {
            let documents = registered.into_iter().map(|state| of_document(site, state.state));
            stream::iter(documents).buffered(CONCURRENCY).collect().await
        };
        Self { model, instance, engine, named, states, disclosures }
    }
}

async fn disclosures(
    site: &Reading<Site>,
    protocol: &Protocol,
    instance: InstanceId,
    registered: &[RegisteredState],
) -> BTreeMap<u64, Disclosed> {
    let Some(Ok(protocol)) = protocol.read() else { return BTreeMap::new() };
    let row = |state: &RegisteredState| protocol.instance_protocol.get(usize::try_from(state.sequence).ok()?);
    let told = registered.iter().filter(|state| row(state).is_some_and(|row| row.input_data.is_some()));
    let told: Vec<u64> = told.map(|state| state.sequence).collect();
    let read = told.into_iter().map(|sequence| async move {
        let path = format!("{instance}/disclosures/{sequence}.json");
        let Sourced { source, reading } = bytes(site, path).await;
        let told = reading.map(|bytes| serde_json::from_slice::<Disclosure>(&bytes).map_err(|error| error.to_string()));
        (sequence, Sourced { source, reading: told.map(|told| told.map(|told| told.claim())) })
    });
    stream::iter(read).buffered(CONCURRENCY).collect().await
}

/// A document's bytes, and where they were read.
async fn bytes(site: &Reading<Site>, path: String) -> Sourced<Vec<u8>> {
    let Reading::Read(open) = site else {
        let nothing = site.as_ref().map(|_| Vec::new());
        return Sourced { source: format!("the issuer's site, /{path}"), reading: nothing };
    };
    let answer = open.get(&path).await;
    let reading = answer.map_or_else(|error: SiteError| Reading::Unavailable(error.to_string()), Reading::Read);
    Sourced { source: open.url(&path), reading }
}

fn hashed(document: Sourced<Vec<u8>>) -> Sourced<B256> {
    Sourced { source: document.source, reading: document.reading.map(|bytes| sha256(&bytes)) }
}

async fn of_document(site: &Reading<Site>, id: StateId) -> Sourced<PublishedState> {
    let Sourced { source, reading } = bytes(site, format!("{id}.json")).await;
    Sourced { source, reading: reading.map(|bytes| PublishedState::of_document(&bytes, id)) }
}

async fn of_trace(
    site: &Reading<Site>,
    instance: InstanceId,
    registered: &[RegisteredState],
) -> Vec<Sourced<PublishedState>> {
    let Sourced { source, reading } = bytes(site, format!("{instance}/trace.json")).await;
    // What is no trace has one hash, and that is no state's.
    let read = reading
        .map(|bytes| (PublishedState::of_trace(&bytes), PublishedState { id: StateId::of(&bytes), entry: None }));
    let of = |sequence: u64| {
        read.as_ref().map(|(states, whole)| {
            let own = usize::try_from(sequence).ok().and_then(|place| states.get(place));
            own.unwrap_or(whole).clone()
        })
    };
    let entries = |sequence: u64| format!("{source}, its first {} entries", sequence.saturating_add(1));
    let sequences = registered.iter().map(|state| state.sequence);
    sequences.map(|sequence| Sourced { source: entries(sequence), reading: of(sequence) }).collect()
}
