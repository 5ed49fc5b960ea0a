//! Completeness: the published history folds to the proved head, so that nothing was left out, added or reordered.

use std::collections::HashMap;

use alloy_primitives::{Address, B256};

use super::{
    Question, Reading,
    content::PublishedState,
    registered::{RegisteredRun, RegisteredState},
};
use crate::{
    StateId,
    documents::{InstanceProtocol, ProtocolRow, REGISTER_STATE, bare_address, bare_hash},
    verdict::{Check, Finding},
};

/// Whether the protocol tells of blocks after `block_number`: then that block is too old to judge it by.
pub fn tells_beyond(protocol: &InstanceProtocol, block_number: u64) -> bool {
    let rows = protocol.instance_protocol.iter().filter_map(|row| row.block_nr);
    let end = protocol.termination.as_ref().and_then(|end| end.block_nr);
    rows.chain(end).any(|block| block > block_number)
}

/// The published protocol is the registered history, as of `block_number`. A protocol that is none is `Err`, with the reason. `states` are
/// the documents of the registered states as far as they were read, by which the rows' names and times are compared.
pub fn completeness(
    run: &RegisteredRun,
    block_number: u64,
    protocol: &Reading<Result<InstanceProtocol, String>>,
    states: &[Option<PublishedState>],
    source: &str,
) -> Finding {
    let question = Question { check: Check::Completeness, source };
    question.judge(protocol, |protocol| match protocol {
        Ok(protocol) => Comparison { question: &question, run, block_number, states }.judge(protocol),
        Err(why) => question.failed("an instance protocol", None, format!("what the site published is none: {why}")),
    })
}

struct Comparison<'a> {
    question: &'a Question<'a>,
    run: &'a RegisteredRun,
    block_number: u64,
    states: &'a [Option<PublishedState>],
}

impl Comparison<'_> {
    fn judge(&self, protocol: &InstanceProtocol) -> Finding {
        let run = self.run;
        if let Some(finding) = self.foreign(protocol) {
            return finding;
        }
        let settled = self.settle(protocol);
        let times: HashMap<u64, (u64, u64)> = run
            .batches
            .iter()
            .map(|registered| &registered.range)
            .map(|range| (range.first, (range.block_number, range.block_timestamp_s)))
            .collect();
        let sealed = run.termination.map(|end| (end.block_number, end.block_timestamp_s));
        let folded = settled.head(&|first| times.get(&first).copied(), sealed);
        let registered: Vec<RegisteredState> = run.states().collect();
        if folded != run.proved.head {
            let difference = || {
                difference(&registered, &settled.instance_protocol).or_else(|| {
                    altered_rows(run.issuer, &registered, &settled.instance_protocol).map(|altered| altered.sentence())
                })
            };
            let detail = if run.is_revealed() {
                difference()
                    .unwrap_or_else(|| "the rows are those registered, but not their batches or the run's end".into())
            } else {
                "the rows are not those registered; which, only the leaves of all roots would tell".into()
            };
            return self.question.failed(run.proved.head, Some(folded.to_string()), detail);
        }
        // The head vouches for ids, order, predecessors, batches, blocks and times; the other fields are compared.
        let unhashed = altered_rows(run.issuer, &registered, &settled.instance_protocol)
            .or_else(|| altered_entries(&registered, self.states, &settled.instance_protocol));
        if let Some(altered) = unhashed {
            return self.question.failed(
                altered.registered.clone(),
                Some(altered.published.clone()),
                altered.sentence(),
            );
        }
        if tells_beyond(protocol, self.block_number) {
            let newest = self.block_number;
            return self
                .question
                .unavailable(format!("rows tell of blocks after {newest}, the newest that the node knows"));
        }
        let pending = protocol.instance_protocol.len() - settled.instance_protocol.len();
        let detail = (pending > 0).then(|| format!("{pending} more rows are published ahead of their registration"));
        Finding { detail, ..self.question.passed(run.proved.head) }
    }

    /// A protocol of something else.
    fn foreign(&self, protocol: &InstanceProtocol) -> Option<Finding> {
        let run = self.run;
        let asked = [
            ("chain", run.registry.chain_id.to_string(), protocol.registry.chain_id.to_string()),
            ("contract", run.registry.address.to_string(), protocol.registry.address.to_string()),
            ("issuer", run.issuer.to_string(), protocol.issuer.to_string()),
            ("instance", run.instance.to_string(), protocol.instance_hash.to_string()),
            ("model", run.proved.model.to_string(), protocol.model_hash.to_string()),
            ("ordinal", run.proved.ordinal.to_string(), protocol.ordinal.to_string()),
        ];
        let (what, expected, found) = asked.into_iter().find(|(_, expected, found)| expected != found)?;
        Some(self.question.failed(expected, Some(found), format!("the protocol is of another {what}")))
    }

    /// The protocol without what it tells ahead of the chain: rows are published before their transaction is sent, so rows at the end of an
    /// open run may not be registered yet.
    fn settle(&self, protocol: &InstanceProtocol) -> InstanceProtocol {
        let mut settled = protocol.clone();
        if self.run.proved.outcome.is_some() {
            return settled;
        }
        let ahead = |block: Option<u64>| block.is_none_or(|block| block > self.block_number);
        let rows = &mut settled.instance_protocol;
        while let Some(row) = rows.last() {
            let in_place = row.sequence == rows.len() as u64 - 1 && row.sequence >= self.run.proved.count;
            if !in_place || !ahead(row.block_nr) {
                break;
            }
            rows.pop();
        }
        settled.termination.take_if(|end| ahead(end.block_nr));
        settled
    }
}

/// Which row is missing, added or out of order; `None` if the ids are the same in the same order.
fn difference(registered: &[RegisteredState], published: &[ProtocolRow]) -> Option<String> {
    let mut unmatched: HashMap<StateId, Vec<usize>> = HashMap::new();
    for (place, row) in published.iter().enumerate().rev() {
        unmatched.entry(row.state_hash).or_default().push(place);
    }
    let mut missing = None;
    for state in registered {
        if unmatched.get_mut(&state.state).and_then(Vec::pop).is_none() {
            missing = missing.or(Some(state));
        }
    }
    let added = unmatched.into_values().flatten().min().map(|place| (place, published[place].state_hash));
    let moved = || registered.iter().zip(published).find(|(state, row)| state.state != row.state_hash);
    match (missing, added) {
        (Some(state), Some((place, id))) => Some(format!(
            "row {} (state {}) is missing, row {place} (state {id}) was added",
            state.sequence, state.state
        )),
        (Some(state), None) => Some(format!("row {} (state {}) is missing", state.sequence, state.state)),
        (None, Some((place, id))) => Some(format!("row {place} (state {id}) was added")),
        (None, None) => moved().map(|(state, row)| {
            format!(
                "rows are out of order: row {} is state {}, registered is {}",
                state.sequence, row.state_hash, state.state
            )
        }),
    }
}

/// A field of a row that is not what was registered.
struct Altered {
    row: u64,
    field: &'static str,
    registered: String,
    published: String,
}

impl Altered {
    fn sentence(&self) -> String {
        format!("row {}: {} is {}, registered is {}", self.row, self.field, self.published, self.registered)
    }
}

fn altered_rows(issuer: Address, registered: &[RegisteredState], published: &[ProtocolRow]) -> Option<Altered> {
    registered.iter().find_map(|state| {
        let row = row_of(state, published)?;
        let shown = |number: Option<u32>| number.map_or("none".to_owned(), |number| number.to_string());
        let same_if_absent = |told: Option<u64>, known: u64| told.unwrap_or(known).to_string();
        let fields = [
            ("sequence", state.sequence.to_string(), row.sequence.to_string()),
            ("predecessor", shown(state.predecessor), shown(row.predecessor)),
            ("batch", state.batch.to_string(), row.batch.to_string()),
            ("block_nr", state.block_number.to_string(), same_if_absent(row.block_nr, state.block_number)),
            ("timestamp", state.block_timestamp_s.to_string(), same_if_absent(row.timestamp, state.block_timestamp_s)),
            ("transaction_hash", bare_hash(state.transaction_hash), bare_transaction(row)),
            ("client_address", bare_address(issuer), row.client_address.clone()),
            ("event_type", REGISTER_STATE.to_owned(), row.event_type.clone()),
        ];
        let (field, registered, published) = fields.into_iter().find(|(_, known, told)| known != told)?;
        Some(Altered { row: state.sequence, field, registered, published })
    })
}

/// Reads the hash with or without `0x`, in any case.
fn bare_transaction(row: &ProtocolRow) -> String {
    row.transaction_hash.parse::<B256>().map_or_else(|_| row.transaction_hash.clone(), bare_hash)
}

/// States that are known only by a root have rows too.
fn row_of<'a>(state: &RegisteredState, published: &'a [ProtocolRow]) -> Option<&'a ProtocolRow> {
    published.get(usize::try_from(state.sequence).ok()?)
}

fn altered_entries(
    registered: &[RegisteredState],
    states: &[Option<PublishedState>],
    published: &[ProtocolRow],
) -> Option<Altered> {
    registered.iter().zip(states).find_map(|(registered, state)| {
        let row = row_of(registered, published)?;
        let state = state.as_ref().filter(|state| state.id == row.state_hash)?;
        let entry = state.entry.as_ref()?;
        let fields = [
            ("state_name", entry.state_name.clone(), row.state_name.clone()),
            ("entered_at_ms", entry.entered_at_ms.to_string(), row.entered_at_ms.to_string()),
        ];
        let (field, registered, published) = fields.into_iter().find(|(_, known, told)| known != told)?;
        Some(Altered { row: row.sequence, field, registered, published })
    })
}

#[cfg(test)]
#[path = "completeness_tests.rs"]
mod tests;
