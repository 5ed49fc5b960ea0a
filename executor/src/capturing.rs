//! Captures: finds executions, and takes what is new of their histories.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Instant,
};

use futures::{StreamExt, stream};
use runproof_protocol::history::StateSelection;
use tokio::sync::Notify;

use crate::{
    capture::{Advance, CaptureError, Tracked},
    executor::Executor,
    follow::{Part, Scope},
    registration::Progress,
    step_functions::StepFunctionsError,
};

/// Executions asked for at the same time.
const CONCURRENT: usize = 8;

/// What the capturing loop keeps between two turns; all of it can be lost.
pub(crate) struct Capturing {
    executor: Executor,
    scope: Scope,
    tracked: HashMap<String, Tracked>,
    /// Executions that the engine does not know any more.
    lost: HashSet<String>,
    discovered_at: Option<Instant>,
    /// When AWS was last asked for redrives.
    redrives_at: Option<Instant>,
    captured: Arc<Notify>,
}

impl Part for Capturing {
    async fn turn(&mut self) -> eyre::Result<Progress> {
        let discovered = self.discover().await;
        let captured = self.capture().await;
        discovered?;
        captured
    }
}

impl Capturing {
    /// `captured` is told of what is new, as it comes.
    pub(crate) fn new(executor: Executor, scope: Scope, captured: Arc<Notify>) -> Self {
        let (tracked, lost) = Default::default();
        Self { executor, scope, tracked, lost, discovered_at: None, redrives_at: None, captured }
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
        let new = |arn: &String| !self.tracked.contains_key(arn) && !self.lost.contains(arn) && !ended.contains(arn);
        self.track(arns.into_iter().filter(new).collect(), selection).await?;
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
        let redriven = self.executor.redriven(only).await?;
        let new = redriven.into_iter().filter(|arn| !self.tracked.contains_key(arn)).collect();
        self.track(new, selection).await?;
        self.redrives_at = Some(Instant::now());
        Ok(())
    }

    async fn track(&mut self, arns: Vec<String>, selection: StateSelection) -> eyre::Result<()> {
        let executor = &self.executor;
        let first_looks: Vec<_> = arns.into_iter().map(|arn| first_look(executor, arn, selection)).collect();
        let mut first_looks = stream::iter(first_looks).buffer_unordered(CONCURRENT);
        let mut outcome = Ok(());
        while let Some((arn, looked)) = first_looks.next().await {
            match looked {
                Ok(tracked) => {
                    self.tracked.insert(arn, tracked);
                }
                Err(error) if self.scope == Scope::All && is_unknown(&error) => {
                    tracing::warn!(%error, "it stays as it was captured");
                    self.lost.insert(arn);
                }
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome
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
        let mut looks = stream::iter(looks).buffer_unordered(CONCURRENT);
        let (mut done, mut failure) = (Vec::new(), None);
        while let Some((arn, look)) = looks.next().await {
            match look {
                Ok(advance) => {
                    if let Some(hole) = advance.hole {
                        tracing::info!(execution = arn, %hole, "not all of the history was taken");
                    }
                    if advance.states > 0 || advance.ended.is_some() {
                        self.captured.notify_one();
                    }
                    if let Some(outcome) = advance.ended {
                        tracing::info!(execution = arn, %outcome, "execution ended and is captured");
                        done.push(arn);
                    }
                }
                Err(CaptureError::Overtaken) => {
                    done.push(arn);
                    self.discovered_at = None;
                }
                Err(error) => {
                    tracing::error!(execution = arn, %error, "nothing was captured");
                    failure = Some(error);
                }
            }
        }
        drop(looks);
        self.tracked.retain(|arn, _| !done.contains(arn));
        metrics::gauge!("runproof_executor_executions_tracked").set(self.tracked.len() as f64);
        match failure {
            Some(error) => Err(error.into()),
            None if self.tracked.is_empty() => Ok(Progress::Complete),
            None => Ok(Progress::Waiting),
        }
    }
}

async fn first_look(executor: &Executor, arn: String, selection: StateSelection) -> (String, eyre::Result<Tracked>) {
    let tracked = async {
        let execution = executor.engine.describe_execution(&arn).await?;
        let sighted = executor.sight(&execution, selection).await?;
        Ok(Tracked::resume(executor, &arn, sighted).await?)
    };
    let tracked = tracked.await;
    (arn, tracked)
}

fn is_unknown(error: &eyre::Report) -> bool {
    matches!(error.downcast_ref(), Some(StepFunctionsError::ExecutionUnknown(_)))
}

async fn look(executor: &Executor, arn: String, tracked: &mut Tracked) -> (String, Result<Advance, CaptureError>) {
    let advance = tracked.advance(executor).await;
    (arn, advance)
}
