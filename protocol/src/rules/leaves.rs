//! Leaves: what a site publishes for the states of a run that were registered by a root is taken for them only if it makes that root.

use super::{Question, Reading, registered::RegisteredRun};
use crate::{
    documents::Leaves,
    head::{Batch, Range},
    verdict::{Check, Finding},
};

/// Takes published leaves for the states of the range, if they are: all of them, in order, with their predecessors. A leaf that is not there is
/// unavailable, since nobody can tell what it is; what is no list of leaves is `Err`, with the reason.
pub fn reveal(
    run: &mut RegisteredRun,
    range: &Range,
    published: &Reading<Result<Leaves, String>>,
    source: &str,
) -> Finding {
    let question = Question { check: Check::Content, source };
    question.judge(published, |published| match published {
        Ok(leaves) => take(run, range, leaves, &question),
        Err(why) => question.failed(root(range), None, format!("what the site published is no list of leaves: {why}")),
    })
}

fn take(run: &mut RegisteredRun, range: &Range, leaves: &Leaves, question: &Question<'_>) -> Finding {
    let there = leaves.states.len() as u64;
    if there > range.count {
        return question.failed(
            root(range),
            Some(format!("{there} leaves")),
            "more leaves are published than there are",
        );
    }
    let states: Option<Vec<_>> = leaves.states.iter().copied().collect();
    let Some(states) = states.filter(|_| there == range.count) else {
        let missing = leaves.states.iter().take_while(|state| state.is_some()).count() as u64;
        return question.unavailable(format!("the leaf of state {} is not published", range.first + missing));
    };
    let batch = Batch {
        first: range.first,
        states,
        predecessors: leaves.predecessors.clone(),
        block_number: range.block_number,
        block_timestamp_s: range.block_timestamp_s,
    };
    let found = batch.range();
    if found.root != range.root {
        return question.failed(root(range), Some(root(&found)), "the published leaves are not those registered");
    }
    if found.predecessors_hash != range.predecessors_hash {
        let links = |range: &Range| format!("predecessors with hash {}", range.predecessors_hash);
        return question.failed(
            links(range),
            Some(links(&found)),
            "the published predecessors are not those registered",
        );
    }
    if let Some(sequence) = misplaced(&batch) {
        // Of states that are told, the contract refuses it.
        return question.failed(
            "predecessors that come before their states",
            Some(format!("one of state {sequence} that does not, or none for each state")),
            "what was registered is no run",
        );
    }
    run.reveal(batch);
    question.passed(root(range))
}

fn root(range: &Range) -> String {
    format!("root {} of {} states", range.root, range.count)
}

/// The first state whose predecessor does not come before it, or has no place in the list.
fn misplaced(batch: &Batch) -> Option<u64> {
    let named = &batch.predecessors;
    if !named.is_empty() && named.len() != batch.states.len() {
        return Some(batch.first + named.len().min(batch.states.len()) as u64);
    }
    (batch.first..)
        .zip(named)
        .find(|(sequence, named)| named.is_some_and(|named| u64::from(named) >= *sequence))
        .map(|(sequence, _)| sequence)
}

#[cfg(test)]
#[path = "leaves_tests.rs"]
mod tests;
