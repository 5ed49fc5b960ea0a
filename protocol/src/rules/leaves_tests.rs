use alloy_primitives::{Address, B256};
use proptest::prelude::*;

use super::*;
use crate::{
    InstanceId, ModelId, StateId,
    head::Registry,
    rules::registered::{ProvedInstance, RegisteredBatch},
    verdict::Status,
};

const FIRST: u64 = 3;

fn batch(n: u64, predecessors: Vec<Option<u32>>) -> Batch {
    let states = (0..n).map(|k| StateId::of(&k.to_be_bytes())).collect();
    Batch { first: FIRST, states, predecessors, block_number: 9, block_timestamp_s: 99 }
}

fn run(range: Range) -> RegisteredRun {
    let proved = ProvedInstance {
        head: B256::ZERO,
        model: ModelId::of(b"model"),
        count: range.count,
        ordinal: 0,
        registered_at_block: 8,
        outcome: None,
    };
    RegisteredRun {
        registry: Registry { chain_id: 1, address: Address::ZERO },
        issuer: Address::ZERO,
        instance: InstanceId::of(b"run"),
        proved,
        batches: vec![RegisteredBatch::by_root(range, B256::ZERO)],
        termination: None,
    }
}

fn leaves(batch: &Batch) -> Leaves {
    Leaves { states: batch.states.iter().copied().map(Some).collect(), predecessors: batch.predecessors.clone() }
}

/// The finding's status, and the states that are known then.
fn judged(registered: &Batch, published: Reading<Result<Leaves, String>>) -> (Status, Vec<StateId>) {
    let mut run = run(registered.range());
    let finding = reveal(&mut run, &registered.range(), &published, "url");
    assert_eq!(finding.status == Status::Failed, finding.expected != finding.found, "{finding:?}");
    assert_eq!(run.is_revealed(), finding.status == Status::Passed);
    (finding.status, run.states().map(|state| state.state).collect())
}

fn read(leaves: Leaves) -> Reading<Result<Leaves, String>> {
    Reading::Read(Ok(leaves))
}

proptest! {
    #[test]
    fn leaves_that_make_the_root_are_the_states(n in 1u64..40, forked: bool) {
        let links = (0..n).map(|k| (k % 2 == 0).then_some(k as u32 / 2)).collect();
        let registered = batch(n, if forked { links } else { vec![] });
        prop_assert_eq!(judged(&registered, read(leaves(&registered))), (Status::Passed, registered.states.clone()));
    }

    #[test]
    fn a_withheld_leaf_is_unavailable_and_an_altered_one_fails(n in 1u64..40, at in any::<prop::sample::Index>()) {
        let registered = batch(n, vec![]);
        let at = at.index(registered.states.len());
        let honest = leaves(&registered);
        let mut withheld = honest.clone();
        withheld.states[at] = None;
        let mut cut = honest.clone();
        cut.states.truncate(at);
        let mut altered = honest.clone();
        altered.states[at] = Some(StateId::of(b"another"));
        let mut added = honest.clone();
        added.states.insert(at, honest.states[at]);
        let mut linked = honest;
        linked.predecessors = vec![Some(0); registered.states.len()];
        for published in [withheld, cut] {
            prop_assert_eq!(judged(&registered, read(published)), (Status::Unavailable, vec![]));
        }
        for published in [altered, added, linked] {
            prop_assert_eq!(judged(&registered, read(published)), (Status::Failed, vec![]));
        }
    }
}

#[test]
fn what_was_not_read_fails_nothing_and_what_is_no_list_fails() {
    let registered = batch(5, vec![]);
    assert_eq!(judged(&registered, Reading::Unavailable("404".into())).0, Status::Unavailable);
    assert_eq!(judged(&registered, Reading::NotAsked("no site".into())).0, Status::NotChecked);
    assert_eq!(judged(&registered, Reading::Read(Err("no JSON".into()))).0, Status::Failed);
}

#[test]
fn predecessors_that_the_contract_would_have_refused_fail_though_they_are_those_registered() {
    for predecessors in [vec![Some(2), Some(4)], vec![Some(u32::MAX), Some(3)], vec![Some(0)], vec![None; 3]] {
        let registered = batch(2, predecessors);
        assert_eq!(judged(&registered, read(leaves(&registered))), (Status::Failed, vec![]), "{registered:?}");
    }
}
