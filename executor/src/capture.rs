//! Takes what an execution's history has that Postgres has not, state by state, with its checkpoint in one SQL transaction.

use std::{collections::BTreeMap, time::Instant};

use runproof_protocol::{
    head::Outcome,
    history::{Capture, HistoryError, HistoryEvent},
};
use sqlx::PgConnection;

use crate::{
    captured::{store_events, store_states},
    companion,
    executor::Executor,
    holes::{self, Hole},
    sight::Sighted,
    started,
    step_functions::StepFunctionsError,
    withheld::withheld,
};

/// Why nothing was captured; the checkpoint is unchanged.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// Step Functions did not answer as it should.
    #[error(transparent)]
    Engine(#[from] StepFunctionsError),
    /// The history contradicts itself.
    #[error(transparent)]
    History(#[from] HistoryError),
    /// What is stored cannot be read.
    #[error("a stored history event cannot be read: {0}")]
    Stored(#[from] serde_json::Error),
    /// A time beyond what a calendar tells.
    #[error("history event {0} has a time that no calendar knows")]
    Time(u64),
    /// The database did not do as it should.
    #[error("Postgres: {0}")]
    Database(#[from] sqlx::Error),
    /// Another process captured the same execution in the meantime; reading it anew helps.
    #[error("another process captured this execution in the meantime: it is read anew")]
    Overtaken,
}

/// An execution whose history is being captured.
#[derive(Debug, Clone)]
pub struct Tracked {
    arn: String,
    sighted: Sighted,
    capture: Capture,
    /// Length of the companion document so far, without its closing `]`.
    companion_len: u64,
    /// What the last look stopped at.
    hole: Option<Hole>,
    /// Looks in a row that gave nothing new.
    quiet_looks: u32,
    /// When the history was last asked for, and given.
    read_at: Option<Instant>,
}

/// What one look at a history gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// History events taken.
    pub events: usize,
    /// States captured by it.
    pub states: usize,
    /// What stopped it, if anything did: the checkpoint is before it.
    pub hole: Option<Hole>,
    /// How the execution ended, once all of its history is captured. It may be redriven later all the same.
    pub ended: Option<Outcome>,
}

impl Tracked {
    /// Continues from the checkpoint in Postgres.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub async fn resume(executor: &Executor, arn: &str, sighted: Sighted) -> Result<Self, CaptureError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "select event::text from executor.history_event where instance_id = $1 order by event_id",
        )
        .bind(sighted.instance.as_slice())
        .fetch_all(&executor.pool)
        .await?;
        let mut capture = Capture::after(sighted.origin.clone(), sighted.settings, sighted.follows_event_id);
        for row in rows {
            capture.take(&serde_json::from_str(&row)?)?;
        }
        let length = "select coalesce(max(document_len), 0) from executor.history_event where instance_id = $1";
        let length: i64 =
            sqlx::query_scalar(length).bind(sighted.instance.as_slice()).fetch_one(&executor.pool).await?;
        Ok(Self {
            arn: arn.to_owned(),
            sighted,
            capture,
            companion_len: length.unsigned_abs(),
            hole: None,
            quiet_looks: 0,
            read_at: None,
        })
    }

    /// The instance.
    pub fn instance(&self) -> runproof_protocol::InstanceId {
        self.sighted.instance
    }

    /// When the history was asked for that was taken last.
    pub(crate) fn read_at(&self) -> Option<Instant> {
        self.read_at
    }

    /// Takes what is new.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub async fn advance(&mut self, executor: &Executor) -> Result<Advance, CaptureError> {
        let checkpoint = self.capture.last_event_id();
        // The status comes first: what it calls ended cannot grow after the history is read.
        let told = if self.asks_status() { self.told_end(executor).await? } else { None };
        let asked_at = Instant::now();
        let events = executor.engine.history_after(&self.arn, checkpoint).await?;
        let (admitted, hole) = holes::admit(checkpoint, &events, told.is_some());
        self.stopped_at(hole);
        let events = &events[..admitted];
        self.quiet_looks = if events.is_empty() { self.quiet_looks + 1 } else { 0 };

        let cut = self.redriven_at(events);
        let own = &events[..cut.unwrap_or(events.len())];
        let ended = match (own.last().and_then(HistoryEvent::ending), cut) {
            (Some(outcome), _) => Some(outcome),
            // Only what was not successful is redriven.
            (None, Some(_)) => self.sighted.ended.or(Some(Outcome::Failed)),
            (None, None) => None,
        };
        let states = self.take(executor, own, ended).await?;
        self.read_at = hole.is_none().then_some(asked_at).or(self.read_at);
        match cut {
            None => Ok(Advance { events: admitted, states, hole, ended }),
            Some(cut) => {
                self.continue_from(executor, &events[cut]).await?;
                Ok(Advance { events: admitted, states, hole, ended: None })
            }
        }
    }

    /// What stops the capture, if anything does.
    pub(crate) fn hole(&self) -> Option<Hole> {
        self.hole
    }

    /// Told once, however long it stays.
    fn stopped_at(&mut self, hole: Option<Hole>) {
        let before = std::mem::replace(&mut self.hole, hole);
        match hole {
            Some(hole) if before != Some(hole) => tracing::warn!(execution = self.arn, %hole, "the capture waits"),
            None if before.is_some() => tracing::info!(execution = self.arn, "the hole in the history is filled"),
            _ => {}
        }
    }

    /// The end is taken from the history. That it is missing there the status tells, which is asked for the more seldom the longer the run stands still.
    fn asks_status(&self) -> bool {
        let end_is_missing = self.hole.is_some_and(|hole| hole.found.is_none());
        end_is_missing || (self.quiet_looks > 1 && self.quiet_looks.is_power_of_two())
    }

    /// What AWS says of the end, if it says it of this part of the execution.
    async fn told_end(&self, executor: &Executor) -> Result<Option<Outcome>, CaptureError> {
        let execution = executor.engine.describe_execution(&self.arn).await?;
        let of_this_part = execution.redrives == self.sighted.redrives && self.sighted.ended.is_none();
        Ok(execution.ended.filter(|_| of_this_part))
    }

    /// Index of the event with which another instance begins; that with which this one began is not meant.
    fn redriven_at(&self, events: &[HistoryEvent]) -> Option<usize> {
        let continues = self.sighted.redrives > 0;
        let begins = continues && self.capture.last_event_id() == self.sighted.follows_event_id;
        let redrives = events.iter().enumerate().filter(|(_, event)| event.redrives());
        redrives.map(|(index, _)| index).nth(usize::from(begins))
    }

    /// Stores events, states and checkpoint together; returns how many states there were.
    async fn take(
        &mut self,
        executor: &Executor,
        events: &[HistoryEvent],
        ended: Option<Outcome>,
    ) -> Result<usize, CaptureError> {
        // What ended is sealed: an event that comes later yet belongs to the instance that continues it.
        if self.sighted.ended.is_some() || (events.is_empty() && ended.is_none()) {
            return Ok(0);
        }
        let (privacy, mask) = (self.sighted.settings.privacy, &executor.settings.aws.mask);
        let events: Vec<_> = events.iter().map(|event| withheld(event, privacy, mask)).collect();
        let mut capture = self.capture.clone();
        let (mut states, mut starts, mut taken) = (Vec::new(), BTreeMap::new(), Vec::with_capacity(events.len()));
        for withheld in events {
            states.extend(capture.take(&withheld.event)?);
            let entered = capture.entered(withheld.event.id);
            if let Some(arn) = &withheld.event.starts {
                // One that is done again after a redrive was perhaps entered before it.
                starts.entry(arn.clone()).or_insert(entered.unwrap_or(withheld.event.id));
            }
            taken.push((withheld, entered));
        }
        let instance = self.sighted.instance;
        let mut sql = executor.pool.begin().await?;
        self.move_checkpoint(&mut sql, capture.last_event_id(), ended).await?;
        let accepted = companion::accepted(&mut sql, instance, &taken).await?;
        let parts = companion::parts(self.companion_len, &taken, &accepted, mask)?;
        store_events(&mut sql, instance, &taken, &parts).await?;
        store_states(&mut sql, instance, &states).await?;
        started::store(&mut sql, instance, &starts).await?;
        if ended.is_some() {
            companion::seal(&mut sql, instance).await?;
        }
        sql.commit().await?;
        self.capture = capture;
        self.companion_len = parts.last().map_or(self.companion_len, |part| part.document_len);
        self.sighted.ended = ended;
        metrics::counter!("runproof_executor_states_captured_total").increment(states.len() as u64);
        Ok(states.len())
    }

    /// The execution goes on as another instance.
    async fn continue_from(&mut self, executor: &Executor, redriven: &HistoryEvent) -> Result<(), CaptureError> {
        self.sighted = executor.store_continuation(&self.sighted, self.capture.last_event_id(), redriven).await?;
        let Sighted { origin, settings, follows_event_id, .. } = &self.sighted;
        self.capture = Capture::after(origin.clone(), *settings, *follows_event_id);
        self.companion_len = 0;
        self.hole = None;
        Ok(())
    }

    async fn move_checkpoint(
        &self,
        sql: &mut PgConnection,
        to: u64,
        ended: Option<Outcome>,
    ) -> Result<(), CaptureError> {
        let moved = sqlx::query(
            "update executor.instance set last_event_id = $3, ended_as = $4, ended_at = case when $4 is not null then now() end
             where instance_id = $1 and last_event_id = $2 and ended_as is null",
        )
        .bind(self.sighted.instance.as_slice())
        .bind(self.capture.last_event_id() as i64)
        .bind(to as i64)
        .bind(ended.map(|outcome| outcome.to_string()))
        .execute(sql)
        .await?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(CaptureError::Overtaken) }
    }
}
