use alloy::{primitives::Address, sol_types::SolCall};
use proptest::prelude::*;
use runproof_contracts::InstanceRegistry::multicallCall;
use runproof_protocol::{InstanceId, ModelId, StateId, head::Outcome};

use super::*;
use crate::settings::{DEFAULT_MAX_BATCH, DEFAULT_MAX_GAS};

fn run(number: u32, states: usize) -> Vec<Registration> {
    let (model, instance) = (ModelId::of(b"m"), InstanceId::of(&number.to_be_bytes()));
    vec![
        Registration::Model(model),
        Registration::Instance(model, instance),
        Registration::States { instance, first: 0, states: vec![(StateId::of(b"s"), Some(0)); states] },
        Registration::Termination { instance, count: states as u64, outcome: Outcome::Succeeded },
    ]
}

#[test]
fn a_model_is_registered_once_in_a_batch() {
    let mut batch = Batch::new(Limits::new(DEFAULT_MAX_BATCH, DEFAULT_MAX_GAS));
    assert!(batch.add(run(1, 3)) && batch.add(run(2, 3)));
    let models = batch.into_registrations().iter().filter(|one| matches!(one, Registration::Model(_))).count();
    assert_eq!(models, 1);
}

#[test]
fn one_instance_of_any_length_fills_a_transaction_that_nodes_relay() {
    let limits = Limits::new(usize::MAX, DEFAULT_MAX_GAS);
    let mut batch = Batch::new(limits);
    assert!(batch.add(run(1, limits.states)) && batch.is_full());
    assert!(calldata(batch.into_registrations()) <= CALLDATA_BYTES);
}

/// As it is sent, bytes.
fn calldata(registrations: Vec<Registration>) -> usize {
    let calls = registrations.iter().map(|one| one.call(Address::ZERO)).collect();
    multicallCall { calls }.abi_encoded_size() + 4
}

proptest! {
    #[test]
    fn what_fits_is_within_all_limits_and_nothing_is_torn(
        sizes in proptest::collection::vec(1usize..400, 1..120),
        max_batch in 400usize..2_000,
        max_gas in 1_000_000u64..20_000_000,
    ) {
        let limits = Limits::new(max_batch, max_gas);
        let mut batch = Batch::new(limits);
        let taken = (0..).zip(&sizes).take_while(|(number, size)| batch.add(run(*number, **size))).count();
        prop_assert!(taken > 0, "the first always fits");
        let full = batch.is_full();
        let registrations = batch.into_registrations();
        prop_assert_eq!(full, taken < sizes.len() || registrations.iter().map(states).sum::<usize>() == limits.states);
        prop_assert_eq!(registrations.len(), 3 * taken + 1);
        prop_assert!(registrations.iter().map(states).sum::<usize>() <= limits.states);
        prop_assert!(TRANSACTION_GAS + registrations.iter().map(gas).sum::<u64>() <= max_gas);
        let told = MULTICALL_BYTES + registrations.iter().map(bytes).sum::<usize>();
        let sent = calldata(registrations);
        prop_assert!(sent <= told && told <= CALLDATA_BYTES, "{sent} bytes, told {told}");
    }
}
