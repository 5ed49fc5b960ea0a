//! Distributed Maps: each item, or batch of items, is an execution of its own, under a Map Run. They are found by listing, never described one by one:
//! a Map Run may have 10,000, and the account's quota is that of all.
//!
//! <https://docs.aws.amazon.com/step-functions/latest/dg/concepts-examine-map-run.html>

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use aws_sdk_sfn::{
    Client,
    types::{ExecutionListItem, MapRunStatus},
};
use runproof_protocol::ModelId;

use crate::{
    executor::Executor,
    sight::Runs,
    started::Starter,
    step_functions::{Execution, Lister, StepFunctions, StepFunctionsError, failed},
};

/// Instances stored by one statement.
const AT_ONCE: usize = 1_000;

/// Time after the end of a Map Run from which on AWS lists all that it ever will: executions of type EXPRESS may not be among them.
const LISTED_AFTER: Duration = Duration::from_secs(600);

/// A Map Run of which executions may be unknown yet.
struct MapRun {
    arn: String,
    starter: Starter,
    /// What all of its executions run.
    model: Option<ModelId>,
}

/// What AWS says of a Map Run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    /// When it ended.
    ended: Option<SystemTime>,
    /// Executions that it has, or had.
    executions: i64,
}

impl StepFunctions {
    /// `None` if it does not exist, or not any more.
    async fn describe_map_run(&self, arn: &str) -> Result<Option<Told>, StepFunctionsError> {
        let describe = |client: &Client| client.describe_map_run().map_run_arn(arn).send();
        match self.api.call("DescribeMapRun", describe).await {
            Ok(found) => {
                let executions = found.execution_counts.map_or(0, |counts| counts.total);
                let at = found.stop_date.and_then(|at| SystemTime::try_from(at).ok()).unwrap_or_else(SystemTime::now);
                Ok(Some(Told { ended: (found.status != MapRunStatus::Running).then_some(at), executions }))
            }
            Err(error) if error.as_service_error().is_some_and(|service| service.is_resource_not_found()) => Ok(None),
            Err(error) => Err(failed("DescribeMapRun")(error)),
        }
    }
}

impl Executor {
    /// Stores executions that Map Runs have started, of one execution's family or of all. Adds to `redriven` those that had ended and go on.
    ///
    /// # Errors
    /// The first that there was; every Map Run was tried.
    pub(crate) async fn look_at_map_runs(&self, root: Option<&str>, redriven: &mut Vec<String>) -> eyre::Result<()> {
        let mut outcome = Ok(());
        for map_run in self.open_map_runs(root).await? {
            outcome = outcome.and(self.look_at_map_run(map_run, redriven).await);
        }
        outcome
    }

    async fn look_at_map_run(&self, mut map_run: MapRun, redriven: &mut Vec<String>) -> eyre::Result<()> {
        // First: what it counts at its end is all that there is to be listed.
        let Some(told) = self.engine.describe_map_run(&map_run.arn).await? else {
            tracing::warn!(map_run = map_run.arn, "is not known any more: its executions stay as they were captured");
            return self.complete(&map_run).await;
        };
        let known = self.executions_of(&map_run).await?;
        let redrives = |item: &ExecutionListItem| i64::from(item.redrive_count.unwrap_or_default());
        let is_known =
            |item: &ExecutionListItem| known.get(&item.execution_arn).is_some_and(|so_far| *so_far >= redrives(item));
        // The newest come first; a list may be of some time ago, so at the end all are asked for.
        let listed = self
            .engine
            .executions_until(Lister::MapRun(&map_run.arn), |item| told.ended.is_none() && is_known(item))
            .await?;
        let count = listed.len() as i64;
        let (again, new): (Vec<_>, Vec<_>) =
            listed.into_iter().filter(|item| !is_known(item)).partition(|item| known.contains_key(&item.execution_arn));
        redriven.extend(again.into_iter().map(|item| item.execution_arn));
        // EXPRESS ones have no history, and no ARN of an execution.
        let mut new: Vec<Execution> = new.into_iter().filter_map(|item| item.try_into().ok()).collect();
        new.reverse();
        self.store_executions(&mut map_run, &new).await?;
        match told.ended {
            Some(_) if count >= told.executions => {
                tracing::info!(map_run = map_run.arn, executions = count, "all executions of a Map Run are known");
                self.complete(&map_run).await
            }
            Some(at) if at.elapsed().is_ok_and(|since| since > LISTED_AFTER) => {
                let counted = told.executions;
                tracing::warn!(
                    map_run = map_run.arn,
                    listed = count,
                    counted,
                    "not all executions of a Map Run are listed"
                );
                self.complete(&map_run).await
            }
            _ => Ok(()),
        }
    }

    async fn store_executions(&self, map_run: &mut MapRun, new: &[Execution]) -> eyre::Result<()> {
        let Some(first) = new.first() else { return Ok(()) };
        let model = match map_run.model {
            Some(model) => model,
            None => self.model_of_map_run(map_run, first).await?,
        };
        let runs = Runs { model, instead_of: None, privacy: map_run.starter.settings.privacy };
        for executions in new.chunks(AT_ONCE) {
            self.store_instances(executions, runs, Some(&map_run.starter)).await?;
        }
        Ok(())
    }

    /// What AWS calls the state machine associated with the Map Run: all of its executions run it.
    async fn model_of_map_run(&self, map_run: &mut MapRun, execution: &Execution) -> eyre::Result<ModelId> {
        let definition = self.engine.definition_of(execution).await?;
        let document = self.settings.aws.mask.apply(&definition);
        let model = ModelId::of(document.as_bytes());
        self.store_model(model, &execution.arn.state_machine, document.as_bytes(), map_run.starter.settings).await?;
        sqlx::query("update executor.started set model_id = $2 where arn = $1")
            .bind(&map_run.arn)
            .bind(model.as_slice())
            .execute(&self.pool)
            .await?;
        map_run.model = Some(model);
        Ok(model)
    }

    async fn open_map_runs(&self, root: Option<&str>) -> eyre::Result<Vec<MapRun>> {
        type Row = (String, Vec<u8>, i64, Option<Vec<u8>>, String, String);
        let rows: Vec<Row> = sqlx::query_as(
            "select s.arn, s.instance_id, s.event_id, s.model_id, m.selection, i.privacy
             from executor.started s join executor.instance i using (instance_id) join executor.model m on m.model_id = i.model_id
             where s.arn like '%:mapRun:%' and not s.complete and ($1 is null or s.instance_id in (select executor.family($1)))
             order by i.started_at, s.event_id",
        )
        .bind(root)
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter()
            .map(|(arn, instance, event_id, model, selection, privacy)| {
                let model = model.as_deref().map(ModelId::try_from).transpose()?;
                Ok(MapRun { arn, starter: (instance, event_id, selection, privacy).try_into()?, model })
            })
            .collect()
    }

    /// Those that are stored, with how often they were redriven.
    async fn executions_of(&self, map_run: &MapRun) -> eyre::Result<HashMap<String, i64>> {
        let sql = "select execution_arn, max(redrives)::bigint from executor.instance where map_run_arn = $1 group by execution_arn";
        let rows: Vec<(String, i64)> = sqlx::query_as(sql).bind(&map_run.arn).fetch_all(&self.pool).await?;
        Ok(rows.into_iter().collect())
    }

    async fn complete(&self, map_run: &MapRun) -> eyre::Result<()> {
        let sql = "update executor.started set complete = true where arn = $1";
        sqlx::query(sql).bind(&map_run.arn).execute(&self.pool).await?;
        Ok(())
    }

    /// Executions of Map Runs that are stored and have not ended, of one execution's family or of all.
    pub(crate) async fn running_in_map_runs(&self, root: Option<&str>) -> eyre::Result<Vec<String>> {
        let sql = "select execution_arn from executor.instance where map_run_arn is not null and ended_as is null
                   and ($1 is null or instance_id in (select executor.family($1))) order by started_at";
        Ok(sqlx::query_scalar(sql).bind(root).fetch_all(&self.pool).await?)
    }
}
