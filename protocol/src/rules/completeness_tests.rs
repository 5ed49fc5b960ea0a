use alloy_primitives::Address;
use proptest::prelude::*;

use super::*;
use crate::{
    InstanceId, ModelId,
    documents::{Termination, bare_address},
    head::{Batch, Outcome, Range, Registry, shorten_predecessors},
    rules::content::PublishedEntry,
    rules::registered::{ProvedInstance, RegisteredBatch, RegisteredTermination},
    verdict::Status,
};

const ISSUER: Address = Address::repeat_byte(7);
const REGISTRY: Registry = Registry { chain_id: 31337, address: Address::repeat_byte(9) };
const NEWEST: u64 = 1000;

/// A run registered in batches of these sizes, one block each.
fn run(sizes: &[usize], ended: bool) -> RegisteredRun {
    let mut batches = Vec::new();
    let mut first = 0u64;
    for (size, block_number) in sizes.iter().zip(100u64..) {
        let states: Vec<StateId> = (first..first + *size as u64).map(|k| StateId::of(&k.to_be_bytes())).collect();
        let batch = Batch {
            first,
            states,
            predecessors: vec![],
            block_number,
            block_timestamp_s: 1_700_000_000 + block_number,
        };
        first += *size as u64;
        batches.push(RegisteredBatch::told(batch, B256::repeat_byte(block_number as u8)));
    }
    let termination = ended.then_some(RegisteredTermination {
        outcome: Outcome::Succeeded,
        count: first,
        block_number: 500,
        block_timestamp_s: 1_700_000_500,
        transaction_hash: B256::repeat_byte(5),
    });
    let proved = ProvedInstance {
        head: B256::ZERO,
        model: ModelId::of(b"model"),
        count: first,
        ordinal: 3,
        registered_at_block: 99,
        outcome: termination.map(|end| end.outcome),
    };
    let mut run = RegisteredRun {
        registry: REGISTRY,
        issuer: ISSUER,
        instance: InstanceId::of(b"run"),
        proved,
        batches,
        termination,
    };
    run.proved.head = run.folded_head();
    run
}

/// The protocol that an honest issuer publishes for it.
fn protocol(run: &RegisteredRun) -> InstanceProtocol {
    InstanceProtocol {
        model_hash: run.proved.model,
        instance_hash: run.instance,
        instance_data: String::new(),
        model_data: String::new(),
        trace_data: String::new(),
        events_data: None,
        events_hash: None,
        registry: run.registry,
        issuer: run.issuer,
        ordinal: run.proved.ordinal,
        termination: run.termination.map(|end| Termination {
            outcome: end.outcome,
            count: end.count,
            block_nr: Some(end.block_number),
            timestamp: Some(end.block_timestamp_s),
            transaction_hash: bare_hash(end.transaction_hash),
        }),
        instance_protocol: run.states().map(row).collect(),
    }
}

fn row(state: RegisteredState) -> ProtocolRow {
    ProtocolRow {
        event_type: REGISTER_STATE.into(),
        state_hash: state.state,
        timestamp: Some(state.block_timestamp_s),
        block_nr: Some(state.block_number),
        client_address: bare_address(ISSUER),
        transaction_hash: bare_hash(state.transaction_hash),
        state_data: None,
        input_data: None,
        sequence: state.sequence,
        predecessor: state.predecessor,
        batch: state.batch,
        state_name: format!("S{}", state.sequence),
        entered_at_ms: 5,
    }
}

/// A row of a state that no transaction registered yet.
fn pending(sequence: u64) -> ProtocolRow {
    let state_hash = StateId::of(b"pending");
    let known = RegisteredState {
        sequence,
        state: state_hash,
        predecessor: None,
        batch: sequence,
        by_root: false,
        block_number: 0,
        block_timestamp_s: 0,
        transaction_hash: B256::ZERO,
    };
    ProtocolRow { timestamp: None, block_nr: None, ..row(known) }
}

fn judged(run: &RegisteredRun, protocol: InstanceProtocol) -> Finding {
    completeness(run, NEWEST, &Reading::Read(Ok(protocol)), &[], "url")
}

fn failed_with(finding: &Finding, detail: &str) {
    assert_eq!(finding.status, Status::Failed, "{finding:?}");
    assert_ne!(finding.expected, finding.found);
    assert!(finding.detail.as_deref().is_some_and(|text| text.contains(detail)), "{detail}: {finding:?}");
}

proptest! {
    #[test]
    fn honest_protocol_passes(sizes in prop::collection::vec(1usize..5, 0..6), ended: bool) {
        let run = run(&sizes, ended);
        prop_assert!(run.folds_to_proved_head());
        let finding = judged(&run, protocol(&run));
        prop_assert_eq!(finding.status, Status::Passed, "{:?}", finding);
    }

    #[test]
    fn dropped_swapped_or_doubled_row_fails(sizes in prop::collection::vec(1usize..5, 1..6), ended: bool, at in any::<prop::sample::Index>()) {
        let run = run(&sizes, ended);
        let honest = protocol(&run);
        let at = at.index(honest.instance_protocol.len());

        let mut dropped = honest.clone();
        dropped.instance_protocol.remove(at);
        failed_with(&judged(&run, dropped), &format!("row {at} "));

        let mut doubled = honest.clone();
        doubled.instance_protocol.insert(at, honest.instance_protocol[at].clone());
        failed_with(&judged(&run, doubled), "added");

        let mut swapped = honest.clone();
        let other = (at + 1) % swapped.instance_protocol.len();
        if other != at {
            swapped.instance_protocol.swap(at, other);
            failed_with(&judged(&run, swapped), "out of order");
        }
    }
}

#[test]
fn each_altered_field_fails_and_is_named() {
    let run = run(&[2, 1], true);
    let alter = |change: &dyn Fn(&mut ProtocolRow)| {
        let mut altered = protocol(&run);
        change(&mut altered.instance_protocol[1]);
        judged(&run, altered)
    };
    failed_with(&alter(&|row| row.state_hash = StateId::of(b"forged")), "row 1 ");
    failed_with(&alter(&|row| row.predecessor = None), "row 1: predecessor");
    failed_with(&alter(&|row| row.sequence = 7), "row 1: sequence");
    failed_with(&alter(&|row| row.block_nr = Some(7)), "row 1: block_nr");
    failed_with(&alter(&|row| row.timestamp = Some(7)), "row 1: timestamp");
    failed_with(&alter(&|row| row.transaction_hash = "ab".into()), "row 1: transaction_hash");
    failed_with(&alter(&|row| row.event_type = "x".into()), "row 1: event_type");
    failed_with(&alter(&|row| row.batch = 2), "row 1: batch");
}

#[test]
fn other_outcome_or_open_end_fails() {
    let run = run(&[2], true);
    let mut other = protocol(&run);
    other.termination.as_mut().expect("ended").outcome = Outcome::Failed;
    failed_with(&judged(&run, other), "the run's end");
    failed_with(&judged(&run, InstanceProtocol { termination: None, ..protocol(&run) }), "the run's end");
}

#[test]
fn protocol_of_another_run_fails() {
    let run = run(&[2], true);
    let other = InstanceProtocol { instance_hash: InstanceId::of(b"other"), ..protocol(&run) };
    failed_with(&judged(&run, other), "another instance");
    let other = InstanceProtocol { issuer: Address::ZERO, ..protocol(&run) };
    failed_with(&judged(&run, other), "another issuer");
    let finding = completeness(&run, NEWEST, &Reading::Read(Err("not JSON".into())), &[], "url");
    failed_with(&Finding { expected: None, found: Some(String::new()), ..finding }, "not JSON");
}

#[test]
fn rows_not_yet_included_take_block_and_time_from_the_chain() {
    let run = run(&[2, 1], true);
    let mut early = protocol(&run);
    for row in &mut early.instance_protocol {
        (row.block_nr, row.timestamp) = (None, None);
    }
    early.termination.as_mut().expect("ended").block_nr = None;
    assert_eq!(judged(&run, early).status, Status::Passed);
}

#[test]
fn rows_ahead_of_registration_pass_while_the_run_is_open_only() {
    let publish_more = |run: &RegisteredRun| {
        let mut more = protocol(run);
        more.instance_protocol.push(pending(2));
        judged(run, more)
    };
    let open = publish_more(&run(&[2], false));
    assert_eq!(open.status, Status::Passed);
    assert!(open.detail.is_some_and(|text| text.contains("1 more rows")));
    failed_with(&publish_more(&run(&[2], true)), "row 2 ");
}

#[test]
fn block_that_the_node_does_not_know_decides_nothing() {
    let run = run(&[2], false);
    let mut ahead = protocol(&run);
    ahead.instance_protocol.push(ProtocolRow { block_nr: Some(NEWEST + 1), timestamp: Some(9), ..pending(2) });
    assert!(tells_beyond(&ahead, NEWEST));
    assert_eq!(judged(&run, ahead).status, Status::Unavailable);
}

#[test]
fn name_that_differs_from_the_states_document_fails() {
    let run = run(&[1], true);
    let state = |name: &str| {
        let entry = PublishedEntry { state_name: name.into(), entered_at_ms: 5, committed: None };
        Some(PublishedState { id: StateId::of(&0u64.to_be_bytes()), entry: Some(entry) })
    };
    let judged = |name| completeness(&run, NEWEST, &Reading::Read(Ok(protocol(&run))), &[state(name)], "url");
    assert_eq!(judged("S0").status, Status::Passed);
    failed_with(&judged("Approve"), "row 0: state_name");
}

#[test]
fn branches_keep_their_predecessors() {
    let mut run = run(&[3], true);
    let RegisteredBatch { range: Range { first, block_number, block_timestamp_s, .. }, transaction_hash, .. } =
        run.batches[0];
    let states = run.states().map(|state| state.state).collect();
    let predecessors = shorten_predecessors(first, vec![None, Some(0), Some(0)]);
    let batch = Batch { first, states, predecessors, block_number, block_timestamp_s };
    run.batches = vec![RegisteredBatch::told(batch, transaction_hash)];
    run.proved.head = run.folded_head();
    assert_eq!(judged(&run, protocol(&run)).status, Status::Passed);
    let mut linear = protocol(&run);
    linear.instance_protocol[2].predecessor = Some(1);
    failed_with(&judged(&run, linear), "row 2: predecessor");
}

#[test]
fn silence_fails_nothing() {
    let run = run(&[1], true);
    for (reading, status) in [
        (Reading::Unavailable("time-out".into()), Status::Unavailable),
        (Reading::NotAsked("no site".into()), Status::NotChecked),
    ] {
        assert_eq!(completeness(&run, NEWEST, &reading, &[], "url").status, status);
    }
}
