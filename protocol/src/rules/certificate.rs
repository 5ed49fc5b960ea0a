//! Checks 4 and 5: the server's certificate, and who signed for it.

use alloy_primitives::Address;

use super::{Question, Reading};
use crate::{
    Fingerprint,
    certificate::CertificateBinding,
    verdict::{Check, Finding},
};

/// The certificate that a server presented, with proof in the handshake that it holds the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PresentedCertificate {
    /// SHA-256 of its DER bytes.
    pub fingerprint: Fingerprint,
    /// Start of its own validity, Unix seconds.
    pub not_before_s: i64,
    /// End of its own validity, Unix seconds.
    pub not_after_s: i64,
}

/// A binding of the presented certificate, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BoundCertificate {
    /// As the contract's log tells it.
    pub binding: CertificateBinding,
    /// First block in which it is not to be trusted, by its subject or the subject's guardian. It may lie before the revocation, when the
    /// certificate was compromised since.
    pub revoked_from_block: Option<u64>,
    /// Whose signature it bears: the key that recovers from it, or the contract wallet that accepts it; `None` if nobody's.
    pub signer: Option<Address>,
}

impl BoundCertificate {
    /// Why it does not hold at `now_s` (Unix seconds), if it does not.
    fn flaw(&self, now_s: u64) -> Option<String> {
        if let Some(block) = self.revoked_from_block {
            return Some(format!("revoked from block {block} on"));
        }
        let (from, to) = (self.binding.not_before_s, self.binding.not_after_s);
        (!(from..=to).contains(&now_s)).then(|| format!("bound for {from} to {to}, Unix seconds"))
    }
}

/// The binding that counts: the issuer's own, else one that holds, else any. Anybody can bind a certificate that anybody can see, so a
/// stranger's binding never stands in the way of the issuer's.
fn chosen(issuer: Address, bindings: &[BoundCertificate], now_s: u64) -> Option<&BoundCertificate> {
    let own = bindings.iter().find(|bound| bound.binding.subject == issuer);
    own.or_else(|| bindings.iter().find(|bound| bound.flaw(now_s).is_none())).or(bindings.first())
}

/// Check 4: the certificate is bound in the contract, by whomever, and holds at `now_s` (Unix seconds).
pub fn certificate_known(
    issuer: Address,
    presented: &Reading<PresentedCertificate>,
    bindings: &[BoundCertificate],
    now_s: u64,
    source: &str,
) -> Finding {
    let question = Question { check: Check::CertificateKnown, source };
    question.judge(presented, |presented| {
        let fingerprint = presented.fingerprint;
        let Some(bound) = chosen(issuer, bindings, now_s) else {
            let expected = "a certificate bound in the contract";
            return question.failed(expected, Some(fingerprint.to_string()), "nobody bound the presented certificate");
        };
        if let Some(flaw) = bound.flaw(now_s) {
            return question.failed(
                format!("{fingerprint} bound as of {now_s}"),
                Some(flaw),
                "its binding does not hold",
            );
        }
        let (from, to) = (presented.not_before_s, presented.not_after_s);
        if !i64::try_from(now_s).is_ok_and(|now| (from..=to).contains(&now)) {
            let found = format!("valid from {from} to {to}, Unix seconds");
            return question.failed(
                format!("{fingerprint} valid at {now_s}"),
                Some(found),
                "the certificate has expired",
            );
        }
        question.passed(fingerprint)
    })
}

/// Check 4 as of a state's block: where the certificate is revoked by now, whether it was to be trusted when the state was registered. `None`
/// where that is no question: it is not revoked, or none was presented or bound.
pub fn trusted_when_registered(
    issuer: Address,
    presented: &Reading<PresentedCertificate>,
    bindings: &[BoundCertificate],
    now_s: u64,
    block_number: u64,
    source: &str,
) -> Option<Finding> {
    let question = Question { check: Check::CertificateKnown, source };
    let fingerprint = presented.read()?.fingerprint;
    let from_block = chosen(issuer, bindings, now_s)?.revoked_from_block?;
    let trusted = format!("{fingerprint} to be trusted in block {block_number}");
    Some(if block_number < from_block {
        question.passed(trusted)
    } else {
        let found = Some(format!("revoked from block {from_block} on"));
        question.failed(trusted, found, "the certificate is not to be trusted as of the block of the state")
    })
}

/// Check 5: the signature of that binding is the issuer's. `known` is the finding of check 4, on which it rests.
pub fn protocol_linked(
    issuer: Address,
    presented: &Reading<PresentedCertificate>,
    bindings: &[BoundCertificate],
    now_s: u64,
    known: &Finding,
    source: &str,
) -> Finding {
    let question = Question { check: Check::ProtocolLinked, source };
    question.judge(presented, |_| {
        let bound = match chosen(issuer, bindings, now_s) {
            Some(bound) if known.status == crate::verdict::Status::Passed => bound,
            _ => return question.not_checked("the presented certificate is not known"),
        };
        match bound.signer {
            Some(signer) if signer == issuer => question.passed(issuer),
            other => question.failed(issuer, other.map(|signer| signer.to_string()), "another key signed for it"),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verdict::Status;

    const ISSUER: Address = Address::repeat_byte(7);
    const STRANGER: Address = Address::repeat_byte(8);
    const NOW_S: u64 = 1_700_000_000;

    fn presented() -> Reading<PresentedCertificate> {
        let fingerprint = Fingerprint::of(b"certificate");
        Reading::Read(PresentedCertificate { fingerprint, not_before_s: 0, not_after_s: 2_000_000_000 })
    }

    fn bound(by: Address) -> BoundCertificate {
        let binding = CertificateBinding {
            subject: by,
            fingerprint: Fingerprint::of(b"certificate"),
            uri: "https://runs.example".into(),
            not_before_s: NOW_S - 10,
            not_after_s: NOW_S + 10,
            signature: Default::default(),
        };
        BoundCertificate { binding, revoked_from_block: None, signer: Some(by) }
    }

    /// Statuses of checks 4 and 5.
    fn judged(presented: &Reading<PresentedCertificate>, bindings: &[BoundCertificate]) -> (Status, Status) {
        let known = certificate_known(ISSUER, presented, bindings, NOW_S, "TLS");
        let linked = protocol_linked(ISSUER, presented, bindings, NOW_S, &known, "contract");
        (known.status, linked.status)
    }

    #[test]
    fn the_issuers_own_binding_passes_beside_a_strangers() {
        assert_eq!(judged(&presented(), &[bound(STRANGER), bound(ISSUER)]), (Status::Passed, Status::Passed));
    }

    #[test]
    fn certificate_that_nobody_bound_fails_check_4_only() {
        assert_eq!(judged(&presented(), &[]), (Status::Failed, Status::NotChecked));
    }

    #[test]
    fn certificate_bound_by_another_key_fails_check_5_only() {
        assert_eq!(judged(&presented(), &[bound(STRANGER)]), (Status::Passed, Status::Failed));
        let known = certificate_known(ISSUER, &presented(), &[bound(STRANGER)], NOW_S, "TLS");
        let linked = protocol_linked(ISSUER, &presented(), &[bound(STRANGER)], NOW_S, &known, "contract");
        assert_eq!((linked.expected, linked.found), (Some(ISSUER.to_string()), Some(STRANGER.to_string())));
    }

    #[test]
    fn signature_that_is_not_the_subjects_fails_check_5() {
        for signer in [Some(STRANGER), None] {
            let forged = BoundCertificate { signer, ..bound(ISSUER) };
            assert_eq!(judged(&presented(), &[forged]), (Status::Passed, Status::Failed));
        }
    }

    #[test]
    fn revoked_or_expired_binding_fails_check_4_even_beside_a_strangers() {
        let revoked = BoundCertificate { revoked_from_block: Some(9), ..bound(ISSUER) };
        let mut expired = bound(ISSUER);
        expired.binding.not_after_s = NOW_S - 1;
        for own in [revoked, expired] {
            assert_eq!(judged(&presented(), &[bound(STRANGER), own]), (Status::Failed, Status::NotChecked));
        }
    }

    #[test]
    fn state_is_judged_as_of_its_block_where_the_certificate_is_revoked() {
        let at = |block_number, bindings: &[BoundCertificate]| {
            trusted_when_registered(ISSUER, &presented(), bindings, NOW_S, block_number, "contract")
                .map(|finding| finding.status)
        };
        let revoked = [bound(STRANGER), BoundCertificate { revoked_from_block: Some(9), ..bound(ISSUER) }];
        assert_eq!(at(8, &revoked), Some(Status::Passed));
        assert_eq!(at(9, &revoked), Some(Status::Failed));
        assert_eq!(at(10, &revoked), Some(Status::Failed));
        assert_eq!(at(9, &[bound(ISSUER)]), None);
        assert_eq!(at(9, &[]), None);
    }

    #[test]
    fn expired_certificate_fails_check_4() {
        let old = presented().map(|certificate| PresentedCertificate { not_after_s: 1, ..certificate });
        assert_eq!(judged(&old, &[bound(ISSUER)]), (Status::Failed, Status::NotChecked));
    }

    #[test]
    fn silent_server_fails_nothing() {
        let silent = Reading::Unavailable("time-out".into());
        assert_eq!(judged(&silent, &[]), (Status::Unavailable, Status::Unavailable));
        let none = Reading::NotAsked("no site".into());
        assert_eq!(judged(&none, &[]), (Status::NotChecked, Status::NotChecked));
    }
}
