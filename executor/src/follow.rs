//! The loops that drive everything: one looks at each run, the other at each transaction, and registers what is open.

use std::sync::Arc;

use runproof_protocol::{InstanceId, model::ModelSettings};
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    arn::ExecutionArn,
    capturing::{Capturing, Started},
    executor::Executor,
    hint,
    lease::{Deposed, Lease},
    metric,
    open::Open,
    publication::Publishing,
    reconcile::Looks,
    registration::{Held, Progress},
};

/// Looks in a row that may fail before one who waits for the end of something is told.
const FAILURES: u32 = 5;

/// Which executions are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All executions of the deployed models, and all that were followed before and have not ended.
    All,
    /// One, by its ARN, with those that it starts; with these settings if its model is not deployed.
    Execution(String, ModelSettings),
}

impl Scope {
    /// One execution, by its ARN; of an undeployed model, every state entered, with its input.
    pub fn execution(arn: impl Into<String>) -> Self {
        Self::Execution(arn.into(), ModelSettings::default())
    }

    /// The execution to whose family it is limited.
    pub(crate) fn root(&self) -> Option<String> {
        match self {
            Self::All => None,
            Self::Execution(arn, _) => Some(arn.clone()),
        }
    }
}

impl Executor {
    /// Follows until the token is cancelled; stands by while another executor leads with the same key. What fails is logged and tried again; one
    /// execution's failure stops no other.
    ///
    /// # Errors
    /// Postgres does not answer at the start.
    pub async fn follow(&self, scope: Scope, token: CancellationToken) -> eyre::Result<()> {
        metric::begin();
        // Work in progress may be dropped at any point: that is a crash, which the next start recovers from.
        token.run_until_cancelled(self.lead(&scope)).await.unwrap_or(Ok(()))
    }

    /// Leads until another one does, again and again.
    async fn lead(&self, scope: &Scope) -> eyre::Result<()> {
        loop {
            let lease = Lease::take(self).await?;
            let leading = Self { epoch: Some(lease.epoch), ..self.clone() };
            let deposed = leading.follow_as_leader(scope).await;
            tracing::warn!(reason = %deposed, "standing by");
        }
    }

    /// Captures and registers side by side: what is captured of one execution need not wait until all were looked at.
    async fn follow_as_leader(&self, scope: &Scope) -> Deposed {
        let captured = Arc::new(Notify::new());
        let (hint, hints) = mpsc::channel(hint::WAITING);
        let (scope, news) = (scope.clone(), captured.clone());
        let mut singly = Capturing::new(self.clone(), scope.clone(), Started::Singly, news.clone(), hints);
        let mut by_map_runs = Capturing::new(self.clone(), scope.clone(), Started::ByMapRuns, news, no_hints());
        let mut registering = Registering::new(self.clone(), scope, captured);
        let mut publishing = Publishing::new(self.clone());
        tokio::select! {
            deposed = self.again_and_again(&mut singly) => deposed,
            deposed = self.again_and_again(&mut by_map_runs) => deposed,
            deposed = self.again_and_again(&mut registering) => deposed,
            deposed = self.again_and_again(&mut publishing) => deposed,
            never = self.take_hints(hint) => match never {},
        }
    }

    /// Looks until another executor leads: soon again while something is under way, at the latest when there is news. What fails is tried again.
    async fn again_and_again(&self, part: &mut impl Part) -> Deposed {
        let (busy, idle) = (self.settings.poll_interval, self.settings.idle_interval);
        loop {
            let wait = match part.turn().await {
                Ok(Progress::Waiting) => busy,
                Ok(Progress::Complete) => idle,
                Err(error) => {
                    let error = match error.downcast::<Deposed>() {
                        Ok(deposed) => return deposed,
                        Err(error) => error,
                    };
                    tracing::error!(error = format!("{error:#}"), "trying again");
                    metrics::counter!("runproof_executor_failures_total").increment(1);
                    idle
                }
            };
            // The time being up is as good as news.
            let _ = tokio::time::timeout(wait, part.news()).await;
        }
    }

    /// Follows one execution, and those that it starts, until they have ended and all of them is registered and included. Returns its instance; if it
    /// was redriven, the newest.
    ///
    /// # Errors
    /// What failed several times in a row.
    pub async fn follow_until_done(&self, arn: &str, settings: ModelSettings) -> eyre::Result<InstanceId> {
        let scope = Scope::Execution(arn.to_owned(), settings);
        // Hints are left to the leader, which follows everything.
        let capturing = |started| Capturing::new(self.clone(), scope.clone(), started, Arc::default(), no_hints());
        let (mut singly, mut by_map_runs) = (capturing(Started::Singly), capturing(Started::ByMapRuns));
        let mut registering = Registering::new(self.clone(), scope.clone(), Arc::default());
        self.until_complete(async || {
            let (singly, by_map_runs) = (singly.turn().await, by_map_runs.turn().await);
            // First, since it may tell that this executor does not lead any more.
            let registered = registering.turn().await?;
            if singly? == Progress::Waiting || registered == Progress::Waiting {
                return Ok(Progress::Waiting);
            }
            // An engine that lists no executions of Map Runs keeps nothing else from being registered.
            by_map_runs?;
            Ok(if self.family_ended(arn).await? { Progress::Complete } else { Progress::Waiting })
        })
        .await?;
        self.publish_changes().await?;
        let newest =
            "select instance_id from executor.instance where execution_arn = $1 order by redrives desc limit 1";
        let id: Vec<u8> = sqlx::query_scalar(newest).bind(arn).fetch_one(&self.pool).await?;
        Ok(InstanceId::try_from(&id[..])?)
    }

    /// Registers all that is open of this, and waits until it is included.
    ///
    /// # Errors
    /// What failed several times in a row.
    pub(crate) async fn register_until_done(&self, open: Open) -> eyre::Result<()> {
        let (mut looks, mut held) = (Looks::default(), Held::default());
        self.until_complete(async || {
            let waiting = self.reconcile(&mut looks).await?;
            self.register(&[open], waiting, &mut held).await
        })
        .await?;
        self.publish_changes().await
    }

    /// Looks again and again until nothing is open.
    async fn until_complete(&self, mut look: impl AsyncFnMut() -> eyre::Result<Progress>) -> eyre::Result<()> {
        let mut failures = 0;
        loop {
            match look().await {
                Ok(Progress::Complete) => return Ok(()),
                Ok(Progress::Waiting) => failures = 0,
                Err(error) if failures + 1 >= FAILURES => return Err(error),
                Err(error) => {
                    failures += 1;
                    tracing::warn!(error = format!("{error:#}"), "trying again");
                }
            }
            // Neither the chain nor AWS tells anybody: they are looked at in intervals.
            tokio::time::sleep(self.settings.poll_interval).await;
        }
    }
}

/// Nobody hints.
fn no_hints() -> mpsc::Receiver<ExecutionArn> {
    mpsc::channel(1).1
}

/// What following consists of.
pub(crate) trait Part: Send {
    /// One look at everything. All is tried; the first failure is returned.
    fn turn(&mut self) -> impl Future<Output = eyre::Result<Progress>> + Send;

    /// Returns when there is reason to look before it is time. May be dropped before.
    fn news(&mut self) -> impl Future<Output = ()> + Send;
}

/// What the registering loop keeps between two turns; all of it can be lost.
struct Registering {
    executor: Executor,
    scope: Scope,
    looks: Looks,
    held: Held,
    captured: Arc<Notify>,
}

impl Registering {
    fn new(executor: Executor, scope: Scope, captured: Arc<Notify>) -> Self {
        Self { executor, scope, looks: Looks::default(), held: Held::default(), captured }
    }

    async fn family_of(&self, arn: &str) -> eyre::Result<Vec<Open>> {
        let ids: Vec<Vec<u8>> =
            sqlx::query_scalar("select instance_id from executor.instance where instance_id in (select executor.family($1)) order by started_at, created_at")
                .bind(arn)
                .fetch_all(&self.executor.pool)
                .await?;
        ids.iter().map(|id| Ok(Open::Instance(InstanceId::try_from(&id[..])?))).collect()
    }
}

impl Part for Registering {
    async fn news(&mut self) {
        self.captured.notified().await;
    }

    /// Brings transactions in line with the chain and registers what is open in the scope.
    async fn turn(&mut self) -> eyre::Result<Progress> {
        let executor = &self.executor;
        let waiting = executor.reconcile(&mut self.looks).await?;
        let open = match &self.scope {
            Scope::All => executor.open().await?,
            Scope::Execution(arn, _) => self.family_of(arn).await?,
        };
        let progress = executor.register(&open, waiting, &mut self.held).await?;
        Ok(if waiting == 0 { progress } else { Progress::Waiting })
    }
}
