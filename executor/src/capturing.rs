//! Captures: finds executions, and takes what is new of their histories.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use runproof_protocol::model::ModelSettings;
use tokio::sync::{Notify, mpsc::Receiver};

use crate::{
    arn::ExecutionArn,
    capture::{Advance, CaptureError, Tracked},
    executor::Executor,
    follow::{Part, Scope},
    pace::{Bounds, Pace, Seen},
    redrive::Ended,
    registration::Progress,
    starting::StartingModel,
    step_functions::{Execution, Lister, StepFunctionsError},
};

/// Executions asked for at the same time.
const CONCURRENT: usize = 8;

/// Executions of which a turn asks whether they were redriven: others that run do not wait for all that failed in two weeks.
const REDRIVES_A_TURN: usize = 4;
/// Between two looks at an execution that hints ask for, at least.
const HINTED: Duration = Duration::from_secs(1);
/// Time from the start of an execution until the history of the one that started it surely tells of it.
const TOLD_AFTER: Duration = Duration::from_secs(2);

/// Which executions a loop captures. Those of Map Runs have one of their own: there may be 10,000 at once, for which the others need not wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Started {
    /// By users, schedules, or tasks.
    Singly,
    /// By Map Runs.
    ByMapRuns,
}

/// What the capturing loop keeps between two turns; all of it can be lost.
pub(crate) struct Capturing {
    executor: Executor,
    scope: Scope,
    started: Started,
    tracked: HashMap<String, Followed>,
    /// Executions that wait for those that may have started them, and when they were listed first.
    waiting: Vec<(Execution, Instant)>,
    /// Executions that the engine does not know any more.
    lost: HashSet<String>,
    /// When the executions of each deployed state machine are listed.
    machines: HashMap<String, Pace>,
    hints: Receiver<ExecutionArn>,
    /// When what hints were about is due.
    hints_due_at: Option<Instant>,
    /// Executions that are not tracked, and may have been redriven just now.
    hinted: HashSet<String>,
    discovered_at: Option<Instant>,
    /// Those of which AWS is yet to be asked whether they were.
    redrivable: VecDeque<Ended>,
    /// When they were last gathered.
    redrives_at: Option<Instant>,
    captured: Arc<Notify>,
}

/// An execution that is followed.
struct Followed {
    tracked: Tracked,
    pace: Pace,
}

impl Part for Capturing {
    async fn news(&mut self) {
        loop {
            let due_in = self.hints_due_at.map(|at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = tokio::time::sleep(due_in.unwrap_or_default()), if due_in.is_some() => return,
                Some(execution) = self.hints.recv() => self.hinted_at(&execution),
                else => std::future::pending().await,
            }
        }
    }

    async fn turn(&mut self) -> eyre::Result<Progress> {
        while let Ok(execution) = self.hints.try_recv() {
            self.hinted_at(&execution);
        }
        if self.hints_due_at.take_if(|at| *at <= Instant::now()).is_some() {
            self.discovered_at = None;
        }
        let discovered = self.discover().await;
        let captured = self.capture().await;
        discovered?;
        captured
    }
}

impl Capturing {
    /// `captured` is told of what is new, as it comes; an execution that `hints` name is looked at before its time.
    pub(crate) fn new(
        executor: Executor,
        scope: Scope,
        started: Started,
        captured: Arc<Notify>,
        hints: Receiver<ExecutionArn>,
    ) -> Self {
        let (tracked, waiting, lost, machines, hinted) = Default::default();
        let (discovered_at, redrives_at, hints_due_at) = (None, None, None);
        Self {
            executor,
            scope,
            started,
            tracked,
            waiting,
            lost,
            machines,
            hints,
            hints_due_at,
            hinted,
            discovered_at,
            redrivable: VecDeque::new(),
            redrives_at,
            captured,
        }
    }

    fn hinted_at(&mut self, execution: &ExecutionArn) {
        let (now, lists_apart) = (Instant::now(), self.executor.engine.list_interval(self.machines.len()));
        let due_at = if let Some(followed) = self.tracked.get_mut(execution.as_str()) {
            followed.pace.hinted(now, HINTED)
        } else if let Some(list) = self.machines.get_mut(&execution.state_machine_arn()) {
            self.hinted.insert(execution.to_string());
            list.hinted(now, lists_apart)
        } else {
            // Another's, or forged.
            return;
        };
        self.hints_due_at = Some(self.hints_due_at.map_or(due_at, |earlier| earlier.min(due_at)));
    }

    /// Finds executions that are not tracked yet.
    async fn discover(&mut self) -> eyre::Result<()> {
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
        let first_looks: Vec<_> = arns.into_iter().map(|arn| first_look(executor, arn, settings)).collect();
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

    /// Executions that stand still together take half of the quota at most, so that those that move are not delayed by them.
    fn bounds_of_looks(&self) -> Bounds {
        let settings = &self.executor.settings;
        let most = settings.max_poll_interval.max(self.executor.engine.history_interval(self.tracked.len()));
        Bounds { least: settings.poll_interval, most }
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
            let may_start = || models.iter().filter(|model| model.may_start(&execution.state_machine_arn));
            let older = |model: &StartingModel| {
                all[..place].iter().any(|(older, _)| model.state_machine_arn.as_ref() == Some(&older.state_machine_arn))
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

    /// Takes what is new of each tracked execution; complete if none is left.
    async fn capture(&mut self) -> eyre::Result<Progress> {
        let (executor, bounds, now) = (&self.executor, self.bounds_of_looks(), Instant::now());
        let due = self.tracked.iter_mut().filter(|(_, followed)| followed.pace.is_due(now));
        let looks: Vec<_> = due.map(|(arn, followed)| look(executor, arn.clone(), followed, bounds)).collect();
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
                Err(CaptureError::Engine(error @ StepFunctionsError::ExecutionUnknown(_)))
                    if self.scope == Scope::All =>
                {
                    tracing::warn!(%error, "it stays as it was captured");
                    self.lost.insert(arn.clone());
                    done.push(arn);
                }
                Err(error) => {
                    tracing::error!(execution = arn, %error, "nothing was captured");
                    failure = Some(error);
                }
            }
        }
        drop(looks);
        self.tracked.retain(|arn, _| !done.contains(arn));
        let started = match self.started {
            Started::Singly => "singly",
            Started::ByMapRuns => "by_map_runs",
        };
        metrics::gauge!("runproof_executor_executions_tracked", "started" => started).set(self.tracked.len() as f64);
        match failure {
            Some(error) => Err(error.into()),
            None if self.tracked.is_empty() => Ok(Progress::Complete),
            None => Ok(Progress::Waiting),
        }
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

/// One that fails is tried again with the next turn.
async fn look(
    executor: &Executor,
    arn: String,
    followed: &mut Followed,
    bounds: Bounds,
) -> (String, Result<Advance, CaptureError>) {
    let advance = followed.tracked.advance(executor).await;
    if let Ok(Advance { events, hole, .. }) = &advance {
        let seen = if hole.is_some() { Seen::Unclear } else { seen(*events > 0) };
        followed.pace.looked(Instant::now(), seen, bounds);
    }
    (arn, advance)
}

fn seen(news: bool) -> Seen {
    if news { Seen::News } else { Seen::Nothing }
}
