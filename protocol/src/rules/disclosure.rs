//! Disclosures: what is told of a private state's input afterwards is what its trace committed to.

use super::{Question, Reading, content::PublishedEntry, registered::RegisteredState};
use crate::{
    InstanceId,
    commitment::Claim,
    verdict::{Check, Finding},
};

/// The disclosed salt and input are those that the state's entry commits to. `entry` is `None` if the state's document was not read, or is not the registered
/// one; what is no disclosure is `Err`, with the reason.
pub fn disclosed(
    instance: InstanceId,
    state: &RegisteredState,
    entry: Option<&PublishedEntry>,
    claim: &Reading<Result<Claim, String>>,
    source: &str,
) -> Finding {
    let question = Question { check: Check::Content, source };
    let Some(entry) = entry else {
        return question.not_checked("what was committed to stands in the state's document, which was not read");
    };
    let expected = entry.committed.map_or("no commitment: the input is published".to_owned(), |one| one.to_string());
    question.judge(claim, |claim| match claim {
        Err(why) => question.failed(&expected, None, format!("what the site published is no disclosure: {why}")),
        Ok(claim) if (claim.instance, claim.sequence, claim.state) != (instance, state.sequence, state.state) => {
            let found = format!("state {} ({}) of instance {}", claim.sequence, claim.state, claim.instance);
            question.failed(&expected, Some(found), "the disclosure is of another state")
        }
        Ok(claim) if entry.committed == Some(claim.commitment) => question.passed(&expected),
        Ok(claim) => {
            let found = Some(claim.commitment.to_string());
            question.failed(&expected, found, "the disclosed input and salt are not those committed to")
        }
    })
}

#[cfg(test)]
mod tests {
    use alloy_primitives::B256;
    use proptest::prelude::*;

    use super::*;
    use crate::{
        StateId,
        commitment::{Commitment, Disclosure, Salt},
        verdict::Status,
    };

    const SALT: Salt = Salt(B256::repeat_byte(7));

    fn state() -> RegisteredState {
        RegisteredState {
            sequence: 3,
            state: StateId::of(b"state"),
            predecessor: Some(2),
            batch: 3,
            by_root: false,
            block_number: 1,
            block_timestamp_s: 1,
            transaction_hash: B256::ZERO,
        }
    }

    fn disclosure(input: &str) -> Disclosure {
        let RegisteredState { sequence, state, .. } = state();
        Disclosure { instance: InstanceId::of(b"run"), sequence, state, salt: SALT, input: input.into() }
    }

    fn entry(committed: Option<Commitment>) -> PublishedEntry {
        PublishedEntry { state_name: "S".into(), entered_at_ms: 1, committed }
    }

    fn judged(entry: Option<&PublishedEntry>, told: Reading<Result<Disclosure, String>>) -> (Status, Option<String>) {
        let claim = told.map(|told| told.map(|told| told.claim()));
        let finding = disclosed(InstanceId::of(b"run"), &state(), entry, &claim, "url");
        assert_eq!(finding.check, Check::Content);
        (finding.status, finding.detail)
    }

    proptest! {
        #[test]
        fn the_committed_input_passes_and_no_other(input: String, other: String, flip in 1u8.., at in 0usize..32) {
            let entry = entry(Some(Commitment::to(input.as_bytes(), SALT)));
            let status = |told| judged(Some(&entry), Reading::Read(Ok(told))).0;
            prop_assert_eq!(status(disclosure(&input)), Status::Passed);
            prop_assert_eq!(status(disclosure(&other)) == Status::Passed, input == other);
            let mut salt = SALT;
            salt.0[at] ^= flip;
            prop_assert_eq!(status(Disclosure { salt, ..disclosure(&input) }), Status::Failed);
        }
    }

    #[test]
    fn a_disclosure_of_another_state_fails() {
        let entry = entry(Some(Commitment::to(b"{}", SALT)));
        let changes: [fn(&mut Disclosure); 3] = [
            |told| told.instance = InstanceId::of(b"another"),
            |told| told.sequence += 1,
            |told| told.state = StateId::of(b"another"),
        ];
        for change in changes {
            let mut told = disclosure("{}");
            change(&mut told);
            let (status, detail) = judged(Some(&entry), Reading::Read(Ok(told)));
            assert_eq!((status, detail.as_deref()), (Status::Failed, Some("the disclosure is of another state")));
        }
    }

    #[test]
    fn what_commits_to_nothing_cannot_be_disclosed_and_what_is_no_disclosure_fails() {
        assert_eq!(judged(Some(&entry(None)), Reading::Read(Ok(disclosure("{}")))).0, Status::Failed);
        let committed = entry(Some(Commitment::to(b"{}", SALT)));
        assert_eq!(judged(Some(&committed), Reading::Read(Err("not JSON".into()))).0, Status::Failed);
    }

    #[test]
    fn what_was_not_read_fails_nothing() {
        let committed = entry(Some(Commitment::to(b"{}", SALT)));
        assert_eq!(judged(Some(&committed), Reading::Unavailable("500".into())).0, Status::Unavailable);
        assert_eq!(judged(None, Reading::Read(Ok(disclosure("{}")))).0, Status::NotChecked);
    }
}
