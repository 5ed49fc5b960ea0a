//! One endpoint: how it is reached, what it is worth, and what spoke against it last.

use std::{
    num::NonZeroU32,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::{debug, warn};
use url::Url;

use crate::{
    block::Head,
    error::IndexError,
    node::Node,
    rpc::Rpc,
    standing::{Fault, Standing, State},
};

/// When an endpoint is asked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Before all others.
    #[default]
    Primary,
    /// Only if too few of the primary ones serve: one that costs more, or knows less.
    Standby,
}

/// How an endpoint is reached.
#[derive(Clone)]
pub struct EndpointSettings {
    /// What it is called in logs, metrics and status; its URL may hold a key.
    pub name: String,
    /// Ethereum JSON-RPC over HTTP(S).
    pub url: Url,
    /// Its websocket, if it has one: blocks are then noticed as they come.
    pub ws_url: Option<Url>,
    /// When it is asked.
    pub role: Role,
    /// Calls that it may be asked a second at most; `None` if it tells when it is too much.
    pub calls_per_s: Option<NonZeroU32>,
}

impl EndpointSettings {
    /// A primary one without a websocket, called by its host and port.
    pub fn new(url: Url) -> Self {
        let host = url.host_str().unwrap_or("endpoint");
        let name = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self { name, url, ws_url: None, role: Role::Primary, calls_per_s: None }
    }
}

/// What spoke against an endpoint.
#[derive(Debug, Clone, Serialize)]
pub struct Evidence {
    /// When, UTC.
    #[serde(with = "time::serde::rfc3339")]
    pub at: OffsetDateTime,
    /// What kind it is.
    pub fault: Fault,
    /// What was wrong.
    pub what: String,
}

/// An endpoint as operators see it.
#[derive(Debug, Clone, Serialize)]
pub struct EndpointStatus {
    /// Its name.
    pub name: String,
    /// When it is asked.
    pub role: Role,
    /// Whether it is.
    pub state: State,
    /// Its score: what an answer is expected to cost, milliseconds. The cheapest is asked first.
    pub cost_ms: f64,
    /// Time of its newest answers, milliseconds; null before the first.
    pub latency_ms: Option<f64>,
    /// Share of faults lately, 0 to 1.
    pub fault_rate: f64,
    /// Its newest block; null before the first answer.
    pub head_block: Option<u64>,
    /// Faults since the process began.
    pub faults: u64,
    /// How often it was set aside since the process began.
    pub times_set_aside: u64,
    /// What spoke against it last; null if nothing.
    pub last_evidence: Option<Evidence>,
}

pub(crate) struct Endpoint {
    pub(crate) settings: EndpointSettings,
    rpc: Rpc,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    standing: Standing,
    evidence: Option<Evidence>,
    proven_at: Option<Instant>,
}

impl Endpoint {
    /// Nothing is asked yet. `alone`: there is no other to ask instead.
    pub(crate) fn new(settings: EndpointSettings, alone: bool) -> eyre::Result<Self> {
        let rpc = Rpc::new(settings.url.clone(), settings.calls_per_s, alone)?;
        Ok(Self { settings, rpc, record: Mutex::default() })
    }

    /// To ask it.
    pub(crate) fn node(&self) -> Node {
        Node::new(self.rpc.clone())
    }

    /// Its newest block. All endpoints are asked this, so it is by this that they are compared.
    pub(crate) async fn head(&self) -> Result<Head, IndexError> {
        let begun = Instant::now();
        let head = self.node().head().await?;
        let before = {
            let standing = &mut self.record().standing;
            standing.timed(begun.elapsed());
            standing.told_head(head.latest.number)
        };
        if let Some(before) = before {
            let what = format!("its newest block went from {before} back to {}", head.latest.number);
            self.disappointed(Fault::Unclear, what);
        }
        Ok(head)
    }

    /// It answered well.
    pub(crate) fn answered(&self) {
        self.record().standing.answered();
    }

    /// It has shown that it is of the right chain and contract.
    pub(crate) fn proven(&self) {
        let record = &mut *self.record();
        record.standing.proven = true;
        record.proven_at = Some(Instant::now());
    }

    /// Whether it has, and not longer ago than this.
    pub(crate) fn is_proven(&self, since: Duration) -> bool {
        let record = self.record();
        record.standing.proven && record.proven_at.is_some_and(|at| at.elapsed() <= since)
    }

    /// It could not, or not well answer.
    pub(crate) fn failed(&self, error: &IndexError) {
        if let Some(fault) = Fault::of(error) {
            self.disappointed(fault, error.to_string());
        }
    }

    /// Something speaks against it.
    pub(crate) fn disappointed(&self, fault: Fault, what: String) {
        let (name, label) =
            (&self.settings.name, [("endpoint", self.settings.name.clone()), ("fault", fault.name().into())]);
        metrics::counter!("runproof_endpoint_faults_total", &label).increment(1);
        let aside = {
            let record = &mut *self.record();
            record.evidence = Some(Evidence { at: OffsetDateTime::now_utc(), fault, what: what.clone() });
            record.standing.disappointed(fault, Instant::now())
        };
        match aside {
            Some(aside) => {
                metrics::counter!("runproof_endpoint_set_aside_total", &label).increment(1);
                warn!(
                    endpoint = name,
                    fault = fault.name(),
                    evidence = what,
                    aside_ms = aside.as_millis() as u64,
                    "endpoint set aside"
                );
            }
            None => debug!(endpoint = name, fault = fault.name(), evidence = what, "fault borne"),
        }
    }

    pub(crate) fn paused_until(&self) -> Option<Instant> {
        self.rpc.paused_until()
    }

    pub(crate) fn state(&self) -> State {
        let record = self.record();
        match () {
            () if record.standing.aside_until(Instant::now()).is_some() => State::SetAside,
            () if !record.standing.proven => State::Unproven,
            () if self.paused_until().is_some() => State::Paused,
            () => State::Serving,
        }
    }

    /// Whether it has ever shown, and not been refuted since, that it is of the right chain and contract.
    pub(crate) fn may_be_asked(&self) -> bool {
        self.record().standing.proven
    }

    pub(crate) fn cost_ms(&self, best: u64) -> f64 {
        self.record().standing.cost_ms(best)
    }

    pub(crate) fn head_block(&self) -> Option<u64> {
        self.record().standing.head
    }

    /// As operators see it, against a chain whose newest block is `best`.
    pub(crate) fn status(&self, best: u64) -> EndpointStatus {
        let state = self.state();
        let record = self.record();
        let Standing { latency_ms, fault_rate, head, faults, times_aside, .. } = record.standing;
        EndpointStatus {
            name: self.settings.name.clone(),
            role: self.settings.role,
            state,
            cost_ms: record.standing.cost_ms(best),
            latency_ms,
            fault_rate,
            head_block: head,
            faults,
            times_set_aside: times_aside,
            last_evidence: record.evidence.clone(),
        }
    }

    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
