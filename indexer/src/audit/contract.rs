//! The contract's heads and counts, against the fold of its logs.

use std::collections::BTreeMap;

use alloy::primitives::{Address, B256};
use eyre::{Result, WrapErr};
use futures::{StreamExt, TryStreamExt, stream};
use runproof_contracts::InstanceRegistry;
use runproof_protocol::{
    InstanceId, ModelId,
    event::{Event, Origin},
    head::{self, Batch, Outcome, Range, Registry},
};

use super::{
    chain::Index,
    report::{Difference, Place},
};
use crate::{decode::Item, source::Source};

/// Calls under way at a time.
const CONCURRENCY: usize = 16;

/// What the logs of one instance come to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Run {
    model: ModelId,
    head: B256,
    count: u64,
    ordinal: u64,
    outcome: u8,
    registered_at_block: u64,
}

/// What the logs of one issuer come to: how many instances, and the head of their chain.
type Issuer = (u64, B256);

/// Compares every instance and every issuer as of the index' last block. Returns how many instances there are, and what differs.
pub(super) async fn compare(source: &Source, registry: Registry, index: &Index) -> Result<(u64, Vec<Difference>)> {
    let Some(tip) = index.tip() else { return Ok((0, Vec::new())) };
    let (runs, issuers) = fold(registry, &index.items);
    let count = runs.len() as u64;
    let of_instances = stream::iter(runs).map(|((issuer, instance), folded)| async move {
        let call = InstanceRegistry::instanceOfCall { issuer, instance: instance.0 };
        let held = source.call(call, tip.hash).await.wrap_err("asking the contract for an instance")?;
        let held = Run {
            model: ModelId(held.model),
            head: held.head,
            count: held.count,
            ordinal: held.ordinal,
            outcome: held.outcome,
            registered_at_block: held.registeredAtBlock,
        };
        eyre::Ok(differ(format!("instance {instance} of {issuer:#x}"), &folded, &held))
    });
    let of_issuers = stream::iter(issuers).map(|(issuer, folded)| async move {
        let call = InstanceRegistry::issuerChainCall { issuer };
        let held = source.call(call, tip.hash).await.wrap_err("asking the contract for an issuer")?;
        eyre::Ok(differ(format!("instances of {issuer:#x}"), &folded, &(held.count, held.head)))
    });
    let mut differences: Vec<Option<Difference>> = of_instances.buffered(CONCURRENCY).try_collect().await?;
    differences.extend(of_issuers.buffered(CONCURRENCY).try_collect::<Vec<_>>().await?);
    Ok((count, differences.into_iter().flatten().collect()))
}

fn differ<T: PartialEq + std::fmt::Debug>(at: String, folded: &T, held: &T) -> Option<Difference> {
    let told = |value: &T| Some(format!("{value:?}"));
    (folded != held).then(|| Difference::new(Place::Contract, at, told(folded), told(held)))
}

/// What all items come to. Items that contradict each other give heads that the contract does not hold.
fn fold(registry: Registry, items: &[Item]) -> (BTreeMap<(Address, InstanceId), Run>, BTreeMap<Address, Issuer>) {
    let mut runs: BTreeMap<(Address, InstanceId), Run> = BTreeMap::new();
    let mut issuers: BTreeMap<Address, Issuer> = BTreeMap::new();
    for log in items.chunk_by(|one, next| log(&one.origin) == log(&next.origin)) {
        let Item { event, origin } = &log[0];
        match event {
            Event::InstanceRegistered { issuer, instance, model, ordinal, issuer_head, .. } => {
                let head = head::genesis(registry, *issuer, *instance, *model, *ordinal);
                let registered_at_block = origin.block_number;
                let run = Run { model: *model, head, count: 0, ordinal: *ordinal, outcome: 0, registered_at_block };
                runs.insert((*issuer, *instance), run);
                issuers.insert(*issuer, (*ordinal + 1, *issuer_head));
            }
            Event::StateRegistered { issuer, instance, batch: first, .. } => {
                if let Some(run) = runs.get_mut(&(*issuer, *instance)) {
                    run.extend(*first, log);
                }
            }
            Event::StatesRootRegistered { issuer, instance, first, count, root, predecessors_hash, .. } => {
                let Origin { block_number, block_timestamp_s, .. } = *origin;
                let (first, count, root, predecessors_hash) = (*first, *count, *root, *predecessors_hash);
                if let Some(run) = runs.get_mut(&(*issuer, *instance)) {
                    run.take_in(&Range { first, count, root, predecessors_hash, block_number, block_timestamp_s });
                }
            }
            Event::InstanceTerminated { issuer, instance, count, outcome, .. } => {
                if let Some(run) = runs.get_mut(&(*issuer, *instance)) {
                    run.seal(*count, *outcome, origin);
                }
            }
            _ => {}
        }
    }
    (runs, issuers)
}

fn log(origin: &Origin) -> (u64, Option<u64>) {
    (origin.block_number, origin.place.and_then(|place| place.log_index))
}

impl Run {
    /// Appends the states of one log.
    fn extend(&mut self, first: u64, log: &[Item]) {
        let (mut states, mut predecessors) = (Vec::new(), Vec::new());
        for item in log {
            if let Event::StateRegistered { state, predecessor, .. } = item.event {
                states.push(state);
                predecessors.push(predecessor);
            }
        }
        let Origin { block_number, block_timestamp_s, .. } = log[0].origin;
        let predecessors = head::shorten_predecessors(first, predecessors);
        self.take_in(&Batch { first, states, predecessors, block_number, block_timestamp_s }.range());
    }

    fn take_in(&mut self, range: &Range) {
        self.count = self.count.saturating_add(range.count);
        self.head = head::extend_by(self.head, range);
    }

    fn seal(&mut self, count: u64, outcome: Outcome, origin: &Origin) {
        self.outcome = outcome as u8;
        self.head = head::seal(self.head, count, outcome, origin.block_number, origin.block_timestamp_s);
    }
}
