//! The documents of a run, read from its issuer's site and hashed.

use alloy::primitives::B256;
use futures::{StreamExt, stream};
use runproof_protocol::{
    InstanceId, StateId,
    documents::{InstanceProtocol, engine},
    id::sha256,
    rules::{Reading, content::PublishedState, registered::RegisteredRun},
};

use crate::site::{Site, SiteError};

/// Requests to one site at a time.
const CONCURRENCY: usize = 8;
/// State documents repeat the trace up to them, so their bytes grow with the square of a run's length: of longer runs the trace is read once.
const MOST_STATE_DOCUMENTS: usize = 200;

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
    /// One for each registered state, in order.
    pub(crate) states: Vec<Sourced<PublishedState>>,
}

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

impl Documents {
    pub(crate) async fn read(site: &Reading<Site>, run: &RegisteredRun) -> Self {
        let model = hashed(bytes(site, format!("{}.json", run.proved.model)).await);
        let instance = bytes(site, format!("{}/instance.json", run.instance)).await;
        let registered = instance.reading.read().filter(|bytes| InstanceId::of(bytes) == run.instance);
        let engine = registered.and_then(|bytes| engine(bytes)).map(str::to_owned);
        let instance = hashed(instance);
        let ids: Vec<StateId> = run.states().map(|state| state.state).collect();
        let states = if ids.len() > MOST_STATE_DOCUMENTS {
            of_trace(site, run.instance, &ids).await
        } else {
            stream::iter(ids.into_iter().map(|id| of_document(site, id))).buffered(CONCURRENCY).collect().await
        };
        Self { model, instance, engine, states }
    }
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

async fn of_trace(site: &Reading<Site>, instance: InstanceId, ids: &[StateId]) -> Vec<Sourced<PublishedState>> {
    let Sourced { source, reading } = bytes(site, format!("{instance}/trace.json")).await;
    // What is no trace has one hash, and that is no state's.
    let read = reading
        .map(|bytes| (PublishedState::of_trace(&bytes), PublishedState { id: StateId::of(&bytes), entry: None }));
    (0..ids.len())
        .map(|place| Sourced {
            source: format!("{source}, its first {} entries", place + 1),
            reading: read.as_ref().map(|(states, whole)| states.get(place).unwrap_or(whole).clone()),
        })
        .collect()
}
