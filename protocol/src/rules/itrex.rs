//! What can be said of a run in the paper's own contract, and why the rest cannot.
//!
//! The contract keeps the last registration of each id, whoever made it. So its views tell whether what was registered still stands; they do not
//! tell whether anything is missing.

use alloy_primitives::B256;

use super::Question;
use crate::{
    InstanceId, ModelId, StateId,
    verdict::{Check, Finding},
};

/// Check 1: the contract still names the run as the one that entered the state. `held` is what its view `getInstance` answers, zero for none.
pub fn state_exists(instance: InstanceId, state: StateId, held: B256, source: &str) -> Finding {
    let question = Question { check: Check::StateExists, source };
    if held == instance.0 {
        return question.passed(state);
    }
    let found = (!held.is_zero()).then(|| InstanceId(held).to_string());
    question.failed(instance, found, "somebody has registered the state again, under another instance")
}

/// Check 2: the contract still names the model of the run. `held` is what its view `getModel` answers, zero for none.
pub fn model_and_instance_exist(instance: InstanceId, model: ModelId, held: B256, source: &str) -> Finding {
    let question = Question { check: Check::ModelAndInstanceExist, source };
    if held == model.0 {
        return question.passed(format!("model {model}, instance {instance}"));
    }
    let found = (!held.is_zero()).then(|| ModelId(held).to_string());
    question.failed(model, found, "somebody has registered the instance again, with another model")
}

/// Checks 4 to 7, none of which the contract lets be made.
pub fn not_provable(source: &str) -> [Finding; 4] {
    let because = |check, why| Question { check, source }.not_checked(why);
    [
        because(
            Check::CertificateKnown,
            "the contract takes any certificate from anybody for any client, checks no signature, and can neither revoke nor renew one",
        ),
        because(
            Check::ProtocolLinked,
            "the signature of a certificate names neither chain nor contract, so that it can be taken from elsewhere",
        ),
        because(Check::Content, "the contract names no place where the documents are"),
        because(
            Check::Completeness,
            "the contract keeps no head, no count and no order of states: nobody can tell whether one was left out",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Status;

    const INSTANCE: InstanceId = InstanceId(B256::repeat_byte(1));

    #[test]
    fn what_was_registered_again_by_somebody_fails() {
        let state = StateId(B256::repeat_byte(2));
        assert_eq!(state_exists(INSTANCE, state, INSTANCE.0, "").status, Status::Passed);
        let taken = state_exists(INSTANCE, state, B256::repeat_byte(9), "");
        assert_eq!((taken.status, taken.found), (Status::Failed, Some("09".repeat(32))));
        assert_eq!(state_exists(INSTANCE, state, B256::ZERO, "").found, None);
        let model = ModelId(B256::repeat_byte(3));
        assert_eq!(model_and_instance_exist(INSTANCE, model, model.0, "").status, Status::Passed);
        assert_eq!(model_and_instance_exist(INSTANCE, model, B256::repeat_byte(9), "").status, Status::Failed);
    }

    #[test]
    fn what_the_contract_does_not_prove_is_neither_passed_nor_failed() {
        assert!(
            not_provable("").iter().all(|finding| finding.status == Status::NotChecked && finding.detail.is_some())
        );
    }
}
