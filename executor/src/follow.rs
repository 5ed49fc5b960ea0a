//! The loop that drives everything: look at each run, then at each transaction, then register what is open.

use std::{
    collections::{HashMap, HashSet},
    time::Instant,
};

use futures::{StreamExt, stream};
use runproof_protocol::{InstanceId, history::StateSelection};
use tokio_util::sync::CancellationToken;

use crate::{
    capture::{Advance, CaptureError, Tracked},
    executor::Executor,
    lease::{Deposed, Lease},
    open::Open,
    reconcile::Looks,
    registration::{Held, Progress},
    step_functions::StepFunctionsError,
};

/// Histories read at the same time.
const CONCURRENT: usize = 8;

/// Looks in a row that may fail before one who waits for the end of something is told.
const FAILURES: u32 = 5;

/// Which executions are followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// All executions of the deployed models, and all that were followed before and have not ended.
    All,
    /// One, by its ARN; its events are selected so if its model is not deployed.
    Execution(String, StateSelection),
}

impl Scope {
    /// One execution, by its ARN; of an undeployed model, every state entered.
    pub fn execution(arn: impl Into<String>) -> Self {
        Self::Execution(arn.into(), StateSelection::default())
    }
}

impl Executor {
    /// Follows until the token is cancelled; stands by while another executor leads with the same key. What fails is logged and tried again; one
    /// execution's failure stops no other.
    ///
    /// # Errors
    /// Postgres does not answer at the start.
    pub async fn follow(&self, scope: Scope, token: CancellationToken) -> eyre::Result<()> {
        // Work in progress may be dropped at any point: that is a crash, which the next start recovers from.
        token.run_until_cancelled(self.lead(&scope)).await.unwrap_or(Ok(()))
    }

    /// Leads until another one does, again and again.
    async fn lead(&self, scope: &Scope) -> eyre::Result<()> {
        loop {
            let lease = Lease::take(self).await?;
            let leading = Self { epoch: Some(lease.epoch), ..self.clone() };
            let deposed = Following::new(leading, scope.clone()).run().await;
            tracing::warn!(reason = %deposed, "standing by");
        }
    }

    /// Follows one execution until it has ended and all of it is registered and included. Returns its instance; if it was redriven, the newest.
    ///
    /// # Errors
    /// What failed several times in a row.
    pub async fn follow_until_done(&self, arn: &str, selection: StateSelection) -> eyre::Result<InstanceId> {
        let mut following = Following::new(self.clone(), Scope::Execution(arn.to_owned(), selection));
        self.until_complete(async || following.turn().await).await?;
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
        .await
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
            self.next_look(self.settings.poll_interval).await;
        }
    }

    /// Until a hint comes or it is time anyway.
    async fn next_look(&self, after: std::time::Duration) {
        // The time being up is as good as a hint.
        let _ = tokio::time::timeout(after, self.hint.notified()).await;
    }
}

/// What a following loop keeps between two turns; all of it can be lost.
struct Following {
    executor: Executor,
    scope: Scope,
    tracked: HashMap<String, Tracked>,
    /// Executions that the engine does not know any more.
    lost: HashSet<String>,
    discovered_at: Option<Instant>,
    /// When AWS was last asked for redrives.
    redrives_at: Option<Instant>,
    looks: Looks,
    held: Held,
}

impl Following {
    fn new(executor: Executor, scope: Scope) -> Self {
        let (tracked, lost, looks, held) = Default::default();
        Self { executor, scope, tracked, lost, discovered_at: None, redrives_at: None, looks, held }
    }

    async fn run(&mut self) -> Deposed {
        loop {
            let settings = &self.executor.settings;
            let (busy, idle) = (settings.poll_interval, settings.idle_interval);
            let wait = match self.turn().await {
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
            self.executor.next_look(wait).await;
        }
    }

    /// One look at everything. All parts are tried; the first failure is returned.
    async fn turn(&mut self) -> eyre::Result<Progress> {
        let discovered = self.discover().await;
        let captured = self.capture().await;
        let registered = self.register().await;
        // First, since it may tell that this executor does not lead any more.
        let registered = registered?;
        discovered?;
        let captured = captured?;
        let complete = captured == Progress::Complete && registered == Progress::Complete;
        Ok(if complete { Progress::Complete } else { Progress::Waiting })
    }

    /// Finds executions that are not tracked yet.
    async fn discover(&mut self) -> eyre::Result<()> {
        let recent = |at: Instant| at.elapsed() < self.executor.settings.idle_interval;
        if self.discovered_at.is_some_and(recent) {
            return Ok(());
        }
        let (arns, selection) = match &self.scope {
            Scope::All => (self.executions_of_deployed_models().await?, StateSelection::default()),
            Scope::Execution(arn, selection) => (vec![arn.clone()], *selection),
        };
        let ended = self.ended().await?;
        for arn in arns {
            if !self.tracked.contains_key(&arn) && !self.lost.contains(&arn) && !ended.contains(&arn) {
                self.track(arn, selection).await?;
            }
        }
        self.discovered_at = Some(Instant::now());
        self.discover_redriven(selection).await
    }

    /// Finds executions that had ended and go on. AWS lists none of them as new.
    async fn discover_redriven(&mut self, selection: StateSelection) -> eyre::Result<()> {
        let recent = |at: Instant| at.elapsed() < self.executor.settings.redrive_interval;
        if self.redrives_at.is_some_and(recent) {
            return Ok(());
        }
        let only = match &self.scope {
            Scope::All => None,
            Scope::Execution(arn, _) => Some(arn.as_str()),
        };
        for arn in self.executor.redriven(only).await? {
            if !self.tracked.contains_key(&arn) {
                self.track(arn, selection).await?;
            }
        }
        self.redrives_at = Some(Instant::now());
        Ok(())
    }

    async fn track(&mut self, arn: String, selection: StateSelection) -> eyre::Result<()> {
        let execution = match self.executor.engine.describe_execution(&arn).await {
            Err(error @ StepFunctionsError::ExecutionUnknown(_)) if self.scope == Scope::All => {
                tracing::warn!(%error, "it stays as it was captured");
                self.lost.insert(arn);
                return Ok(());
            }
            found => found?,
        };
        let sighted = self.executor.sight(&execution, selection).await?;
        let tracked = Tracked::resume(&self.executor, &arn, sighted).await?;
        self.tracked.insert(arn, tracked);
        Ok(())
    }

    async fn executions_of_deployed_models(&self) -> eyre::Result<Vec<String>> {
        let pool = &self.executor.pool;
        let mut arns: Vec<String> = sqlx::query_scalar(
            "select execution_arn from executor.instance where execution_arn is not null and ended_as is null order by created_at",
        )
        .fetch_all(pool)
        .await?;
        let machines: Vec<String> = sqlx::query_scalar(
            "select state_machine_arn from executor.model where state_machine_arn is not null order by created_at",
        )
        .fetch_all(pool)
        .await?;
        let mut known = self.ended().await?;
        known.extend(arns.iter().cloned());
        for machine in machines {
            match self.executor.engine.executions_until(&machine, &known).await {
                // Oldest first, so that ordinals follow the order of starts.
                Ok(new) => arns.extend(new.into_iter().rev()),
                Err(error) => tracing::warn!(state_machine = machine, %error, "its executions cannot be listed"),
            }
        }
        Ok(arns)
    }

    async fn ended(&self) -> eyre::Result<HashSet<String>> {
        let arns: Vec<String> = sqlx::query_scalar(
            "select execution_arn from executor.instance where execution_arn is not null
             group by execution_arn having bool_and(ended_as is not null)",
        )
        .fetch_all(&self.executor.pool)
        .await?;
        Ok(arns.into_iter().collect())
    }

    /// Takes what is new of each tracked execution; complete if none is left.
    async fn capture(&mut self) -> eyre::Result<Progress> {
        let executor = &self.executor;
        let looks: Vec<_> =
            self.tracked.iter_mut().map(|(arn, tracked)| look(executor, arn.clone(), tracked)).collect();
        let looks: Vec<_> = stream::iter(looks).buffer_unordered(CONCURRENT).collect().await;
        let mut failure = None;
        for (arn, look) in looks {
            match look {
                Ok(advance) => {
                    if let Some(hole) = advance.hole {
                        tracing::info!(execution = arn, %hole, "not all of the history was taken");
                    }
                    if let Some(outcome) = advance.ended {
                        tracing::info!(execution = arn, %outcome, "execution ended and is captured");
                        self.tracked.remove(&arn);
                    }
                }
                Err(CaptureError::Overtaken) => {
                    self.tracked.remove(&arn);
                    self.discovered_at = None;
                }
                Err(error) => {
                    tracing::error!(execution = arn, %error, "nothing was captured");
                    failure = Some(error);
                }
            }
        }
        metrics::gauge!("runproof_executor_executions_tracked").set(self.tracked.len() as f64);
        match failure {
            Some(error) => Err(error.into()),
            None if self.tracked.is_empty() => Ok(Progress::Complete),
            None => Ok(Progress::Waiting),
        }
    }

    /// Brings transactions in line with the chain and registers what is open in the scope.
    async fn register(&mut self) -> eyre::Result<Progress> {
        let executor = &self.executor;
        let waiting = executor.reconcile(&mut self.looks).await?;
        let open = match &self.scope {
            Scope::All => executor.open().await?,
            Scope::Execution(arn, _) => self.instance_of(arn).await?,
        };
        let progress = executor.register(&open, waiting, &mut self.held).await?;
        Ok(if waiting == 0 { progress } else { Progress::Waiting })
    }

    async fn instance_of(&self, arn: &str) -> eyre::Result<Vec<Open>> {
        let ids: Vec<Vec<u8>> =
            sqlx::query_scalar("select instance_id from executor.instance where execution_arn = $1 order by redrives")
                .bind(arn)
                .fetch_all(&self.executor.pool)
                .await?;
        ids.iter().map(|id| Ok(Open::Instance(InstanceId::try_from(&id[..])?))).collect()
    }
}

async fn look(executor: &Executor, arn: String, tracked: &mut Tracked) -> (String, Result<Advance, CaptureError>) {
    let advance = tracked.advance(executor).await;
    (arn, advance)
}
