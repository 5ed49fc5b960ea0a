//! Takes what an execution's history has that Postgres has not, state by state, with its checkpoint in one SQL transaction.

use runproof_protocol::{
    head::Outcome,
    history::{Capture, CapturedState, HistoryError, HistoryEvent},
};
use sqlx::PgConnection;

use crate::{
    executor::Executor,
    holes::{Hole, HoleWatch},
    sight::Sighted,
    step_functions::StepFunctionsError,
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
    holes: HoleWatch,
}

/// What one look at a history gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advance {
    /// States captured by it.
    pub states: usize,
    /// What stopped it, if anything did.
    pub hole: Option<Hole>,
    /// How the execution ended, once all of its history is captured.
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
        let mut capture = Capture::new(sighted.origin.clone(), sighted.selection);
        for row in rows {
            capture.take(&serde_json::from_str(&row)?)?;
        }
        Ok(Self { arn: arn.to_owned(), sighted, capture, holes: HoleWatch::default() })
    }

    /// The instance.
    pub fn instance(&self) -> runproof_protocol::InstanceId {
        self.sighted.instance
    }

    /// Takes what is new.
    ///
    /// # Errors
    /// [`CaptureError`].
    pub async fn advance(&mut self, executor: &Executor) -> Result<Advance, CaptureError> {
        let checkpoint = self.capture.last_event_id();
        // The status comes first: what it calls ended cannot grow after the history is read.
        let ended = executor.engine.describe_execution(&self.arn).await?.ended;
        let events = executor.engine.history_after(&self.arn, checkpoint).await?;
        let (admitted, hole) = self.holes.admit(checkpoint, &events, ended.is_some());
        let events = &events[..admitted];
        let ended = if hole.is_none() { ended } else { None };

        let mut capture = self.capture.clone();
        let mut states = Vec::new();
        for event in events {
            states.extend(capture.take(event)?);
        }
        if !events.is_empty() || ended.is_some() {
            let mut sql = executor.pool.begin().await?;
            self.move_checkpoint(&mut sql, checkpoint, capture.last_event_id(), ended).await?;
            self.store_events(&mut sql, events).await?;
            store_states(&mut sql, self.sighted.instance, &states).await?;
            sql.commit().await?;
        }
        self.capture = capture;
        metrics::counter!("runproof_executor_states_captured_total").increment(states.len() as u64);
        Ok(Advance { states: states.len(), hole, ended })
    }

    async fn move_checkpoint(
        &self,
        sql: &mut PgConnection,
        from: u64,
        to: u64,
        ended: Option<Outcome>,
    ) -> Result<(), CaptureError> {
        let moved = sqlx::query(
            "update executor.instance set last_event_id = $3, ended_as = $4 where instance_id = $1 and last_event_id = $2",
        )
        .bind(self.sighted.instance.as_slice())
        .bind(from as i64)
        .bind(to as i64)
        .bind(ended.map(|outcome| outcome.to_string()))
        .execute(sql)
        .await?;
        if moved.rows_affected() == 1 { Ok(()) } else { Err(CaptureError::Overtaken) }
    }

    async fn store_events(&self, sql: &mut PgConnection, events: &[HistoryEvent]) -> Result<(), CaptureError> {
        let ids: Vec<i64> = events.iter().map(|event| event.id as i64).collect();
        let texts = events.iter().map(serde_json::to_string).collect::<Result<Vec<String>, _>>()?;
        sqlx::query(
            "insert into executor.history_event (instance_id, event_id, event)
             select $1, e.id, e.event::json from unnest($2::bigint[], $3::text[]) as e(id, event)",
        )
        .bind(self.sighted.instance.as_slice())
        .bind(ids)
        .bind(texts)
        .execute(sql)
        .await?;
        Ok(())
    }
}

/// Stores states with the bytes that each adds to the trace.
pub(crate) async fn store_states(
    sql: &mut PgConnection,
    instance: runproof_protocol::InstanceId,
    states: &[CapturedState],
) -> Result<(), sqlx::Error> {
    fn column<T>(states: &[CapturedState], value: impl Fn(&CapturedState) -> T) -> Vec<T> {
        states.iter().map(value).collect()
    }
    sqlx::query(
        "insert into executor.state (instance_id, sequence, state_id, event_id, name, entered_at_ms, predecessor, part, trace_len)
         select $1, s.* from unnest($2::bigint[], $3::bytea[], $4::bigint[], $5::text[], $6::bigint[], $7::bigint[], $8::text[], $9::bigint[]) as s",
    )
    .bind(instance.as_slice())
    .bind(column(states, |state| state.sequence as i64))
    .bind(column(states, |state| state.id.as_slice().to_vec()))
    .bind(column(states, |state| state.event_id as i64))
    // Postgres stores no NUL in text; the name is a label, the trace keeps the original.
    .bind(column(states, |state| state.name.replace('\0', "\u{fffd}")))
    .bind(column(states, |state| state.entered_at_ms))
    .bind(column(states, |state| state.predecessor.map(i64::from)))
    .bind(column(states, |state| state.part.clone()))
    .bind(column(states, |state| state.trace_len as i64))
    .execute(sql)
    .await?;
    Ok(())
}
