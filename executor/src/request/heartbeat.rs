//! Heartbeats: a task whose state has `HeartbeatSeconds` fails unless AWS hears in time that its token is still held.
//!
//! What they prove is that this process lives and has the token, not that a client is about to ask: how long to wait for that is `TimeoutSeconds`.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use eyre::{WrapErr, eyre};
use futures::{StreamExt, stream};

use super::{
    DELIVERY, Requests,
    model::{WaitingState, waiting_states},
    waiting,
};
use crate::aws_error;

/// So many are sent in the time in which AWS wants one.
const OFTEN: u32 = 3;

/// Tasks told of at the same time.
const CONCURRENT: usize = 8;

/// What is kept between two rounds; all of it can be lost.
#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    /// States that wait, by the model's id.
    models: HashMap<Vec<u8>, Vec<WaitingState>>,
    /// When each task was told of last, by its token.
    sent: HashMap<String, Instant>,
}

/// Token, name of the state, id of the model.
type Open = (String, String, Vec<u8>);

impl Requests {
    /// Tells AWS of each task that waits in a run and wants heartbeats, where it is time.
    pub(super) async fn send_heartbeats(&self, beats: &mut Heartbeats) -> eyre::Result<()> {
        let open: Vec<Open> = sqlx::query_as(
            "select w.token, w.state_name, i.model_id from executor.waiting_task w join executor.instance i using (execution_arn)
             where w.completed_at is null and i.ended_as is null",
        )
        .fetch_all(&self.database)
        .await?;
        let waiting: HashSet<&String> = open.iter().map(|(token, ..)| token).collect();
        beats.sent.retain(|token, _| waiting.contains(token));
        let mut due = Vec::new();
        for (token, state, model) in open {
            let interval = self.heartbeat(beats, model, &state).await?.map(|heartbeat| heartbeat / OFTEN);
            let waits = |interval| beats.sent.get(&token).is_some_and(|at| at.elapsed() < interval);
            if interval.is_some_and(|interval| !waits(interval)) {
                due.push(token);
            }
        }
        let mut told = stream::iter(due)
            .map(|token| async move {
                let told = self.send_heartbeat(&token).await;
                (token, told)
            })
            .buffer_unordered(CONCURRENT);
        let mut outcome = Ok(());
        while let Some((token, told)) = told.next().await {
            match told {
                Ok(()) => drop(beats.sent.insert(token, Instant::now())),
                Err(error) => outcome = Err(error),
            }
        }
        outcome
    }

    async fn heartbeat(&self, beats: &mut Heartbeats, model: Vec<u8>, state: &str) -> eyre::Result<Option<Duration>> {
        if !beats.models.contains_key(&model) {
            let document: Vec<u8> = sqlx::query_scalar("select document from executor.model where model_id = $1")
                .bind(&model)
                .fetch_one(&self.database)
                .await?;
            beats.models.insert(model.clone(), waiting_states(&document));
        }
        let waiting = beats.models.get(&model).into_iter().flatten().find(|waiting| waiting.name == state);
        Ok(waiting.and_then(|waiting| waiting.heartbeat))
    }

    async fn send_heartbeat(&self, token: &str) -> eyre::Result<()> {
        let call =
            self.engine.api.call("SendTaskHeartbeat", |client| client.send_task_heartbeat().task_token(token).send());
        let told = tokio::time::timeout(DELIVERY, call).await.wrap_err("Step Functions does not answer")?;
        let Err(error) = told.map_err(|error| error.into_service_error()) else {
            metrics::counter!("runproof_executor_task_heartbeats_total").increment(1);
            return Ok(());
        };
        match waiting::gone(&error) {
            Some(said) => Ok(waiting::close(&self.database, token, Some(said)).await?),
            None => Err(eyre!("Step Functions, SendTaskHeartbeat: {}", aws_error::sentence(&error))),
        }
    }
}
