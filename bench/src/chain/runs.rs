//! Runs, one after another, as the logs that register them.

use alloy::{
    primitives::{B256, LogData, U256, b256, keccak256},
    sol_types::SolEvent,
};
use runproof_contracts::InstanceRegistry::{InstanceRegistered, StatesRegistered};
use runproof_protocol::{
    InstanceId, ModelId, StateId,
    head::{self, Batch},
};

use super::{ISSUER, REGISTRY, Recipe, Shape, timestamp_s};

const MODEL: ModelId = ModelId(b256!("0x6d6f64656c000000000000000000000000000000000000000000000000000000"));

/// Where the chain has come; the first event of each run is its registration.
#[derive(Default)]
pub(super) struct Runs {
    events: u64,
    head: B256,
    issuer_head: B256,
}

impl Runs {
    /// The logs of the next block, each of a transaction of its own.
    pub(super) fn logs(&mut self, recipe: &Recipe, number: u64) -> Vec<LogData> {
        let until = recipe.events_until(number);
        let run_length = recipe.shape.run_length();
        let mut logs = Vec::new();
        while self.events < until {
            let (ordinal, place) = (self.events / run_length, self.events % run_length);
            let instance = InstanceId(keccak256(ordinal.to_be_bytes()));
            if place == 0 {
                logs.push(self.instance(instance, ordinal));
                continue;
            }
            let longest = match recipe.shape {
                Shape::Single => 1,
                Shape::Batched => run_length - place,
            };
            logs.push(self.states(instance, place - 1, longest.min(until - self.events), number));
        }
        logs
    }

    fn instance(&mut self, instance: InstanceId, ordinal: u64) -> LogData {
        self.events += 1;
        self.head = head::genesis(REGISTRY, ISSUER, instance, MODEL, ordinal);
        self.issuer_head = keccak256([self.issuer_head, self.head].concat());
        InstanceRegistered {
            issuer: ISSUER,
            instance: instance.0,
            model: MODEL.0,
            ordinal: U256::from(ordinal).to(),
            head: self.head,
            issuerHead: self.issuer_head,
        }
        .encode_log_data()
    }

    fn states(&mut self, instance: InstanceId, first: u64, count: u64, block_number: u64) -> LogData {
        let states: Vec<StateId> =
            (self.events..self.events + count).map(|n| StateId(keccak256(n.to_le_bytes()))).collect();
        self.events += count;
        let words = states.iter().map(|state| state.0).collect();
        let batch =
            Batch { first, states, predecessors: vec![], block_number, block_timestamp_s: timestamp_s(block_number) };
        self.head = head::extend(self.head, &batch);
        StatesRegistered {
            issuer: ISSUER,
            instance: instance.0,
            first,
            head: self.head,
            states: words,
            predecessors: Default::default(),
        }
        .encode_log_data()
    }
}

impl Shape {
    /// Events of a run.
    fn run_length(self) -> u64 {
        match self {
            Self::Single => 100,
            Self::Batched => 2_500,
        }
    }
}
