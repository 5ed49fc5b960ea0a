//! What the chain says was registered, beside what an executor's database says: the same effects, each once, in order.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, B256},
    providers::{DynProvider, Provider},
    rpc::types::Filter,
};
use eyre::{OptionExt, Result};
use runproof_contracts::{RegistryEvent, decode};
use runproof_protocol::{InstanceId, StateId};
use sqlx::PgPool;

/// Transaction and block of an effect.
type Place = (B256, B256);

/// What was registered of one run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Run {
    begun: Vec<Place>,
    /// Sequence numbers and ids.
    states: Vec<(u64, StateId, Place)>,
    /// States in all, as the end says.
    ended: Vec<(u64, Place)>,
}

/// What does not hold; the contract's logs are the effects.
pub(crate) async fn differences(
    provider: &DynProvider,
    registry: Address,
    issuer: Address,
    pool: &PgPool,
) -> Result<Vec<String>> {
    let (chain, database) = (on_chain(provider, registry, issuer).await?, in_database(pool).await?);
    let captured = captured(pool).await?;
    let mut broken = Vec::new();
    for instance in
        captured.keys().chain(chain.keys()).chain(database.keys()).collect::<std::collections::BTreeSet<_>>()
    {
        let (Some(there), Some(here), Some(captured)) =
            (chain.get(instance), database.get(instance), captured.get(instance))
        else {
            broken.push(format!("instance {instance} is not everywhere: on the chain, in the database, and captured"));
            continue;
        };
        if there != here {
            broken.push(format!("instance {instance}: the chain has {there:?}, the database {here:?}"));
        }
        broken.extend(there.against(captured).map(|what| format!("instance {instance}: {what}")));
    }
    Ok(broken)
}

impl Run {
    /// Whether each state was registered once and in order, and begin and end once.
    fn against(&self, captured: &[StateId]) -> Option<String> {
        let count = captured.len() as u64;
        let in_order =
            self.states.iter().map(|(sequence, id, _)| (*sequence, *id)).eq((0..).zip(captured.iter().copied()));
        let once = self.begun.len() == 1 && self.ended.len() == 1 && self.ended[0].0 == count;
        (!in_order || !once).then(|| format!("{count} states were captured, the chain has {self:?}"))
    }
}

async fn on_chain(provider: &DynProvider, registry: Address, issuer: Address) -> Result<BTreeMap<InstanceId, Run>> {
    let filter = Filter::new().address(registry).topic1(issuer.into_word()).from_block(0);
    let mut runs = BTreeMap::<InstanceId, Run>::new();
    for log in provider.get_logs(&filter).await? {
        let place = log.transaction_hash.zip(log.block_hash).ok_or_eyre("a log of no block")?;
        match decode(&log.inner)? {
            RegistryEvent::InstanceRegistered { instance, .. } => runs.entry(instance).or_default().begun.push(place),
            RegistryEvent::StatesRegistered { instance, first, states, .. } => {
                let states = (first..).zip(states).map(|(sequence, id)| (sequence, id, place));
                runs.entry(instance).or_default().states.extend(states);
            }
            RegistryEvent::InstanceTerminated { instance, count, .. } => {
                runs.entry(instance).or_default().ended.push((count, place));
            }
            _ => {}
        }
    }
    Ok(runs)
}

async fn in_database(pool: &PgPool) -> Result<BTreeMap<InstanceId, Run>> {
    type Row = (Vec<u8>, String, Option<i64>, Option<i64>, Vec<u8>, Vec<u8>);
    let rows: Vec<Row> = sqlx::query_as(
        "select r.instance_id, r.kind, coalesce(s.sequence, r.count), r.count, t.hash, t.block_hash
         from executor.registration r join executor.transaction t using (transaction_id)
         left join executor.state s on r.kind = 'states' and s.instance_id = r.instance_id
          and s.sequence >= r.first and s.sequence < r.first + r.count
         where r.instance_id is not null and t.status = 'included' order by r.instance_id, s.sequence",
    )
    .fetch_all(pool)
    .await?;
    let captured = captured(pool).await?;
    let mut runs = BTreeMap::<InstanceId, Run>::new();
    for (instance, kind, number, count, hash, block) in rows {
        let instance = InstanceId::try_from(&instance[..])?;
        let place = (B256::try_from(&hash[..])?, B256::try_from(&block[..])?);
        let run = runs.entry(instance).or_default();
        let number = || number.ok_or_eyre("a registration without a number");
        match kind.as_str() {
            "instance" => run.begun.push(place),
            "states" => {
                let sequence = number()? as u64;
                let id = captured.get(&instance).and_then(|ids| ids.get(sequence as usize));
                run.states.push((sequence, *id.ok_or_eyre("a registered state is not captured")?, place));
            }
            _ => run.ended.push((count.ok_or_eyre("an end without a count")? as u64, place)),
        }
    }
    Ok(runs)
}

/// Ids of the states of each run, in order.
async fn captured(pool: &PgPool) -> Result<BTreeMap<InstanceId, Vec<StateId>>> {
    let rows: Vec<(Vec<u8>, Vec<u8>)> =
        sqlx::query_as("select instance_id, state_id from executor.state order by instance_id, sequence")
            .fetch_all(pool)
            .await?;
    let mut runs = BTreeMap::<InstanceId, Vec<StateId>>::new();
    for (instance, state) in rows {
        runs.entry(InstanceId::try_from(&instance[..])?).or_default().push(StateId::try_from(&state[..])?);
    }
    Ok(runs)
}
