//! Checks 1 and 2: what the contract knows.

use alloy_primitives::B256;

use super::{
    Question,
    registered::{RegisteredRun, RegisteredState},
};
use crate::{
    InstanceId, ModelId,
    verdict::{Check, Finding},
};

/// Check 1: the state is in the contract's log at its sequence number, and that log belongs to the proved head.
///
/// `folds` is [`RegisteredRun::folds_to_proved_head`], which is the same for all states of a run.
pub fn state_exists(run: &RegisteredRun, state: &RegisteredState, folds: bool) -> Finding {
    let event = if state.by_root { "StatesRootRegistered" } else { "StatesRegistered" };
    let source = format!(
        "{event} of contract {} in block {}, transaction {}",
        run.registry.address, state.block_number, state.transaction_hash
    );
    let question = Question { check: Check::StateExists, source: &source };
    if folds {
        return question.passed(state.state);
    }
    question.failed(
        format!("head {} of {} states", run.proved.head, run.proved.count),
        Some(format!("head {} of {} states", run.folded_head(), run.count())),
        "the node's logs are not those that made the contract's head: ask another node",
    )
}

/// What the contract's views tell of an instance and its model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Existence {
    /// Block of the model's registration by the issuer, 0 for none (`modelRegisteredAtBlock`).
    pub model_registered_at_block: u64,
    /// The instance's model and head (`instanceOf`).
    pub instance: (ModelId, B256),
}

/// Check 2: the issuer registered the model, and the instance as one of that model.
pub fn model_and_instance_exist(run: &RegisteredRun, views: &Existence, source: &str) -> Finding {
    let question = Question { check: Check::ModelAndInstanceExist, source };
    let proved = run.proved;
    let (model, head) = views.instance;
    if (model, head) != (proved.model, proved.head) {
        return question.failed(
            format!("model {}, head {}", proved.model, proved.head),
            Some(format!("model {model}, head {head}")),
            "the view instanceOf and the proved storage differ: ask another node",
        );
    }
    if views.model_registered_at_block == 0 {
        return question.failed(format!("model {model}"), None, "the issuer has not registered the model");
    }
    question.passed(format!("model {model}, instance {}", run.instance))
}

/// Check 2, of an instance that the run's document names: the issuer registered that one, too. `model` is what the view `instanceOf` tells of it.
pub fn named_instance_exists(named: InstanceId, model: ModelId, source: &str) -> Finding {
    let question = Question { check: Check::ModelAndInstanceExist, source };
    let expected = format!("instance {named}");
    if model == ModelId(B256::ZERO) {
        return question.failed(expected, None, "the issuer has not registered the instance that the document names");
    }
    question.passed(expected)
}
