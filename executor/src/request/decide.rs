//! Deciding a request: what it asks for, who asks, and whether something waits for it.

use std::time::Duration;

use alloy::primitives::Address;
use eyre::{WrapErr, eyre};
use runproof_contracts::InstanceRegistry;
use runproof_protocol::{InstanceId, history::HistoryEvent};

use super::{
    DELIVERY, Requests,
    inbox::{self, Answer, Decision, Request},
    leaving::leaving,
    model::{hands_token_elsewhere, waiting_states},
    participation::Named,
    rules::Refusal,
    waiting::{self, Found},
};
use crate::aws_error;

/// How long a request waits for a task, where it sets no deadline of its own.
const PATIENCE: Duration = Duration::from_secs(600);

/// After that long an accepted request whose task is not completed is taken for one that a crash cut off. Longer than [`DELIVERY`]: no two overlap.
const CUT_OFF_S: f64 = 60.0;

/// Its execution's ARN, unless it was imported; how it ended; and its model.
type RequestedRun = (Option<String>, Option<String>, Vec<u8>);

enum Judgement {
    Accept(String),
    Refuse(Refusal),
    Wait,
}

impl Requests {
    /// Decides what can be decided and makes good what a crash cut off.
    pub(super) async fn settle(&self) -> eyre::Result<()> {
        let cut_off: Vec<(i64, String, String)> = sqlx::query_as(
            "select request_id, token, payload from executor.transition_request join executor.waiting_task using (token)
             where decision = 'accepted' and completed_at is null and extract(epoch from now() - decided_at) > $1",
        )
        .bind(CUT_OFF_S)
        .fetch_all(&self.database)
        .await?;
        for (id, token, payload) in cut_off {
            // If AWS does not know the token any more, the crash came after it was told.
            if let Some(gone) = self.deliver(&token, &payload).await? {
                tracing::info!(request = id, reason = gone, "task found completed");
                waiting::close(&self.database, &token, None).await?;
            }
        }
        for id in inbox::undecided(&self.database).await? {
            self.decide(id).await?;
        }
        Ok(())
    }

    /// Decides one request if it can be decided now, and carries it out.
    pub(super) async fn decide(&self, id: i64) -> eyre::Result<Answer> {
        let request = inbox::read(&self.database, id).await?;
        if request.answer.decision == Decision::Undecided {
            match self.judge(&request).await? {
                Judgement::Wait => {}
                Judgement::Refuse(refusal) => inbox::refuse(&self.database, id, &refusal).await?,
                Judgement::Accept(token) => {
                    if inbox::accept(&self.database, id, &token).await? {
                        self.carry_out(&request, &token).await?;
                    }
                }
            }
        }
        Ok(inbox::read(&self.database, id).await?.answer)
    }

    async fn judge(&self, request: &Request) -> eyre::Result<Judgement> {
        let (execution_arn, ended_as, model) = match self.admit(request.instance, request.requester).await? {
            Ok(run) => run,
            Err(refusal) => return Ok(Judgement::Refuse(refusal)),
        };
        if let Some(outcome) = ended_as {
            return Ok(Judgement::Refuse(Refusal::Ended(outcome)));
        }
        match execution_arn {
            Some(arn) => self.match_task(request, &arn, &model).await,
            None => Ok(Judgement::Refuse(Refusal::Imported)),
        }
    }

    /// The run, if there is one of which this account may request transitions.
    pub(super) async fn admit(
        &self,
        instance: InstanceId,
        requester: Address,
    ) -> eyre::Result<Result<RequestedRun, Refusal>> {
        let run: Option<RequestedRun> = sqlx::query_as(
            "select i.execution_arn, i.ended_as, m.document from executor.instance i join executor.model m using (model_id)
             where i.instance_id = $1",
        )
        .bind(instance.as_slice())
        .fetch_optional(&self.database)
        .await?;
        let Some(run) = run else { return Ok(Err(Refusal::UnknownInstance)) };
        let registry = InstanceRegistry::new(self.registry.address, &self.provider);
        let named = Named::read(&registry, &self.database, self.issuer, instance, requester).await;
        // Who asks accepts: the contract demanded that of a request on chain, and a signed one says so by itself.
        Ok(match named.wrap_err("the right to request could not be looked up")? {
            Named::ForRun | Named::ForModel => Ok(run),
            Named::ForOtherModels => Err(Refusal::OtherModel(requester)),
            Named::Nowhere => Err(Refusal::NotParticipant(requester)),
        })
    }

    async fn match_task(&self, request: &Request, execution_arn: &str, model: &[u8]) -> eyre::Result<Judgement> {
        let state =
            sqlx::query_as("select name, event_id from executor.state where instance_id = $1 and sequence = $2");
        let state: Option<(String, i64)> =
            state.bind(request.instance.as_slice()).bind(request.sequence).fetch_optional(&self.database).await?;
        let Some((name, entered)) = state else { return Ok(wait(request)) };
        if !waiting_states(model).iter().any(|state| state.name == name) {
            let elsewhere = hands_token_elsewhere(model, &name);
            let refusal = if elsewhere { Refusal::TokenElsewhere } else { Refusal::NotWaiting };
            return Ok(Judgement::Refuse(refusal(name)));
        }
        if let Some(refusal) = self.left(request.instance, entered).await? {
            return Ok(Judgement::Refuse(refusal));
        }
        Ok(match waiting::find(&self.database, request.instance, execution_arn, &name, request.sequence).await? {
            Found::Task(token) => Judgement::Accept(token),
            Found::Completed => Judgement::Refuse(Refusal::Completed),
            Found::Gone(reason) => Judgement::Refuse(Refusal::Gone(reason)),
            Found::Nothing => wait(request),
        })
    }

    /// Why the state that was entered with this event waits no more, if the history tells.
    async fn left(&self, instance: InstanceId, entered: i64) -> eyre::Result<Option<Refusal>> {
        let later: Vec<String> = sqlx::query_scalar(
            "select event::text from executor.history_event
             where instance_id = $1 and event_id > $2 and event->>'event_type' ~ '^(Task|Activity)' order by event_id",
        )
        .bind(instance.as_slice())
        .bind(entered)
        .fetch_all(&self.database)
        .await?;
        let later: Vec<HistoryEvent> =
            later.iter().map(|event| serde_json::from_str(event)).collect::<Result<_, _>>()?;
        Ok(leaving(entered.unsigned_abs(), &later))
    }

    async fn carry_out(&self, request: &Request, token: &str) -> eyre::Result<()> {
        match self.deliver(token, &request.payload).await {
            Ok(None) => {
                metrics::counter!("runproof_transition_requests_total", "decision" => "accepted").increment(1);
                tracing::info!(request = request.id, requester = %request.requester, "transition accepted, task completed");
            }
            Ok(Some(gone)) => {
                waiting::close(&self.database, token, Some(&gone)).await?;
                inbox::take_back(&self.database, request.id, &Refusal::Gone(gone)).await?;
            }
            // Accepted all the same: it will be told again.
            Err(error) => {
                tracing::warn!(request = request.id, error = format!("{error:#}"), "task not completed yet");
            }
        }
        Ok(())
    }

    /// Tells AWS to complete the task; returns what it said, if that is that the task waits no more.
    async fn deliver(&self, token: &str, payload: &str) -> eyre::Result<Option<String>> {
        // Told twice, AWS would say of the second time that the task waits no more.
        let call = self
            .engine
            .api
            .once("SendTaskSuccess", |client| client.send_task_success().task_token(token).output(payload).send());
        let told = tokio::time::timeout(DELIVERY, call).await.wrap_err("Step Functions does not answer")?;
        let Err(error) = told.map_err(|error| error.into_service_error()) else {
            waiting::close(&self.database, token, None).await?;
            return Ok(None);
        };
        match waiting::gone(&error) {
            Some(said) => Ok(Some(said.to_owned())),
            None => Err(eyre!("Step Functions, SendTaskSuccess: {}", aws_error::sentence(&error))),
        }
    }
}

fn wait(request: &Request) -> Judgement {
    let expired = match request.deadline_s {
        Some(deadline_s) => deadline_s < time::OffsetDateTime::now_utc().unix_timestamp(),
        None => request.age > PATIENCE,
    };
    if expired || request.age > PATIENCE { Judgement::Refuse(Refusal::Expired) } else { Judgement::Wait }
}
