//! One transaction's registrations, as far as a block and the nodes take them. Pure.

use crate::{plan::Registration, settings::Settings};

/// What any transaction costs (Ethereum Yellow Paper, appendix G), gas.
const TRANSACTION_GAS: u64 = 21_000;
/// Bounds above what `contracts/gas.json` measures, each with its share of the multicall's calldata, gas.
const MODEL_GAS: u64 = 60_000;
const PARTICIPANT_GAS: u64 = 60_000;
const INSTANCE_GAS: u64 = 140_000;
const BATCH_GAS: u64 = 32_000;
const STATE_GAS: u64 = 1_500;
const ROOT_GAS: u64 = 32_000;
const TERMINATION_GAS: u64 = 30_000;

/// Calldata of one transaction at most, bytes: nodes relay none above 128 KB in all (geth's `txMaxSize`).
const CALLDATA_BYTES: usize = 126_000;
/// Of a `multicall` of nothing: selector, offset and length of the list, bytes.
const MULTICALL_BYTES: usize = 4 + 2 * WORD;
/// Of a state with its predecessor, bytes.
const STATE_BYTES: usize = 36;
/// Above what all else takes that there may be to register beside an instance's states, bytes.
const OTHER_BYTES: usize = 1_024;
/// Of the ABI, bytes.
const WORD: usize = 32;

/// What one transaction takes at most.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// States.
    pub(crate) states: usize,
    gas: u64,
}

/// Registrations of one transaction.
#[derive(Debug)]
pub(crate) struct Batch {
    registrations: Vec<Registration>,
    gas: u64,
    bytes: usize,
    states: usize,
    limits: Limits,
    full: bool,
    continues: bool,
}

impl Limits {
    /// Such that one batch of states fits beside all else that there may be to register of its instance.
    fn new(max_states: usize, gas: u64) -> Self {
        let rest = gas.saturating_sub(TRANSACTION_GAS + MODEL_GAS + INSTANCE_GAS + BATCH_GAS + TERMINATION_GAS);
        let of_gas = usize::try_from(rest / STATE_GAS).unwrap_or(usize::MAX);
        let of_bytes = (CALLDATA_BYTES - OTHER_BYTES) / STATE_BYTES;
        Self { states: max_states.min(of_gas).min(of_bytes).max(1), gas }
    }

    /// As set.
    pub(crate) fn of(settings: &Settings) -> Self {
        Self::new(settings.max_batch, settings.max_gas)
    }
}

impl Batch {
    /// Nothing yet.
    pub(crate) fn new(limits: Limits) -> Self {
        let (registrations, bytes) = (Vec::new(), MULTICALL_BYTES);
        Self { registrations, gas: TRANSACTION_GAS, bytes, states: 0, limits, full: false, continues: false }
    }

    /// Takes what belongs together, or none of it: then the batch is full. A model that another part registers already is not registered twice.
    pub(crate) fn add(&mut self, mut plan: Vec<Registration>) -> bool {
        plan.retain(|one| !matches!(one, Registration::Model(_)) || !self.registrations.contains(one));
        let gas: u64 = plan.iter().map(gas).sum();
        let bytes: usize = plan.iter().map(bytes).sum();
        let states: usize = plan.iter().map(states).sum();
        self.full |= !self.registrations.is_empty()
            && (self.gas + gas > self.limits.gas
                || self.bytes + bytes > CALLDATA_BYTES
                || self.states + states > self.limits.states);
        if !self.full {
            self.gas += gas;
            self.bytes += bytes;
            self.states += states;
            self.registrations.append(&mut plan);
        }
        !self.full
    }

    /// The same, of what has its place after a transaction that is on its way.
    pub(crate) fn add_after(&mut self, plan: Vec<Registration>) -> bool {
        let added = self.add(plan);
        self.continues |= added;
        added
    }

    /// Gas that it uses at most, where the node cannot tell: it knows nothing yet of the transactions on their way.
    pub(crate) fn gas_after_others(&self) -> Option<u64> {
        self.continues.then_some(self.gas)
    }

    /// Whether something did not fit, or nothing more does.
    pub(crate) fn is_full(&self) -> bool {
        self.full || self.states >= self.limits.states
    }

    /// Whether there is nothing to register.
    pub(crate) fn is_empty(&self) -> bool {
        self.registrations.is_empty()
    }

    /// In the order in which they were added.
    pub(crate) fn into_registrations(self) -> Vec<Registration> {
        self.registrations
    }
}

fn states(registration: &Registration) -> usize {
    match registration {
        Registration::States { states, .. } => states.len(),
        _ => 0,
    }
}

/// At most, gas.
fn gas(registration: &Registration) -> u64 {
    match registration {
        Registration::Model(_) => MODEL_GAS,
        Registration::Participant(_) => PARTICIPANT_GAS,
        Registration::Instance(..) => INSTANCE_GAS,
        Registration::States { states, .. } => BATCH_GAS + STATE_GAS * states.len() as u64,
        Registration::Root { .. } => ROOT_GAS,
        Registration::Termination { .. } => TERMINATION_GAS,
    }
}

/// Calldata within a `multicall`, where each call has an offset, a length, and whole words (Solidity's ABI).
fn bytes(registration: &Registration) -> usize {
    let call = match registration {
        Registration::Model(_) => 4 + WORD,
        Registration::Participant(_) => 4 + 3 * WORD,
        Registration::Instance(..) => 4 + 2 * WORD,
        // At most: the predecessors are left out where each state follows the one before.
        Registration::States { states, .. } => {
            4 + 7 * WORD + WORD * states.len() + (4 * states.len()).next_multiple_of(WORD)
        }
        Registration::Root { .. } => 4 + 6 * WORD,
        Registration::Termination { .. } => 4 + 4 * WORD,
    };
    2 * WORD + call.next_multiple_of(WORD)
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
