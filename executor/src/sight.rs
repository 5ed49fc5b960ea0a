//! First sight of an execution: its model and its instance document are stored, once.

use std::slice;

use eyre::Context;
use runproof_protocol::{
    InstanceId, ModelId,
    documents::InstanceDocument,
    head::Outcome,
    history::Execution as Origin,
    model::{ModelSettings, Privacy},
};
use time::{OffsetDateTime, macros::format_description};

use crate::{
    arn::ExecutionArn,
    executor::Executor,
    mask::AccountMask,
    model_settings::{self, show_privacy, show_selection},
    started::Starter,
    step_functions::Execution,
};

/// An execution that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighted {
    /// Its instance; of an execution that was redriven, the newest.
    pub instance: InstanceId,
    /// How often it had been redriven when the instance began.
    pub redrives: u32,
    /// Id of the last event before the instance's own.
    pub follows_event_id: u64,
    /// How the instance ended.
    pub ended: Option<Outcome>,
    /// Which of its events are states, and what is told of their inputs.
    pub settings: ModelSettings,
    /// What its states say of it.
    pub origin: Origin,
}

/// Instance, redrives before it, last event before it, how it ended, its model's selection, its privacy, and its document.
type SightedRow = (Vec<u8>, i32, i64, Option<String>, String, String, Vec<u8>);

/// What an execution runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Runs {
    pub(crate) model: ModelId,
    /// The deployed model, where that is another.
    pub(crate) instead_of: Option<ModelId>,
    /// Of the deployed model, or as asked where none is.
    pub(crate) privacy: Privacy,
}

impl Executor {
    /// Finds an execution in Postgres, or stores it. `settings` are taken if its model is not deployed, and nothing that is followed started it.
    ///
    /// # Errors
    /// Step Functions or the database does not answer.
    pub async fn sight(&self, execution: &Execution, settings: ModelSettings) -> eyre::Result<Sighted> {
        if self.sighted(&execution.arn).await?.is_none() {
            let starter = self.starter_of(execution).await?;
            let settings = starter.as_ref().map_or(settings, |starter| starter.settings);
            let runs = self.model_of(execution, settings).await?;
            self.store_instances(slice::from_ref(execution), runs, starter.as_ref()).await?;
        }
        self.sighted(&execution.arn).await?.ok_or_else(|| eyre::eyre!("execution {} was not stored", execution.arn))
    }

    /// Finds an execution in Postgres.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn sighted(&self, arn: &ExecutionArn) -> eyre::Result<Option<Sighted>> {
        let row: Option<SightedRow> = sqlx::query_as(
            "select i.instance_id, i.redrives, i.follows_event_id, i.ended_as, m.selection, i.privacy, i.document
             from executor.instance i join executor.model m using (model_id)
             where i.execution_arn = $1 order by i.redrives desc limit 1",
        )
        .bind(arn.as_str())
        .fetch_optional(&self.pool)
        .await?;
        let Some((instance, redrives, follows_event_id, ended_as, selection, privacy, document)) = row else {
            return Ok(None);
        };
        // As the instance was published: the mask may have been another then.
        let document: InstanceDocument = serde_json::from_slice(&document)?;
        let arn: ExecutionArn = document.execution_arn.parse()?;
        Ok(Some(Sighted {
            instance: InstanceId::try_from(&instance[..])?,
            redrives: u32::try_from(redrives)?,
            follows_event_id: u64::try_from(follows_event_id)?,
            ended: ended_as.as_deref().map(parse_outcome).transpose()?,
            settings: model_settings::parse(&selection, &privacy)?,
            origin: Origin { model_name: arn.state_machine, name: arn.name, region: arn.region, account: arn.account },
        }))
    }

    /// The model that the execution runs: the deployed one if its definition is that, else the definition as it is, and the deployed one that it is not.
    async fn model_of(&self, execution: &Execution, settings: ModelSettings) -> eyre::Result<Runs> {
        let deployed: Option<(Vec<u8>, Vec<u8>, String, String)> = sqlx::query_as(
            "select model_id, document, selection, privacy from executor.model where state_machine_arn = $1",
        )
        .bind(execution.arn.state_machine_arn())
        .fetch_optional(&self.pool)
        .await?;
        // Where AWS does not tell, nothing else does: the deployed model may have been changed since, or the execution run another version.
        let definition = self.engine.definition_of(execution).await;
        let definition = definition.context("asking for the definition that the execution runs")?;
        let definition = self.settings.aws.mask.apply(&definition).into_owned().into_bytes();
        let model = ModelId::of(&definition);
        let Some((deployed, document, selection, privacy)) = deployed else {
            self.store_model(model, &execution.arn.state_machine, &definition, settings).await?;
            return Ok(Runs { model, instead_of: None, privacy: settings.privacy });
        };
        let deployed = ModelId::try_from(&deployed[..])?;
        let settings = model_settings::parse(&selection, &privacy)?;
        if same_json(&document, &definition) {
            return Ok(Runs { model: deployed, instead_of: None, privacy: settings.privacy });
        }
        tracing::warn!(execution = %execution.arn, %model, %deployed, "the execution runs another definition than the deployed model");
        metrics::counter!("runproof_executor_other_definitions_total").increment(1);
        self.store_model(model, &execution.arn.state_machine, &definition, settings).await?;
        Ok(Runs { model, instead_of: Some(deployed), privacy: settings.privacy })
    }

    /// Stores a model that is not there yet.
    pub(crate) async fn store_model(
        &self,
        model: ModelId,
        name: &str,
        document: &[u8],
        settings: ModelSettings,
    ) -> eyre::Result<()> {
        sqlx::query(
            "insert into executor.model (model_id, name, document, selection, privacy) values ($1, $2, $3, $4, $5) on conflict (model_id) do nothing",
        )
        .bind(model.as_slice())
        .bind(name)
        .bind(document)
        .bind(show_selection(settings.selection))
        .bind(show_privacy(settings.privacy))
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Stores executions that run the same, with what started them, as far as they are not stored. They are private if their own model is, or the one
    /// that was deployed, or the run that started them: what it knows becomes their input.
    pub(crate) async fn store_instances(
        &self,
        executions: &[Execution],
        runs: Runs,
        starter: Option<&Starter>,
    ) -> eyre::Result<()> {
        let (Runs { model, instead_of, privacy }, mask) = (runs, &self.settings.aws.mask);
        let started_privately = starter.is_some_and(|starter| starter.settings.privacy == Privacy::Committed);
        let document = |execution: &Execution| Ok(instance_document(execution, instead_of, starter, mask)?.to_bytes());
        let documents = executions.iter().map(document).collect::<eyre::Result<Vec<_>>>()?;
        let ids: Vec<InstanceId> = documents.iter().map(|document| InstanceId::of(document)).collect();
        let begun = |execution: &Execution| from_epoch_ms(execution.started_at_ms);
        sqlx::query(
            "insert into executor.instance (instance_id, model_id, execution_arn, parent_id, map_run_arn, document, started_at, privacy)
             select e.instance_id, m.model_id, e.arn, $2, e.map_run_arn, e.document, e.started_at,
                    case when $8 or m.privacy = 'committed' then 'committed' else 'published' end
             from unnest($3::bytea[], $4::text[], $5::text[], $6::bytea[], $7::timestamptz[])
               as e(instance_id, arn, map_run_arn, document, started_at), executor.model m
             where m.model_id = $1
             on conflict do nothing",
        )
        .bind(model.as_slice())
        .bind(starter.map(|starter| starter.instance.as_slice()))
        .bind(ids.iter().map(|id| id.as_slice().to_vec()).collect::<Vec<_>>())
        .bind(executions.iter().map(|execution| execution.arn.to_string()).collect::<Vec<_>>())
        .bind(executions.iter().map(|execution| execution.map_run_arn.clone()).collect::<Vec<_>>())
        .bind(documents)
        .bind(executions.iter().map(begun).collect::<Result<Vec<_>, _>>()?)
        .bind(started_privately || privacy == Privacy::Committed)
        .execute(&self.pool)
        .await?;
        for (execution, instance) in executions.iter().zip(ids) {
            tracing::info!(execution = %execution.arn, %instance, %model, "execution sighted");
        }
        Ok(())
    }
}

fn instance_document(
    execution: &Execution,
    instead_of: Option<ModelId>,
    starter: Option<&Starter>,
    mask: &AccountMask,
) -> eyre::Result<InstanceDocument> {
    let masked = |text: &str| mask.apply(text).into_owned();
    Ok(InstanceDocument {
        execution_arn: masked(execution.arn.as_str()),
        state_machine_arn: masked(&execution.arn.state_machine_arn()),
        name: masked(&execution.arn.name),
        status: "RUNNING".into(),
        start_date: rfc3339_ms(from_epoch_ms(execution.started_at_ms)?)?,
        state_machine_version_arn: execution.version_arn.as_deref().map(masked),
        state_machine_alias_arn: execution.alias_arn.as_deref().map(masked),
        deployed_model: instead_of.map(|model| model.to_string()),
        map_run_arn: execution.map_run_arn.as_deref().map(masked),
        parent: starter.map(Starter::parent),
        redrive: None,
    })
}

pub(crate) fn from_epoch_ms(ms: i64) -> Result<OffsetDateTime, time::error::ComponentRange> {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(ms) * 1_000_000)
}

/// Such as `2023-03-10T10:13:09.284Z`.
pub(crate) fn rfc3339_ms(time: OffsetDateTime) -> eyre::Result<String> {
    let format = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");
    Ok(time.format(&format)?)
}

/// An engine may lay a definition out anew; what it means must be the same.
fn same_json(document: &[u8], definition: &[u8]) -> bool {
    let parse = |bytes| serde_json::from_slice::<serde_json::Value>(bytes).ok();
    document == definition || parse(document).is_some_and(|value| Some(value) == parse(definition))
}

/// An outcome as it is stored.
pub(crate) fn parse_outcome(text: &str) -> eyre::Result<Outcome> {
    use Outcome::{Aborted, Failed, Succeeded, TimedOut};
    [Succeeded, Failed, TimedOut, Aborted]
        .into_iter()
        .find(|outcome| outcome.to_string() == text)
        .ok_or_else(|| eyre::eyre!("`{text}` is no outcome"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_dates_have_milliseconds_and_are_utc() {
        let time = OffsetDateTime::from_unix_timestamp_nanos(1_678_443_189_284_000_000).expect("a time");
        assert_eq!(rfc3339_ms(time).ok().as_deref(), Some("2023-03-10T10:13:09.284Z"));
        assert_eq!(rfc3339_ms(OffsetDateTime::UNIX_EPOCH).ok().as_deref(), Some("1970-01-01T00:00:00.000Z"));
    }

    #[test]
    fn layout_of_a_definition_does_not_matter() {
        assert!(same_json(b"{\"a\": 1, \"b\": 2}", b"{\"b\":2,\"a\":1}"));
        assert!(!same_json(b"{\"a\": 1}", b"{\"a\": 2}"));
        assert!(!same_json(b"x", b"y"));
    }
}
