//! What the roles of this process show of themselves beside the database: they fill it in as they begin.

use std::sync::{Arc, OnceLock, atomic::AtomicU64};

use eyre::Result;
use runproof_indexer::endpoints::{EndpointSettings, Endpoints};
use runproof_nodes::Nodes;

use crate::config::{Chain, Config};

/// Of one source, filled in by the roles that run here.
pub struct Observed {
    /// Its name.
    pub source: String,
    /// Why nothing works on it here any more, if trying again cannot mend that.
    pub failure: OnceLock<String>,
    /// The endpoints of its chain, which are asked nothing before it is indexed.
    pub chain: Arc<Endpoints>,
    /// The same, once it is.
    pub indexed: OnceLock<Arc<Endpoints>>,
    /// Position up to which the topic is filled.
    pub relayed: OnceLock<Arc<AtomicU64>>,
    /// Position up to which runs are verified.
    pub verified: OnceLock<Arc<AtomicU64>>,
}

impl Observed {
    /// Nothing of it runs yet.
    ///
    /// # Errors
    /// Endpoints that do not fit each other.
    pub fn new(source: &Config) -> Result<Self> {
        Ok(Self::of(source, endpoints(&source.chain)?))
    }

    /// Of each source. Those that name the same endpoints share them, and so their rate limits.
    ///
    /// # Errors
    /// Endpoints that do not fit each other.
    pub fn all(sources: &[Config]) -> Result<Vec<Arc<Self>>> {
        let mut all: Vec<Arc<Self>> = Vec::with_capacity(sources.len());
        for (place, source) in sources.iter().enumerate() {
            let same = sources[..place].iter().position(|other| other.chain.has_same_endpoints(&source.chain));
            let chain = same.map_or_else(|| endpoints(&source.chain), |place| Ok(all[place].chain.clone()))?;
            all.push(Arc::new(Self::of(source, chain)));
        }
        Ok(all)
    }

    fn of(source: &Config, chain: Arc<Endpoints>) -> Self {
        Self {
            source: source.source_name().to_owned(),
            failure: OnceLock::new(),
            chain,
            indexed: OnceLock::new(),
            relayed: OnceLock::new(),
            verified: OnceLock::new(),
        }
    }
}

/// The nodes of a chain as those ask them who do not index: `rpc_url` first, standbys last.
///
/// # Errors
/// No TLS.
pub fn nodes(chain: &Chain) -> Result<Nodes> {
    let mut further: Vec<_> = chain.endpoint.iter().collect();
    further.sort_by_key(|endpoint| endpoint.role);
    let further = further.into_iter().map(|endpoint| endpoint.url.clone());
    Nodes::new(std::iter::once(chain.rpc_url.clone()).chain(further))
}

/// The endpoints of a chain: `rpc_url`, and those listed beside it.
///
/// # Errors
/// Endpoints that do not fit each other.
pub fn endpoints(chain: &Chain) -> Result<Arc<Endpoints>> {
    let first = EndpointSettings {
        ws_url: chain.ws_url.clone(),
        calls_per_s: chain.calls_per_s,
        ..EndpointSettings::new(chain.rpc_url.clone())
    };
    let further = chain.endpoint.iter().map(|endpoint| {
        let usual = EndpointSettings::new(endpoint.url.clone());
        EndpointSettings {
            name: endpoint.name.clone().unwrap_or_else(|| usual.name.clone()),
            ws_url: endpoint.ws_url.clone(),
            role: endpoint.role,
            calls_per_s: endpoint.calls_per_s,
            ..usual
        }
    });
    let all = std::iter::once(first).chain(further).collect();
    Ok(Arc::new(Endpoints::new(all, chain.quorum, chain.max_lag_blocks)?))
}
