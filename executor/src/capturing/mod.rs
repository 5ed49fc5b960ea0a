//! Captures: finds executions, and takes what is new of their histories.

mod discovery;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream::FuturesUnordered};
use tokio::sync::{Notify, mpsc::Receiver};

use crate::{
    arn::ExecutionArn,
    capture::{Advance, CaptureError, Tracked},
    executor::Executor,
    follow::{Part, Scope},
    pace::{Bounds, Pace, Seen},
    redrive::Ended,
    registration::Progress,
    step_functions::{Execution, StepFunctionsError},
};

/// Executions asked for at the same time.
const CONCURRENT: usize = 8;

/// Between two looks at an execution that hints ask for, at least.
const HINTED: Duration = Duration::from_secs(1);

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

    /// Executions that stand still together take half of the quota at most, so that those that move are not delayed by them.
    fn bounds_of_looks(&self) -> Bounds {
        let settings = &self.executor.settings;
        let most = settings.max_poll_interval.max(self.executor.engine.history_interval(self.tracked.len()));
        Bounds { least: settings.poll_interval, most }
    }

    /// Takes what is new of each tracked execution; complete if none is left.
    async fn capture(&mut self) -> eyre::Result<Progress> {
        let (executor, bounds, now) = (&self.executor, self.bounds_of_looks(), Instant::now());
        let due = self.tracked.iter_mut().filter(|(_, followed)| followed.pace.is_due(now));
        let (mut due, mut looks) = (due.collect::<Vec<_>>().into_iter(), FuturesUnordered::new());
        let (mut done, mut failure) = (HashSet::new(), None);
        loop {
            let begun = due.by_ref().take(CONCURRENT - looks.len());
            looks.extend(begun.map(|(arn, followed)| look(executor, arn.clone(), followed, bounds)));
            let Some((arn, look)) = looks.next().await else { break };
            match look {
                Ok(advance) => {
                    if advance.states > 0 || advance.ended.is_some() {
                        self.captured.notify_one();
                    }
                    if let Some(outcome) = advance.ended {
                        tracing::info!(execution = arn, %outcome, "execution ended and is captured");
                        done.insert(arn);
                    }
                }
                Err(CaptureError::Overtaken) => {
                    done.insert(arn);
                    self.discovered_at = None;
                }
                Err(CaptureError::Engine(error @ StepFunctionsError::ExecutionUnknown(_)))
                    if self.scope == Scope::All =>
                {
                    tracing::warn!(%error, "it stays as it was captured");
                    self.lost.insert(arn.clone());
                    done.insert(arn);
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
        let stopped = self.tracked.values().filter(|followed| followed.tracked.hole().is_some()).count();
        metrics::gauge!("runproof_executor_histories_with_holes", "started" => started).set(stopped as f64);
        match failure {
            Some(error) => Err(error.into()),
            None if self.tracked.is_empty() => Ok(Progress::Complete),
            None => Ok(Progress::Waiting),
        }
    }
}

/// One that fails is tried again with the next turn.
async fn look(
    executor: &Executor,
    arn: String,
    followed: &mut Followed,
    bounds: Bounds,
) -> (String, Result<Advance, CaptureError>) {
    let before = followed.tracked.hole();
    let advance = followed.tracked.advance(executor).await;
    if let Ok(Advance { events, hole, .. }) = advance {
        // More events are there, though none of them can be taken.
        let seen = seen(events > 0 || (hole.is_some() && hole != before));
        followed.pace.looked(Instant::now(), seen, bounds);
    }
    (arn, advance)
}

fn seen(news: bool) -> Seen {
    if news { Seen::News } else { Seen::Nothing }
}
