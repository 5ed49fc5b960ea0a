//! Registers what is captured and the contract does not have: one transaction for all that is open of an instance.
//!
//! The contract has the last word. Its count says where the next batch begins, so nothing can be registered twice; what it holds and Postgres does not
//! know is adopted; what Postgres holds and it does not have is looked for again.

use alloy::primitives::{Address, B256};
use eyre::Context;
use runproof_protocol::{InstanceId, ModelId, StateId, head::Outcome};
use sqlx::{PgConnection, Postgres, Transaction};

use crate::{
    adopt,
    chain::OnChain,
    executor::Executor,
    plan::{Captured, Registration, open_registrations},
    transaction,
};

/// Where the registration of something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Nothing is open.
    Complete,
    /// Something waits: for a transaction to be included, or for the next look.
    Waiting,
}

/// What live transactions (signed or included) register of an instance.
struct Live {
    /// One of them is not included yet.
    waiting: bool,
    instance: bool,
    count: u64,
    terminated: bool,
}

impl Executor {
    /// Instances of which something is open, oldest first.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_instances(&self) -> eyre::Result<Vec<InstanceId>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "select i.instance_id from executor.instance i
             left join lateral (
               select count(*) filter (where r.kind = 'instance') as instances,
                      count(*) filter (where r.kind = 'termination') as terminations,
                      coalesce(max(r.first + r.count) filter (where r.kind = 'states'), 0) as reached
               from executor.registration r join executor.transaction t using (transaction_id)
               where r.instance_id = i.instance_id and t.status in ('signed', 'included')
             ) live on true
             where live.instances = 0 or (i.ended_as is not null and live.terminations = 0)
                or live.reached < (select coalesce(max(s.sequence) + 1, 0) from executor.state s where s.instance_id = i.instance_id)
             order by i.created_at",
        )
        .fetch_all(&self.pool)
        .await?;
        ids.iter().map(|id| InstanceId::try_from(&id[..]).map_err(Into::into)).collect()
    }

    /// Deployed models that are not registered, or of which a participant is not.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn open_models(&self) -> eyre::Result<Vec<ModelId>> {
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
        ids.iter().map(|id| ModelId::try_from(&id[..]).map_err(Into::into)).collect()
    }

    /// Registers what is open of a model: itself, and its participants' right to request transitions.
    ///
    /// # Errors
    /// The contract refuses, or node or database do not answer.
    pub async fn register_model(&self, model: ModelId) -> eyre::Result<Progress> {
        let mut sql = self.pool.begin().await?;
        transaction::lock_sender(&mut sql, &self.chain).await?;
        let mut plan = Vec::new();
        let mut waiting = false;
        match liveness(&mut sql, "model", model.as_slice()).await? {
            Some(included) => waiting |= !included,
            None => match self.chain.model_block(model).await? {
                Some(block) => adopt::adopt(&mut sql, &self.chain, block, model.0, None).await?,
                None => plan.push(Registration::Model(model)),
            },
        }
        for account in participants(&mut sql, model).await? {
            match liveness(&mut sql, "participant", account.as_slice()).await? {
                Some(included) => waiting |= !included,
                None if self.chain.is_participant(account).await? => {
                    let from = self.settings.registry_deployed_at_block;
                    adopt::adopt(&mut sql, &self.chain, from, B256::ZERO, Some(account.into_word())).await?;
                }
                None => plan.push(Registration::Participant(account)),
            }
        }
        if plan.is_empty() && waiting {
            return Ok(Progress::Waiting);
        }
        self.send(sql, plan).await
    }

    /// Registers what is open of an instance.
    ///
    /// # Errors
    /// The contract refuses or holds other states, or node or database do not answer.
    pub async fn register_instance(&self, instance: InstanceId) -> eyre::Result<Progress> {
        let mut sql = self.pool.begin().await?;
        transaction::lock_sender(&mut sql, &self.chain).await?;
        let live = live(&mut sql, instance).await?;
        if live.waiting {
            return Ok(Progress::Waiting);
        }
        let on_chain = self.chain.instance(instance).await?;
        let captured = self.captured(&mut sql, instance, on_chain.map_or(0, |known| known.count)).await?;
        match compare(&live, on_chain) {
            Agreement::Equal => {}
            Agreement::Behind => {
                tracing::warn!(%instance, "the contract lacks what was registered; looking for the transactions again");
                sql.rollback().await?;
                transaction::doubt(&self.pool, instance).await?;
                return Ok(Progress::Waiting);
            }
            Agreement::Ahead(known) if known.count > captured.count => {
                tracing::info!(%instance, on_chain = known.count, captured = captured.count, "the contract is ahead of the capture");
                return Ok(Progress::Waiting);
            }
            Agreement::Ahead(known) => {
                adopt::adopt(&mut sql, &self.chain, known.registered_at_block, instance.0, None).await?;
                sql.commit().await?;
                return Ok(Progress::Waiting);
            }
        }
        let model = captured.model;
        let model_known = on_chain.is_some() || self.chain.model_block(model).await?.is_some();
        if !model_known && liveness(&mut sql, "model", model.as_slice()).await?.is_some() {
            return Ok(Progress::Waiting);
        }
        self.send(sql, open_registrations(captured, on_chain, model_known)).await
    }

    /// Signs, stores, and only then sends.
    async fn send(&self, mut sql: Transaction<'_, Postgres>, plan: Vec<Registration>) -> eyre::Result<Progress> {
        if plan.is_empty() {
            sql.commit().await?;
            return Ok(Progress::Complete);
        }
        let nonce = transaction::next_nonce(&mut sql, &self.chain).await?;
        let calls = plan.iter().map(|registration| registration.call(self.chain.issuer)).collect();
        let signed = self.chain.sign(calls, nonce).await?;
        transaction::store(&mut sql, &self.chain, &signed, &plan).await?;
        self.expect_ordinals(&mut sql, &plan).await?;
        sql.commit().await?;
        tracing::info!(transaction = %signed.hash, nonce, registrations = plan.len(), "registering");
        transaction::send(&self.chain, signed.hash, &signed.raw).await;
        Ok(Progress::Waiting)
    }

    /// The protocol names an instance's ordinal before the contract has given it; the receipt corrects it if another came first.
    async fn expect_ordinals(&self, sql: &mut PgConnection, plan: &[Registration]) -> eyre::Result<()> {
        for registration in plan {
            let Registration::Instance(_, instance) = registration else { continue };
            let waiting: i64 = sqlx::query_scalar(
                "select count(*) from executor.registration r join executor.transaction t using (transaction_id)
                 where r.kind = 'instance' and t.status = 'signed' and r.instance_id <> $1",
            )
            .bind(instance.as_slice())
            .fetch_one(&mut *sql)
            .await?;
            sqlx::query("update executor.instance set ordinal = $2 where instance_id = $1")
                .bind(instance.as_slice())
                .bind(self.chain.instance_count().await? as i64 + waiting)
                .execute(&mut *sql)
                .await?;
        }
        Ok(())
    }

    async fn captured(&self, sql: &mut PgConnection, instance: InstanceId, first: u64) -> eyre::Result<Captured> {
        let (model, ended, count): (Vec<u8>, Option<String>, i64) = sqlx::query_as(
            "select model_id, ended_as, (select count(*) from executor.state s where s.instance_id = i.instance_id)
             from executor.instance i where instance_id = $1",
        )
        .bind(instance.as_slice())
        .fetch_one(&mut *sql)
        .await
        .context("reading an instance")?;
        let rows: Vec<(Vec<u8>, Option<i64>)> = sqlx::query_as(
            "select state_id, predecessor from executor.state where instance_id = $1 and sequence >= $2 order by sequence limit $3",
        )
        .bind(instance.as_slice())
        .bind(first as i64)
        .bind(self.settings.max_batch as i64)
        .fetch_all(&mut *sql)
        .await?;
        let open = rows
            .into_iter()
            .map(|(id, predecessor)| Ok((StateId::try_from(&id[..])?, predecessor.map(u32::try_from).transpose()?)));
        Ok(Captured {
            model: ModelId::try_from(&model[..])?,
            instance,
            open: open.collect::<eyre::Result<_>>()?,
            count: count as u64,
            ended: ended.as_deref().map(parse_outcome).transpose()?,
        })
    }
}

/// Postgres beside the contract.
enum Agreement {
    Equal,
    /// The contract lacks something: a reorganisation, or another chain.
    Behind,
    /// The contract has more: registered before the database was lost, or by a transaction that was given up too early.
    Ahead(OnChain),
}

fn compare(live: &Live, on_chain: Option<OnChain>) -> Agreement {
    let Some(known) = on_chain else {
        return if live.instance { Agreement::Behind } else { Agreement::Equal };
    };
    let sealed = known.outcome.is_some();
    if known.count < live.count || (live.terminated && !sealed) {
        Agreement::Behind
    } else if known.count > live.count || !live.instance || sealed != live.terminated {
        Agreement::Ahead(known)
    } else {
        Agreement::Equal
    }
}

async fn live(sql: &mut PgConnection, instance: InstanceId) -> eyre::Result<Live> {
    let (waiting, begun, terminated, count): (bool, bool, bool, i64) = sqlx::query_as(
        "select coalesce(bool_or(t.status = 'signed'), false), coalesce(bool_or(r.kind = 'instance'), false),
                coalesce(bool_or(r.kind = 'termination'), false), coalesce(max(r.first + r.count) filter (where r.kind = 'states'), 0)
         from executor.registration r join executor.transaction t using (transaction_id)
         where r.instance_id = $1 and t.status in ('signed', 'included')",
    )
    .bind(instance.as_slice())
    .fetch_one(sql)
    .await?;
    Ok(Live { waiting, instance: begun, count: count as u64, terminated })
}

/// Whether the transaction that registers this model, or grants this account its right, is included; `None` if there is none.
async fn liveness(sql: &mut PgConnection, kind: &str, id: &[u8]) -> eyre::Result<Option<bool>> {
    Ok(sqlx::query_scalar(
        "select bool_or(t.status = 'included') from executor.registration r join executor.transaction t using (transaction_id)
         where t.status in ('signed', 'included') and r.kind = $1 and coalesce(r.account, r.model_id) = $2",
    )
    .bind(kind)
    .bind(id)
    .fetch_one(sql)
    .await?)
}

async fn participants(sql: &mut PgConnection, model: ModelId) -> eyre::Result<Vec<Address>> {
    let rows: Vec<Vec<u8>> =
        sqlx::query_scalar("select account from executor.participant where model_id = $1 order by account")
            .bind(model.as_slice())
            .fetch_all(sql)
            .await?;
    rows.iter().map(|row| Address::try_from(&row[..]).map_err(Into::into)).collect()
}

/// An outcome as it is stored.
pub(crate) fn parse_outcome(text: &str) -> eyre::Result<Outcome> {
    use Outcome::{Aborted, Failed, Succeeded, TimedOut};
    [Succeeded, Failed, TimedOut, Aborted]
        .into_iter()
        .find(|outcome| outcome.to_string() == text)
        .ok_or_else(|| eyre::eyre!("`{text}` is no outcome"))
}
