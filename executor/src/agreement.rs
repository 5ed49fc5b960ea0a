//! Postgres beside the contract: what of one model or instance is to be registered next.
//!
//! The contract has the last word. Its count says where the next batch begins, so nothing can be registered twice; what it holds and Postgres does not
//! know is adopted; what Postgres holds and it does not have is looked for again.

use std::collections::{HashMap, HashSet};

use alloy::primitives::{Address, B256};
use eyre::Context;
use futures::{StreamExt, TryStreamExt, stream};
use runproof_protocol::{InstanceId, ModelId};
use sqlx::PgConnection;

use crate::{
    adopt,
    batch::Limits,
    chain::OnChain,
    executor::Executor,
    open::Open,
    plan::{Captured, OpenStates, Registration, open_registrations},
    sight::parse_outcome,
    states, transaction,
};

/// Questions to the node under way at a time.
const CONCURRENT: usize = 16;

/// What is to be done about something that is open.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nothing: all of it is registered.
    Nothing,
    /// A transaction is on its way, or what was found is to be looked at again.
    Wait,
    /// These, in one transaction.
    Register(Vec<Registration>),
    /// These, in one transaction after those that are on their way.
    Continue(Vec<Registration>),
}

impl Next {
    fn of(plan: Vec<Registration>, waiting: bool) -> Self {
        match (plan.is_empty(), waiting) {
            (false, _) => Self::Register(plan),
            (true, true) => Self::Wait,
            (true, false) => Self::Nothing,
        }
    }
}

/// What the contract holds of instances. Those of which a transaction is on its way are not asked for, and are not in it.
pub(crate) type Known = HashMap<InstanceId, Option<OnChain>>;

/// What live transactions (signed or included) register of an instance.
pub(crate) struct Live {
    pub(crate) instance: bool,
    /// States, from the first on without a gap.
    pub(crate) count: u64,
    /// Whether states after a gap are registered too.
    pub(crate) has_gap: bool,
    pub(crate) terminated: bool,
}

impl Executor {
    /// Instances of which a transaction is on its way. The sender must be locked.
    pub(crate) async fn on_their_way(&self, sql: &mut PgConnection) -> eyre::Result<HashSet<InstanceId>> {
        let ids: Vec<Vec<u8>> = sqlx::query_scalar(
            "select distinct r.instance_id from executor.registration r join executor.transaction t using (transaction_id)
             where t.status = 'signed' and r.instance_id is not null",
        )
        .fetch_all(sql)
        .await?;
        ids.iter().map(|id| Ok(InstanceId::try_from(&id[..])?)).collect()
    }

    /// What the contract holds now of open instances. The sender must be locked, so that nothing of ours is added meanwhile.
    pub(crate) async fn known(&self, open: &[Open], on_their_way: &HashSet<InstanceId>) -> eyre::Result<Known> {
        let asked: Vec<_> = open
            .iter()
            .filter_map(|open| match open {
                Open::Instance(instance) if !on_their_way.contains(instance) => Some(self.known_of(*instance)),
                _ => None,
            })
            .collect();
        stream::iter(asked).buffer_unordered(CONCURRENT).try_collect().await
    }

    async fn known_of(&self, instance: InstanceId) -> eyre::Result<(InstanceId, Option<OnChain>)> {
        Ok((instance, self.chain.instance(instance).await?))
    }

    /// What is next; what is only missing here is adopted. The sender must be locked.
    pub(crate) async fn next(&self, sql: &mut PgConnection, open: Open, known: &Known) -> eyre::Result<Next> {
        match open {
            Open::Model(model) => self.next_of_model(sql, model).await,
            Open::Instance(instance) => match known.get(&instance) {
                Some(on_chain) => self.next_of_instance(sql, instance, *on_chain).await,
                None => self.next_after_what_is_on_its_way(sql, instance).await,
            },
        }
    }

    /// What follows the transactions that are on their way. If one of them fails, this fails too: the contract takes states in order alone.
    async fn next_after_what_is_on_its_way(&self, sql: &mut PgConnection, instance: InstanceId) -> eyre::Result<Next> {
        let live = live(sql, instance).await?;
        if !live.instance || live.has_gap || live.terminated {
            return Ok(Next::Wait);
        }
        let captured = self.captured(sql, instance, live.count).await?;
        let then = OnChain { count: live.count, outcome: None, registered_at_block: 0 };
        match open_registrations(captured, Some(then), true) {
            plan if plan.is_empty() => Ok(Next::Wait),
            plan => Ok(Next::Continue(plan)),
        }
    }

    async fn next_of_model(&self, sql: &mut PgConnection, model: ModelId) -> eyre::Result<Next> {
        let mut plan = Vec::new();
        let mut waiting = false;
        match liveness(sql, "model", model.as_slice()).await? {
            Some(included) => waiting |= !included,
            None => match self.chain.model_block(model).await? {
                Some(block) => adopt::adopt(sql, &self.chain, block, model.0, None).await?,
                None => plan.push(Registration::Model(model)),
            },
        }
        for account in participants(sql, model).await? {
            match liveness(sql, "participant", account.as_slice()).await? {
                Some(included) => waiting |= !included,
                None if self.chain.is_participant(account).await? => {
                    let from = self.settings.registry_deployed_at_block;
                    adopt::adopt(sql, &self.chain, from, B256::ZERO, Some(account.into_word())).await?;
                }
                None => plan.push(Registration::Participant(account)),
            }
        }
        Ok(Next::of(plan, waiting))
    }

    async fn next_of_instance(
        &self,
        sql: &mut PgConnection,
        instance: InstanceId,
        on_chain: Option<OnChain>,
    ) -> eyre::Result<Next> {
        let live = live(sql, instance).await?;
        let captured = self.captured(sql, instance, on_chain.map_or(0, |known| known.count)).await?;
        match compare(&live, on_chain) {
            Agreement::Equal => {}
            Agreement::Behind => {
                tracing::warn!(%instance, "the contract lacks what was registered; looking for the transactions again");
                transaction::doubt(sql, instance).await?;
                return Ok(Next::Wait);
            }
            Agreement::Ahead(known) if known.count > captured.count => {
                tracing::info!(%instance, on_chain = known.count, captured = captured.count, "the contract is ahead of the capture");
                return Ok(Next::Wait);
            }
            Agreement::Ahead(known) => {
                adopt::adopt(sql, &self.chain, known.registered_at_block, instance.0, None).await?;
                return Ok(Next::Wait);
            }
        }
        let model = captured.model;
        let model_known = on_chain.is_some() || self.chain.model_block(model).await?.is_some();
        if !model_known && liveness(sql, "model", model.as_slice()).await?.is_some() {
            return Ok(Next::Wait);
        }
        Ok(Next::of(open_registrations(captured, on_chain, model_known), false))
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
        let count = count as u64;
        let open = count.saturating_sub(first);
        let open = if self.settings.root_from.is_some_and(|least| open >= least.get()) {
            OpenStates::Root(states::digest(sql, instance, first, open).await?)
        } else {
            let most = Limits::of(&self.settings).states as u64;
            OpenStates::Listed(states::read(sql, instance, first, most).try_collect().await?)
        };
        Ok(Captured {
            model: ModelId::try_from(&model[..])?,
            instance,
            open,
            count,
            ended: ended.as_deref().map(parse_outcome).transpose()?,
        })
    }
}

/// Postgres beside the contract.
pub(crate) enum Agreement {
    Equal,
    /// The contract lacks something: a reorganisation, or another chain.
    Behind,
    /// The contract has more: registered before the database was lost, or by a transaction that was given up too early.
    Ahead(OnChain),
}

pub(crate) fn compare(live: &Live, on_chain: Option<OnChain>) -> Agreement {
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
    let row: Option<(bool, i64, bool, bool)> =
        sqlx::query_as("select begun, count, has_gap, terminated from executor.live where instance_id = $1")
            .bind(instance.as_slice())
            .fetch_optional(sql)
            .await?;
    let (instance, count, has_gap, terminated) = row.unwrap_or_default();
    Ok(Live { instance, count: count as u64, has_gap, terminated })
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
