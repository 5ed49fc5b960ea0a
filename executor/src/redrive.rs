//! Redrives: an execution that failed goes on under its ARN, from where it failed, up to 14 days later.
//!
//! What was registered of it is sealed and stays so. The part of the history that begins with `ExecutionRedriven` is an instance of its own, of the same
//! model, whose document names the instance that it continues. All of it follows from the history, so that one who captures it anew finds the same ids.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/redrive-executions.html>

use crate::{
    capture::CaptureError,
    executor::Executor,
    sight::{Sighted, from_epoch_ms, rfc3339_ms},
    step_functions::StepFunctionsError,
};
use runproof_protocol::{
    InstanceId,
    documents::{InstanceDocument, Redrive},
    history::HistoryEvent,
};

/// Days after its end in which AWS lets an execution be redriven, and one more for clocks.
const REDRIVABLE_DAYS: i32 = 15;

/// An execution that ended, and how often it had been redriven by then.
pub(crate) type Ended = (String, i32);

impl Executor {
    /// Executions that can have been redriven since all that is stored of them ended, of one's family or of all. Those of Map Runs are not among them:
    /// listing them tells it.
    pub(crate) async fn redrivable(&self, only: Option<&str>) -> Result<Vec<Ended>, sqlx::Error> {
        sqlx::query_as(
            "select execution_arn, redrives from (
               select distinct on (execution_arn) execution_arn, redrives, ended_as, ended_at from executor.instance
               where map_run_arn is null and ($1 is null or instance_id in (select executor.family($1)))
               order by execution_arn, redrives desc) newest
             where execution_arn is not null and ended_as <> 'succeeded' and ended_at > now() - make_interval(days => $2)
             order by ended_at desc",
        )
        .bind(only)
        .bind(REDRIVABLE_DAYS)
        .fetch_all(&self.pool)
        .await
    }

    /// Whether it was: AWS is asked.
    pub(crate) async fn was_redriven(&self, (arn, redrives): &Ended) -> Result<bool, StepFunctionsError> {
        match self.engine.describe_execution(arn).await {
            Ok(execution) => Ok(i64::from(execution.redrives) > i64::from(*redrives)),
            Err(StepFunctionsError::ExecutionUnknown(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stores the instance that begins with this event, and so continues that one, which ended with event `last_event_id`.
    pub(crate) async fn store_continuation(
        &self,
        former: &Sighted,
        last_event_id: u64,
        redriven: &HistoryEvent,
    ) -> Result<Sighted, CaptureError> {
        let began_at = from_epoch_ms(redriven.timestamp_ms).map_err(|_| CaptureError::Time(redriven.id))?;
        let document: Vec<u8> = sqlx::query_scalar("select document from executor.instance where instance_id = $1")
            .bind(former.instance.as_slice())
            .fetch_one(&self.pool)
            .await?;
        let redrive = Redrive {
            count: (former.redrives + 1).to_string(),
            date: rfc3339_ms(began_at).map_err(|_| CaptureError::Time(redriven.id))?,
            continues: former.instance.to_string(),
        };
        let document: InstanceDocument = serde_json::from_slice(&document)?;
        let document = InstanceDocument { redrive: Some(redrive), ..document }.to_bytes();
        let instance = InstanceId::of(&document);
        let stored = sqlx::query(
            "insert into executor.instance
               (instance_id, model_id, execution_arn, parent_id, map_run_arn, redrives, document, privacy, follows_event_id, last_event_id, started_at)
             select $2, model_id, execution_arn, parent_id, map_run_arn, redrives + 1, $3, privacy, last_event_id, last_event_id, $4
             from executor.instance where instance_id = $1 and ended_as is not null and last_event_id = $5
             on conflict do nothing",
        )
        .bind(former.instance.as_slice())
        .bind(instance.as_slice())
        .bind(&document)
        .bind(began_at)
        .bind(last_event_id as i64)
        .execute(&self.pool)
        .await?;
        if stored.rows_affected() == 0 {
            return Err(CaptureError::Overtaken);
        }
        tracing::info!(%instance, continues = %former.instance, "an execution was redriven");
        metrics::counter!("runproof_executor_redrives_total").increment(1);
        let Sighted { redrives, settings, origin, .. } = former.clone();
        Ok(Sighted { instance, redrives: redrives + 1, follows_event_id: last_event_id, ended: None, settings, origin })
    }
}
