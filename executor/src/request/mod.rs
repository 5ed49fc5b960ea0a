//! Transitions that clients trigger (the paper, step 3.1): a participant asks, on chain or by a signed request to the site; the executor checks
//! the right to do so and completes the waiting task with the payload.
//!
//! Three things arrive by themselves and in any order: requests on chain ([`watch`]), signed requests ([`signed`]) and the tokens of waiting tasks
//! ([`queue`], [`activity`]). Each is stored first; [`decide`] brings them together. What others use to ask is in [`client`].

mod activity;
pub mod client;
pub mod decide;
mod heartbeat;
pub mod inbox;
mod leaving;
pub mod model;
pub mod participation;
pub mod pinned;
pub(crate) mod published;
mod queue;
pub mod rules;
pub mod signed;
mod token;
pub mod waiting;
pub mod watch;

use std::{collections::BTreeSet, time::Duration};

use alloy::{
    primitives::Address,
    providers::{DynProvider, Provider},
};
use eyre::WrapErr;
use futures::{StreamExt, stream::FuturesUnordered};
use runproof_protocol::head::Registry;
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::model::{TokenSource, waiting_states};
use crate::{Settings, step_functions::StepFunctions};

/// Receives, decides and carries out requests for transitions of one issuer's runs.
#[derive(Debug)]
pub struct Requests {
    database: PgPool,
    provider: DynProvider,
    registry: Registry,
    deployed_at_block: u64,
    issuer: Address,
    engine: StepFunctions,
    queues: aws_sdk_sqs::Client,
    poll_interval: Duration,
    /// Something arrived that a request may have waited for.
    arrived: Notify,
}

/// AWS answers within that time or counts as not reached.
const DELIVERY: Duration = Duration::from_secs(30);

/// No round of work takes longer, whatever a node or AWS does.
const ROUND: Duration = Duration::from_secs(90);

impl Requests {
    /// Connects to the database and reads the chain's id. Calls of `engine` keep to the quotas that its clones share.
    ///
    /// # Errors
    /// If database or node do not answer.
    pub async fn connect(settings: &Settings, engine: StepFunctions) -> eyre::Result<Self> {
        let database = sqlx::postgres::PgPoolOptions::new().max_connections(4).connect(&settings.postgres_url).await;
        let provider = settings.nodes.provider();
        let aws = settings.aws.load().await;
        Ok(Self {
            database: database.wrap_err("Postgres does not answer: is it running, and its URL right?")?,
            registry: Registry {
                chain_id: provider.get_chain_id().await.wrap_err("the Ethereum node does not answer")?,
                address: settings.registry,
            },
            provider,
            deployed_at_block: settings.registry_deployed_at_block,
            issuer: settings.signer.address(),
            engine,
            queues: aws_sdk_sqs::Client::new(&aws),
            poll_interval: settings.poll_interval,
            arrived: Notify::new(),
        })
    }

    /// Receives requests and tokens and decides until cancelled. A failure is logged and tried again: nothing is lost by it.
    ///
    /// # Errors
    /// None that a restart would mend; the signature is that of all long-running parts.
    pub async fn run(&self, token: CancellationToken) -> eyre::Result<()> {
        let work = async {
            tokio::join!(self.follow_chain(), self.follow_sources(), self.follow_tasks(), self.follow_arrivals())
        };
        token.run_until_cancelled(work).await;
        Ok(())
    }

    async fn follow_chain(&self) {
        let mut from = None;
        loop {
            attempt("requests on chain", self.watch(&mut from)).await;
            // The chain tells nobody: it is looked at in intervals.
            tokio::time::sleep(self.poll_interval).await;
        }
    }

    /// Takes tokens wherever deployed models say that they come from.
    async fn follow_sources(&self) {
        let (mut followed, mut following) = (BTreeSet::new(), FuturesUnordered::new());
        loop {
            for (source, state_machine_arn) in attempt("models", self.sources()).await.unwrap_or_default() {
                if followed.insert(source.clone()) {
                    following.push(self.follow_source(source, state_machine_arn));
                }
            }
            tokio::select! {
                () = tokio::time::sleep(self.poll_interval) => {}
                Some(never) = following.next() => never,
            }
        }
    }

    async fn follow_source(&self, source: TokenSource, state_machine_arn: String) -> ! {
        match source {
            TokenSource::Queue(name) => self.follow_queue(&name).await,
            TokenSource::Activity(name) => self.follow_activity(&activity::arn(&state_machine_arn, &name)).await,
        }
    }

    /// Where tokens come from by the deployed models, each with a state machine that names it.
    async fn sources(&self) -> eyre::Result<Vec<(TokenSource, String)>> {
        let models: Vec<(String, Vec<u8>)> = sqlx::query_as(
            "select state_machine_arn, document from executor.model where state_machine_arn is not null",
        )
        .fetch_all(&self.database)
        .await?;
        let mut sources = Vec::new();
        for (state_machine_arn, model) in models {
            let named = waiting_states(&model).into_iter().filter_map(|state| state.source);
            sources.extend(named.map(|source| (source, state_machine_arn.clone())));
        }
        Ok(sources)
    }

    async fn follow_tasks(&self) {
        let mut beats = heartbeat::Heartbeats::default();
        loop {
            attempt("heartbeats of waiting tasks", self.send_heartbeats(&mut beats)).await;
            tokio::time::sleep(self.poll_interval).await;
        }
    }

    async fn follow_arrivals(&self) {
        loop {
            attempt("decisions", self.settle()).await;
            // A state that is captured meanwhile may be what a request waits for, too.
            let _ = tokio::time::timeout(self.poll_interval, self.arrived.notified()).await;
        }
    }
}

/// One round of work; `None` if it failed, which is logged: it is to be tried again.
async fn attempt<T>(what: &'static str, round: impl Future<Output = eyre::Result<T>> + Send) -> Option<T> {
    match tokio::time::timeout(ROUND, round).await {
        Ok(Ok(done)) => return Some(done),
        Ok(Err(error)) => tracing::warn!(what, error = format!("{error:#}"), "will be tried again"),
        Err(_) => tracing::warn!(what, limit_s = ROUND.as_secs(), "took too long, will be tried again"),
    }
    None
}
