//! The endpoints of one chain: which of them are asked, whose answers are believed, who is set aside and tried again.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use alloy::primitives::{Address, B256};
use eyre::ensure;
use futures::future::join_all;
use url::Url;

pub use crate::endpoint::{EndpointSettings, EndpointStatus, Evidence, Role};
use crate::{
    endpoint::Endpoint,
    error::IndexError,
    identity::{Identity, prevailing},
    standing::{Fault, State, reliable_head},
};

/// How often all endpoints are looked at, whether they are being asked or not.
const SURVEY_EVERY: Duration = Duration::from_secs(5);
/// How long a proof of the right chain and contract is enough.
const PROOF_HOLDS: Duration = Duration::from_secs(30);

/// The endpoints of one chain. All that index contracts of the chain share them.
pub struct Endpoints {
    endpoints: Vec<Arc<Endpoint>>,
    quorum: usize,
    max_lag_blocks: u64,
    /// What each contract must be.
    expected: Mutex<BTreeMap<Address, Identity>>,
    /// Held by the one who surveys for all that share the endpoints.
    surveyor: tokio::sync::Mutex<()>,
}

impl Endpoints {
    /// None is asked yet. What is read counts if `quorum` of them say the same; one that is more than `max_lag_blocks` behind is set aside.
    ///
    /// # Errors
    /// No endpoint, two of one name, a quorum that cannot be reached.
    pub fn new(settings: Vec<EndpointSettings>, quorum: usize, max_lag_blocks: u64) -> eyre::Result<Self> {
        let names: BTreeSet<&str> = settings.iter().map(|endpoint| endpoint.name.as_str()).collect();
        ensure!(
            names.len() == settings.len(),
            "two endpoints of the chain have one name: give each a `name` of its own"
        );
        ensure!(
            (1..=settings.len()).contains(&quorum),
            "a quorum of {quorum} among {} endpoints cannot be reached: set `chain.quorum` to a number from 1 to that of the endpoints",
            settings.len()
        );
        let alone = settings.len() == 1;
        let endpoints = settings.into_iter().map(|one| Ok(Arc::new(Endpoint::new(one, alone)?)));
        let endpoints = endpoints.collect::<eyre::Result<_>>()?;
        Ok(Self { endpoints, quorum, max_lag_blocks, expected: Mutex::default(), surveyor: Default::default() })
    }

    /// A single one.
    pub fn one(url: Url) -> eyre::Result<Arc<Self>> {
        Ok(Arc::new(Self::new(vec![EndpointSettings::new(url)], 1, u64::MAX)?))
    }

    /// All of them, as operators see them.
    pub fn status(&self) -> Vec<EndpointStatus> {
        let best = self.newest_block().unwrap_or(0);
        self.endpoints.iter().map(|endpoint| endpoint.status(best)).collect()
    }

    /// Newest block of the chain, as far as it can be relied on; `None` before anybody was asked.
    pub fn newest_block(&self) -> Option<u64> {
        let serving = self.endpoints.iter().filter(|endpoint| endpoint.may_be_asked());
        reliable_head(serving.filter_map(|endpoint| endpoint.head_block()).collect())
    }

    /// How many must say the same.
    pub fn quorum(&self) -> usize {
        self.quorum
    }

    /// Websockets of those that have one.
    pub(crate) fn websockets(&self) -> impl Iterator<Item = Url> {
        self.endpoints.iter().filter_map(|endpoint| endpoint.settings.ws_url.clone())
    }

    /// Finds out which chain and contract it is, and who is of it. `known` is what the journal says; without it, most decide.
    ///
    /// # Errors
    /// A fatal one if all endpoints answer, and none is of the chain and the contract.
    pub(crate) async fn identify(
        &self,
        contract: Address,
        chain_id: Option<u64>,
        known: Option<Identity>,
    ) -> Result<Identity, IndexError> {
        let asked = self.endpoints.iter().map(|endpoint| identity(endpoint, contract));
        let (mut answered, mut failure, mut stranger) = (Vec::new(), None, None);
        for (endpoint, outcome) in self.endpoints.iter().zip(join_all(asked).await) {
            let wrong_chain = |found: &Identity| {
                let expected = chain_id.filter(|expected| *expected != found.chain.chain_id)?;
                Some(IndexError::WrongChain { expected, found: found.chain.chain_id })
            };
            match outcome.map(|found| (wrong_chain(&found), found)) {
                Ok((None, found)) => answered.push((endpoint, found)),
                Ok((Some(error), _)) => {
                    endpoint.failed(&error);
                    stranger = Some(error);
                }
                Err(error) => {
                    endpoint.failed(&error);
                    failure = Some(error);
                }
            }
        }
        let votes: Vec<Identity> = answered.iter().map(|(_, found)| *found).collect();
        let believed = known.or_else(|| prevailing(&votes, self.quorum));
        let mut proven = false;
        if let Some(believed) = believed {
            self.expected().insert(contract, believed);
            for (endpoint, found) in answered {
                match found.is(&believed, contract) {
                    Ok(()) => endpoint.proven(),
                    Err(error) => {
                        endpoint.failed(&error);
                        stranger = Some(error);
                        continue;
                    }
                }
                proven = true;
            }
        }
        // One that is away may be the right one.
        let no_quorum = IndexError::NoQuorum { wanted: self.quorum, what: "chain, first block and contract" };
        match believed {
            Some(believed) if proven => Ok(believed),
            _ => Err(failure.or(stranger).unwrap_or(no_quorum)),
        }
    }

    /// Asks the best endpoints until a quorum answers with the same digest; gives these answers. Where one refuses or lies, the next is asked.
    ///
    /// # Errors
    /// Why the best one did not answer, if too few did.
    pub(crate) async fn agreed<T, F: Future<Output = Result<T, IndexError>>>(
        &self,
        ask: impl Fn(Arc<Endpoint>) -> F,
        digest: impl Fn(&T) -> B256,
    ) -> Result<Vec<T>, IndexError> {
        loop {
            let outcome = self.ask(&ask, &digest).await;
            let pause = self.endpoints.iter().filter_map(|endpoint| endpoint.paused_until()).min();
            match (outcome, pause) {
                (Err(IndexError::RateLimited { .. }), Some(until)) => tokio::time::sleep_until(until).await,
                (outcome, _) => return outcome,
            }
        }
    }

    async fn ask<T, F: Future<Output = Result<T, IndexError>>>(
        &self,
        ask: &impl Fn(Arc<Endpoint>) -> F,
        digest: &impl Fn(&T) -> B256,
    ) -> Result<Vec<T>, IndexError> {
        let mut left = self.ranked().into_iter();
        let (mut answers, mut failure) = (Answers::default(), None);
        loop {
            let panel: Vec<_> = left.by_ref().take(self.quorum - answers.agreeing()).collect();
            if panel.is_empty() {
                let no_quorum = IndexError::NoQuorum { wanted: self.quorum, what: "what was asked" };
                return Err(failure.unwrap_or(no_quorum));
            }
            let asked = panel.iter().map(|endpoint| ask(endpoint.clone()));
            for (endpoint, outcome) in panel.iter().zip(join_all(asked).await) {
                match outcome {
                    Ok(answer) => {
                        endpoint.answered();
                        let digest = if self.quorum > 1 { digest(&answer) } else { B256::ZERO };
                        answers.0.push((digest, endpoint.clone(), answer));
                    }
                    Err(error) => {
                        endpoint.failed(&error);
                        let told = failure.take_if(|told| !matches!(told, IndexError::RateLimited { .. }));
                        failure = Some(told.unwrap_or(error));
                    }
                }
            }
            if answers.agreeing() >= self.quorum {
                return Ok(answers.agreed());
            }
        }
    }

    /// Those that may be asked, the best first. Those that were set aside only if the others cannot make a quorum: each answer is checked.
    fn ranked(&self) -> Vec<Arc<Endpoint>> {
        let best = self.newest_block().unwrap_or(0);
        let may = self.endpoints.iter().filter(|endpoint| endpoint.may_be_asked());
        let mut ranked: Vec<_> =
            may.map(|endpoint| (endpoint.state(), endpoint.settings.role, endpoint.cost_ms(best), endpoint)).collect();
        ranked.sort_by(|one, other| (one.0, one.1).cmp(&(other.0, other.1)).then(one.2.total_cmp(&other.2)));
        if ranked.iter().filter(|one| one.0 != State::SetAside).count() >= self.quorum {
            ranked.retain(|one| one.0 != State::SetAside);
        }
        ranked.into_iter().map(|(.., endpoint)| endpoint.clone()).collect()
    }

    /// Looks at all endpoints from time to time: who has become slow or stays behind, and who was set aside and may come back. Never ends. One
    /// at a time does it, however many call it.
    pub(crate) async fn survey(&self) -> Infallible {
        let _surveyor = self.surveyor.lock().await;
        let mut interval = tokio::time::interval(SURVEY_EVERY);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            // What was known before they are asked: one that is slow to answer must not make the others look old meanwhile.
            let best = self.newest_block().unwrap_or(0);
            let looked = join_all(self.endpoints.iter().map(|endpoint| self.look(endpoint))).await;
            for (endpoint, head) in self.endpoints.iter().zip(looked) {
                let lags = head.filter(|head| head.saturating_add(self.max_lag_blocks) < best);
                if let Some(head) = lags.filter(|_| endpoint.state() == State::Serving) {
                    endpoint.disappointed(Fault::Lags, format!("its newest block is {head}, that of others {best}"));
                }
            }
        }
    }

    /// Asks one for its newest block, and whether it is of the right chain and contract; `None` if it is not to be asked, or does not answer well.
    async fn look(&self, endpoint: &Endpoint) -> Option<u64> {
        if matches!(endpoint.state(), State::SetAside | State::Paused) {
            return None;
        }
        let expected = self.expected().clone();
        if expected.is_empty() {
            // Nothing is known yet that it could be held against.
            return None;
        }
        let looked = async {
            if !endpoint.is_proven(PROOF_HOLDS) {
                for (contract, expected) in expected {
                    identity(endpoint, contract).await?.is(&expected, contract)?;
                }
                endpoint.proven();
            }
            endpoint.head().await
        };
        let looked = looked.await;
        match &looked {
            Ok(_) => endpoint.answered(),
            Err(error) => endpoint.failed(error),
        }
        looked.ok().map(|head| head.latest.number)
    }

    fn expected(&self) -> std::sync::MutexGuard<'_, BTreeMap<Address, Identity>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn identity(endpoint: &Endpoint, contract: Address) -> Result<Identity, IndexError> {
    let node = endpoint.node();
    let (chain, code) = futures::try_join!(node.chain(), node.code_hash(contract))?;
    Ok(Identity { chain, code })
}

/// Who answered what.
struct Answers<T>(Vec<(B256, Arc<Endpoint>, T)>);

impl<T> Default for Answers<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Answers<T> {
    fn votes(&self, digest: B256) -> usize {
        self.0.iter().filter(|(other, ..)| *other == digest).count()
    }

    /// How many say the same, at most.
    fn agreeing(&self) -> usize {
        self.0.iter().map(|(digest, ..)| self.votes(*digest)).max().unwrap_or(0)
    }

    /// What most say. It speaks against the others that they do not.
    fn agreed(self) -> Vec<T> {
        let most =
            self.0.iter().map(|(digest, ..)| *digest).max_by_key(|digest| self.votes(*digest)).unwrap_or_default();
        let mut agreed = Vec::with_capacity(self.0.len());
        for (digest, endpoint, answer) in self.0 {
            if digest == most {
                agreed.push(answer);
            } else {
                endpoint
                    .disappointed(Fault::Dissents, format!("its answer has digest {digest}, that of others {most}"));
            }
        }
        agreed
    }
}
