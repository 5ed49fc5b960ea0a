//! What is captured or deployed, and not yet registered by any transaction.

use std::fmt;

use runproof_protocol::{InstanceId, ModelId};

use crate::executor::Executor;

/// Something of which a part may have to be registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Open {
    /// The model itself, or a participant's right to request transitions of its runs.
    Model(ModelId),
    /// The instance itself, states of it, or its end.
    Instance(InstanceId),
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Model(model) => write!(f, "model {model}"),
            Self::Instance(instance) => write!(f, "instance {instance}"),
        }
    }
}

impl Executor {
    /// All of it: models first, then instances, each oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub(crate) async fn open(&self) -> eyre::Result<Vec<Open>> {
        let mut open = self.open_models().await?;
        open.extend(self.open_instances().await?);
        Ok(open)
    }

    /// Instances of which something is open, oldest first, so that a parent comes before what it started. One that was only just sighted is registered with its
    /// first states, or with its first child.
    async fn open_instances(&self) -> eyre::Result<Vec<Open>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "select i.instance_id from executor.instance i left join executor.live using (instance_id)
             cross join lateral (select count(*) as count from executor.state s where s.instance_id = i.instance_id) captured
             where (i.ended_as is not null and live.terminated is not true)
                or (captured.count > 0 and live.begun is not true)
                or (live.begun is not true and exists (select from executor.instance child where child.parent_id = i.instance_id))
                or captured.count > coalesce(live.count, 0)
             order by i.started_at, i.created_at",
        )
        .fetch_all(&self.pool)
        .await?;
        ids.iter().map(|id| Ok(Open::Instance(InstanceId::try_from(&id[..])?))).collect()
    }

    /// Deployed models that are not registered, or of which a participant is not.
    async fn open_models(&self) -> eyre::Result<Vec<Open>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "with live as (
               select r.* from executor.registration r join executor.transaction t using (transaction_id)
               where t.status in ('signed', 'included') and r.kind in ('model', 'participant')
             )
             select m.model_id from executor.model m
             where m.state_machine_arn is not null and (
               not exists (select from live where live.kind = 'model' and live.model_id = m.model_id)
               or exists (select from executor.participant p where p.model_id = m.model_id
                          and not exists (select from live where live.kind = 'participant' and live.account = p.account)))
             order by m.created_at",
        )
        .fetch_all(&self.pool)
        .await?;
        ids.iter().map(|id| Ok(Open::Model(ModelId::try_from(&id[..])?))).collect()
    }
}
