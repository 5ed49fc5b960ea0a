//! What states start: Map Runs and executions. The history of the parent tells them; each is stored in the transaction of the event that does, so that
//! none is forgotten, and whatever it becomes names the parent's instance and the state.

use std::collections::BTreeMap;

use eyre::{OptionExt, bail};
use runproof_protocol::{InstanceId, documents::Parent, model::ModelSettings};
use sqlx::PgConnection;

use crate::{arn::ExecutionArn, executor::Executor, model_settings, step_functions::Execution};

/// A state that started something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Starter {
    /// The instance that entered it.
    pub(crate) instance: InstanceId,
    /// The event with which it was entered.
    pub(crate) event_id: u64,
    /// Which events of the instance are states, and what is told of their inputs. What is started follows both if it is of no deployed model; if the
    /// instance is private it is too, whatever it runs.
    pub(crate) settings: ModelSettings,
}

/// A row of one: instance, event, the selection of the instance's model, and the instance's privacy.
pub(crate) type StarterRow = (Vec<u8>, i64, String, String);

impl TryFrom<StarterRow> for Starter {
    type Error = eyre::Report;

    fn try_from((instance, event_id, selection, privacy): StarterRow) -> eyre::Result<Self> {
        Ok(Self {
            instance: InstanceId::try_from(&instance[..])?,
            event_id: u64::try_from(event_id)?,
            settings: model_settings::parse(&selection, &privacy)?,
        })
    }
}

impl Starter {
    /// As a document names it.
    pub(crate) fn parent(&self) -> Parent {
        Parent { instance: self.instance.to_string(), event_id: self.event_id.to_string() }
    }
}

/// Stores what an instance's events tell to have been started, by ARN, with the event of the state that did. A Map Run that is redriven is open again.
pub(crate) async fn store(
    sql: &mut PgConnection,
    instance: InstanceId,
    starts: &BTreeMap<String, u64>,
) -> sqlx::Result<()> {
    if starts.is_empty() {
        return Ok(());
    }
    let arns: Vec<&str> = starts.keys().map(String::as_str).collect();
    sqlx::query(
        "insert into executor.started (arn, instance_id, event_id)
         select s.arn, $1, s.event_id from unnest($2::text[], $3::bigint[]) as s(arn, event_id)
         on conflict (arn) do update set complete = false",
    )
    .bind(instance.as_slice())
    .bind(&arns)
    .bind(starts.values().map(|id| *id as i64).collect::<Vec<_>>())
    .execute(&mut *sql)
    .await?;
    let orphans = "select execution_arn from executor.instance where execution_arn = any($1) and parent_id is null";
    let orphans: Vec<String> = sqlx::query_scalar(orphans).bind(&arns).fetch_all(sql).await?;
    for execution in orphans {
        tracing::warn!(execution, parent = %instance, "was listed long before its parent's history told of it: its instance names no parent");
        metrics::counter!("runproof_executor_unlinked_children_total").increment(1);
    }
    Ok(())
}

impl Executor {
    /// The state that started an execution, if the history of one that is followed told so.
    pub(crate) async fn starter_of(&self, execution: &Execution) -> eyre::Result<Option<Starter>> {
        let row: Option<StarterRow> = sqlx::query_as(
            "select s.instance_id, s.event_id, m.selection, i.privacy from executor.started s
             join executor.instance i using (instance_id) join executor.model m on m.model_id = i.model_id where s.arn = $1",
        )
        .bind(execution.map_run_arn.as_deref().unwrap_or(execution.arn.as_str()))
        .fetch_optional(&self.pool)
        .await?;
        match (row, &execution.map_run_arn) {
            (Some(row), _) => Ok(Some(row.try_into()?)),
            (None, Some(map_run)) => bail!(
                "execution {} was started by {map_run}: follow the execution of that Map Run, and this one is followed with it",
                execution.arn
            ),
            (None, None) => Ok(None),
        }
    }

    /// Executions that tasks started and that are no instances yet, of one's family or of all. Those of another account or region are left out: what
    /// follows this one may not ask for them.
    pub(crate) async fn started_executions(&self, root: Option<&str>) -> eyre::Result<Vec<String>> {
        let rows: Vec<(String, Option<String>)> = sqlx::query_as(
            "select s.arn, i.execution_arn from executor.started s join executor.instance i using (instance_id)
             where s.arn like 'arn:%:states:%:execution:%' and ($1 is null or s.instance_id in (select executor.family($1)))
               and not exists (select from executor.instance child where child.execution_arn = s.arn)",
        )
        .bind(root)
        .fetch_all(&self.pool)
        .await?;
        let mut arns = Vec::new();
        for (arn, parent) in rows {
            let parent: ExecutionArn = parent.ok_or_eyre("an imported run started an execution")?.parse()?;
            match arn.parse::<ExecutionArn>() {
                Ok(child) if (&child.account, &child.region) == (&parent.account, &parent.region) => arns.push(arn),
                _ => tracing::debug!(execution = arn, %parent, "is of another account or region, and not followed"),
            }
        }
        Ok(arns)
    }

    /// Whether all that an execution started has ended too, and is captured.
    pub(crate) async fn family_ended(&self, root: &str) -> eyre::Result<bool> {
        let sql = "select not exists (select from executor.instance where ended_as is null and instance_id in (select executor.family($1)))
                   and not exists (select from executor.started where arn like '%:mapRun:%' and not complete
                                   and instance_id in (select executor.family($1)))";
        let ended: bool = sqlx::query_scalar(sql).bind(root).fetch_one(&self.pool).await?;
        Ok(ended && self.started_executions(Some(root)).await?.is_empty())
    }
}
