//! What a verdict says, check by check.

use runproof_protocol::verdict::{Check, Finding, Status, Verdict};
use runproof_verifier::{VerifyError, verify};

use crate::{issuer::Issuer, stack};

pub async fn verdict(issuer: &Issuer) -> Verdict {
    try_verdict(issuer, Some(issuer.account.address())).await.expect("the node answers")
}

pub async fn try_verdict(issuer: &Issuer, of: Option<alloy::primitives::Address>) -> Result<Verdict, VerifyError> {
    let url = stack().await.chain().expect("started").http_url();
    verify(&issuer.settings(url), of, issuer.instance).await
}

/// All findings, with the sequence number of those that concern one state.
pub fn findings(verdict: &Verdict) -> impl Iterator<Item = (Option<u64>, &Finding)> {
    let of_states =
        verdict.states.iter().flat_map(|state| state.findings.iter().map(|finding| (Some(state.sequence), finding)));
    verdict.findings.iter().map(|finding| (None, finding)).chain(of_states)
}

/// Findings that did not pass.
pub fn flaws(verdict: &Verdict) -> Vec<(Option<u64>, Check, Status)> {
    findings(verdict)
        .filter(|(_, finding)| finding.status != Status::Passed)
        .map(|(sequence, finding)| (sequence, finding.check, finding.status))
        .collect()
}

/// The one finding that failed: no other may have failed, or not passed but those that rest on it.
pub fn only_failure(verdict: &Verdict, resting: &[Check]) -> (Option<u64>, Finding) {
    let (failed, others): (Vec<_>, Vec<_>) = findings(verdict)
        .filter(|(_, finding)| finding.status != Status::Passed)
        .partition(|(_, finding)| finding.status == Status::Failed);
    assert!(
        others.iter().all(|(_, finding)| finding.status == Status::NotChecked && resting.contains(&finding.check)),
        "{others:#?}"
    );
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let (sequence, finding) = failed[0];
    assert_ne!(finding.expected, finding.found, "{finding:#?}");
    assert!(finding.expected.is_some() && !finding.source.is_empty(), "{finding:#?}");
    assert_eq!(verdict.status(), Status::Failed);
    (sequence, finding.clone())
}
