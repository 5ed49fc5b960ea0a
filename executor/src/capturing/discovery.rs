//! Finds executions that are to be captured: listed, started by others, redriven.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use runproof_protocol::model::ModelSettings;

use super::{CONCURRENT, Capturing, Followed, HINTED, Started, seen};
use crate::{
    arn::ExecutionArn,
    capture::Tracked,
    executor::Executor,
    follow::Scope,
    pace::{Bounds, Pace},
    starting::StartingModel,
    step_functions::{Execution, Lister, StepFunctionsError},
};

/// Executions of which a turn asks whether they were redriven: others that run do not wait for all that failed in two weeks.
const REDRIVES_A_TURN: usize = 4;

/// Time from the start of an execution until the history of the one that started it surely tells of it.
const TOLD_AFTER: Duration = Duration::from_secs(2);

impl Capturing {
    /// Finds executions that are not tracked yet.
    pub(super) async fn discover(&mut self) -> eyre::Result<()> {
        let recent = |at: Instant| at.elapsed() < self.executor.settings.idle_interval;
        if self.discovered_at.is_some_and(recent) {
            return Ok(());
        }
        match self.started {
            Started::Singly => self.discover_singly().await?,
            Started::ByMapRuns => self.discover_by_map_runs().await?,
        }
        self.discovered_at = Some(Instant::now());
        Ok(())
    }

    async fn discover_singly(&mut self) -> eyre::Result<()> {
        let root = self.scope.root();
        let (mut arns, settings) = match self.scope.clone() {
            Scope::All => (self.executions_of_deployed_models().await?, ModelSettings::default()),
            Scope::Execution(arn, settings) => (vec![arn], settings),
        };
        arns.extend(self.executor.started_executions(root.as_deref()).await?);
        let ended = self.ended().await?;
        let new = |arn: &String| !self.tracked.contains_key(arn) && !self.lost.contains(arn) && !ended.contains(arn);
        self.track(arns.into_iter().filter(new).collect(), settings).await?;
        self.discover_redriven(settings).await
    }

    async fn discover_by_map_runs(&mut self) -> eyre::Result<()> {
        let (root, mut redriven) = (self.scope.root(), Vec::new());
        let looked = self.executor.look_at_map_runs(root.as_deref(), &mut redriven).await;
        let mut arns = self.executor.running_in_map_runs(root.as_deref()).await?;
        arns.extend(redriven);
        let new = |arn: &String| !self.tracked.contains_key(arn) && !self.lost.contains(arn);
        self.track(arns.into_iter().filter(new).collect(), ModelSettings::default()).await?;
        looked
    }

    /// Finds executions that had ended and go on. AWS lists none of them as new.
    async fn discover_redriven(&mut self, settings: ModelSettings) -> eyre::Result<()> {
        let mut asked_for = Vec::new();
        for hinted in std::mem::take(&mut self.hinted) {
            asked_for.extend(self.executor.redrivable(Some(&hinted)).await?);
        }
        let recent = |at: Instant| at.elapsed() < self.executor.settings.redrive_interval;
        if self.redrivable.is_empty() && !self.redrives_at.is_some_and(recent) {
            self.redrivable = self.executor.redrivable(self.scope.root().as_deref()).await?.into();
            self.redrives_at = Some(Instant::now());
        }
        let in_turn = self.redrivable.len().min(REDRIVES_A_TURN);
        let mut redriven = Vec::new();
        for ended in asked_for.iter().chain(self.redrivable.range(..in_turn)) {
            if self.executor.was_redriven(ended).await? {
                redriven.push(ended.0.clone());
            }
        }
        // All of them were asked for: where AWS does not answer, it is asked for the same ones again.
        self.redrivable.drain(..in_turn);
        let new = redriven.into_iter().filter(|arn| !self.tracked.contains_key(arn)).collect();
        self.track(new, settings).await
    }

    async fn track(&mut self, arns: Vec<String>, settings: ModelSettings) -> eyre::Result<()> {
        let executor = &self.executor;
        let first_looks = arns.into_iter().map(|arn| first_look(executor, arn, settings));
        let mut first_looks = stream::iter(first_looks).buffer_unordered(CONCURRENT);
        let mut outcome = Ok(());
        while let Some((arn, looked)) = first_looks.next().await {
            match looked {
                Ok(tracked) => {
                    self.tracked.insert(arn, Followed { tracked, pace: Pace::new(Instant::now()) });
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

    async fn executions_of_deployed_models(&mut self) -> eyre::Result<Vec<String>> {
        let pool = &self.executor.pool;
        let mut arns: Vec<String> = sqlx::query_scalar(
            "select execution_arn from executor.instance
             where execution_arn is not null and map_run_arn is null and ended_as is null order by created_at",
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
        let bounds = self.bounds_of_lists(machines.len());
        let mut listed: Vec<Execution> = Vec::new();
        for machine in machines {
            let pace = self.machines.entry(machine.clone()).or_insert_with(|| Pace::new(Instant::now()));
            if !pace.is_due(Instant::now()) {
                continue;
            }
            let of = Lister::StateMachine(&machine);
            let page = self.executor.engine.executions_until(of, |item| known.contains(&item.execution_arn)).await;
            pace.looked(Instant::now(), seen(page.as_ref().is_ok_and(|new| !new.is_empty())), bounds);
            match page {
                Ok(new) => listed.extend(new.into_iter().filter_map(|item| item.try_into().ok())),
                Err(error) => tracing::warn!(state_machine = machine, %error, "its executions cannot be listed"),
            }
        }
        arns.extend(self.without_waiting(listed, &known).await?);
        Ok(arns)
    }

    /// All lists together take half of the quota at most; each execution's start and end is new to its list.
    fn bounds_of_lists(&self, machines: usize) -> Bounds {
        let settings = &self.executor.settings;
        let least = settings.idle_interval.max(self.executor.engine.list_interval(machines));
        Bounds { least, most: settings.max_poll_interval }
    }

    /// Leaves those out that another may have started whose history was not read since: it tells of them, and they name it. It is read soon.
    async fn without_waiting(&mut self, listed: Vec<Execution>, known: &HashSet<String>) -> eyre::Result<Vec<String>> {
        let now = Instant::now();
        let mut all = std::mem::take(&mut self.waiting);
        all.retain(|(execution, _)| !known.contains(execution.arn.as_str()));
        let new = |execution: &Execution| !all.iter().any(|(waiting, _)| waiting.arn == execution.arn);
        let new: Vec<_> = listed.into_iter().filter(new).map(|execution| (execution, now)).collect();
        all.extend(new);
        // Oldest first, so that ordinals follow the order of starts.
        all.sort_by_key(|(execution, _)| execution.started_at_ms);
        let models = if all.is_empty() { Vec::new() } else { self.executor.starting_models().await? };
        let mut free = Vec::new();
        for (place, (execution, since)) in all.iter().enumerate() {
            let may_start = || models.iter().filter(|model| model.may_start(&execution.arn.state_machine_arn()));
            let older = |model: &StartingModel| {
                all[..place]
                    .iter()
                    .any(|(older, _)| model.state_machine_arn.as_ref() == Some(&older.arn.state_machine_arn()))
            };
            let mut waits = may_start().any(older);
            for parent in may_start().flat_map(|model| &model.running).filter(|arn| *arn != execution.arn.as_str()) {
                let Some(followed) = self.tracked.get_mut(parent) else {
                    waits = true;
                    continue;
                };
                if followed.tracked.read_at().is_none_or(|read| read < *since + TOLD_AFTER) {
                    followed.pace.hinted(now, HINTED);
                    waits = true;
                }
            }
            if waits {
                self.waiting.push((execution.clone(), *since));
            } else {
                free.push(execution.arn.to_string());
            }
        }
        Ok(free)
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
}

async fn first_look(executor: &Executor, arn: String, settings: ModelSettings) -> (String, eyre::Result<Tracked>) {
    let tracked = async {
        let sighted = match executor.sighted(&arn.parse::<ExecutionArn>()?).await? {
            Some(sighted) => sighted,
            None => executor.sight(&executor.engine.describe_execution(&arn).await?, settings).await?,
        };
        Ok(Tracked::resume(executor, &arn, sighted).await?)
    };
    let tracked = tracked.await;
    (arn, tracked)
}

fn is_unknown(error: &eyre::Report) -> bool {
    matches!(error.downcast_ref(), Some(StepFunctionsError::ExecutionUnknown(_)))
}
