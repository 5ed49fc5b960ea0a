//! The tampering cases.

use alloy::primitives::{Address, B256};
use axum::http::StatusCode;
use runproof_protocol::{
    InstanceId, StateId,
    verdict::{Check, Status, Verdict},
};
use runproof_verifier::{VerifyError, render};

use crate::{
    issuer::{Account, Issuer, STATES},
    judged::{findings, flaws, only_failure, try_verdict, verdict},
    run,
};

#[test]
fn honest_run_passes_all_checks() {
    run(async {
        let issuer = Issuer::honest().await;
        let verdict = verdict(&issuer).await;
        assert_eq!(flaws(&verdict), [], "{verdict:#?}");
        assert_eq!(verdict.status(), Status::Passed);
        let seen: Vec<_> = verdict.states.iter().map(|state| (state.state, state.state_name.clone())).collect();
        let expected: Vec<_> = issuer.states.iter().map(|state| (state.id, Some(state.name.clone()))).collect();
        assert_eq!(seen, expected);
        assert!(Check::ALL.iter().all(|check| findings(&verdict).any(|(_, finding)| finding.check == *check)));
        let table = render::table(&verdict);
        for shown in ["S5", "Verdict: PASSED", &verdict.issuer.to_string(), &issuer.site.url] {
            assert!(table.contains(shown), "{shown}\n{table}");
        }
    });
}

#[test]
fn parent_that_the_document_names_and_the_issuer_never_registered() {
    run(async {
        let parent = InstanceId::of(b"parent");
        let issuer = Issuer::honest_child(parent).await;
        let (sequence, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!((sequence, finding.check), (None, Check::ModelAndInstanceExist));
        assert_eq!(finding.expected, Some(format!("instance {parent}")));

        issuer.register_instance(parent).await;
        let verdict = verdict(&issuer).await;
        assert_eq!(flaws(&verdict), [], "{verdict:#?}");
    });
}

#[test]
fn one_byte_of_a_state_file() {
    run(async {
        let issuer = Issuer::honest().await;
        let id = issuer.states[2].id;
        issuer.site.alter(&format!("{id}.json"), |bytes| bytes[5] ^= 1);
        let (sequence, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!((sequence, finding.check), (Some(2), Check::Content));
        assert_eq!(finding.expected, Some(id.to_string()));
    });
}

#[test]
fn model_bytes() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.site.alter(&format!("{}.json", issuer.model), |bytes| bytes.push(b' '));
        let (sequence, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!((sequence, finding.check), (None, Check::Content));
        assert_eq!(finding.expected, Some(issuer.model.to_string()));
    });
}

#[test]
fn row_dropped_added_or_reordered() {
    run(async {
        let issuer = Issuer::honest().await;
        let honest = std::cell::Cell::new(None);
        issuer.edit_protocol(|protocol| honest.set(Some(protocol.clone())));
        let honest = honest.take().expect("published");
        let mut dropped = honest.clone();
        dropped.instance_protocol.remove(3);
        let mut added = honest.clone();
        let mut row = honest.instance_protocol[STATES - 1].clone();
        (row.state_hash, row.sequence) = (StateId::of(b"never entered"), STATES as u64);
        added.instance_protocol.push(row);
        let mut reordered = honest.clone();
        reordered.instance_protocol.swap(1, 2);
        for (tampered, told) in [(dropped, "row 3 "), (added, "row 6 "), (reordered, "out of order")] {
            issuer.edit_protocol(|protocol| *protocol = tampered);
            let (_, finding) = only_failure(&verdict(&issuer).await, &[]);
            assert_eq!(finding.check, Check::Completeness);
            assert!(finding.detail.as_deref().is_some_and(|text| text.contains(told)), "{finding:#?}");
        }
    });
}

#[test]
fn another_certificate_on_the_site() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.site.change_certificate().await;
        let (_, finding) = only_failure(&verdict(&issuer).await, &[Check::ProtocolLinked]);
        assert_eq!(finding.check, Check::CertificateKnown);
    });
}

#[test]
fn certificate_revoked() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.revoke_certificate().await;
        let (_, finding) = only_failure(&verdict(&issuer).await, &[Check::ProtocolLinked]);
        assert_eq!(finding.check, Check::CertificateKnown);
        assert!(finding.found.is_some_and(|found| found.contains("revoked")));
    });
}

/// The account's key is lost or stolen: its guardian revokes all that was ever bound with it, since a block between two of the run's.
#[test]
fn certificates_revoked_by_the_guardian_since_a_block() {
    run(async {
        let issuer = Issuer::honest().await;
        let guardian = Account::new().await;
        issuer.set_guardian(&guardian).await;
        let since = verdict(&issuer).await.states[1].block_number;
        issuer.revoke(&guardian, B256::ZERO, since).await;
        let verdict = verdict(&issuer).await;
        let then = verdict.states.iter().map(|state| {
            let mut found = state.findings.iter().filter(|finding| finding.check == Check::CertificateKnown);
            (state.block_number < since, found.next().map(|finding| finding.status), found.next())
        });
        let then: Vec<_> = then.collect();
        assert!(then.iter().any(|(before, ..)| *before) && then.iter().any(|(before, ..)| !before), "{then:?}");
        for (before, status, more) in then {
            assert_eq!((status, more), (Some(if before { Status::Passed } else { Status::Failed }), None));
        }
        assert_eq!(verdict.status(), Status::Failed, "as of now it is revoked");
    });
}

#[test]
fn certificate_bound_by_another_key() {
    run(async {
        let issuer = Issuer::unbound().await;
        issuer.claim_name().await;
        issuer.point_name(&issuer.site.url).await;
        let other = Account::new().await;
        issuer.bind_certificate(&other, &other).await;
        let (_, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!(finding.check, Check::ProtocolLinked);
        assert_eq!(finding.expected, Some(issuer.account.address().to_string()));
        assert_eq!(finding.found, Some(other.address().to_string()));
    });
}

#[test]
fn strangers_binding_beside_the_issuers_changes_nothing() {
    run(async {
        let issuer = Issuer::honest().await;
        let stranger = Account::new().await;
        issuer.bind_certificate(&stranger, &stranger).await;
        assert_eq!(flaws(&verdict(&issuer).await), []);
    });
}

#[test]
fn name_pointing_elsewhere() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.point_name("https://elsewhere.example").await;
        let (_, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!(finding.check, Check::IssuerKnown);
        assert_eq!(finding.expected.as_deref(), Some(issuer.site.url.as_str()));
        assert_eq!(finding.found.as_deref(), Some("https://elsewhere.example"));

        issuer.point_name(&issuer.site.url).await;
        issuer.point_address(Address::repeat_byte(1)).await;
        let (_, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!(finding.check, Check::IssuerKnown);
        assert_eq!(finding.found, Some(Address::repeat_byte(1).to_string()));
    });
}

#[test]
fn reverse_record_missing() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.set_reverse("").await;
        let (_, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!((finding.check, finding.found), (Check::IssuerKnown, None));
    });
}

#[test]
fn run_registered_by_a_stranger() {
    run(async {
        let issuer = Issuer::honest().await;
        let stranger = Account::new().await;
        issuer.register(&stranger).await;
        let ambiguous = try_verdict(&issuer, None).await;
        let both = vec![issuer.account.address(), stranger.address()];
        assert!(matches!(&ambiguous, Err(VerifyError::Ambiguous { issuers, .. }) if *issuers == both), "{ambiguous:?}");
        let of_the_stranger = try_verdict(&issuer, Some(stranger.address())).await.expect("registered");
        let web = [Check::CertificateKnown, Check::ProtocolLinked, Check::Content, Check::Completeness];
        let (_, finding) = only_failure(&of_the_stranger, &web);
        assert_eq!(finding.check, Check::IssuerKnown);
        assert_eq!(flaws(&verdict(&issuer).await), [], "the issuer's own is as good as before");
    });
}

#[test]
fn long_run_is_read_from_its_trace() {
    run(async {
        let issuer = Issuer::honest_with(250).await;
        let trace = format!("{}/trace.json", issuer.instance);
        assert_eq!(flaws(&verdict(&issuer).await), []);
        let names = |verdict: &Verdict| verdict.states.iter().filter(|state| state.state_name.is_some()).count();
        assert_eq!(names(&verdict(&issuer).await), 250);

        // A state's bytes are in all later states too.
        let at: usize = issuer.states[..248].iter().map(|state| state.part.len()).sum();
        issuer.site.alter(&trace, |bytes| bytes[at + 40] ^= 1);
        let altered = verdict(&issuer).await;
        let failed = [Some(248), Some(249)].map(|sequence| (sequence, Check::Content, Status::Failed));
        assert_eq!(flaws(&altered), failed, "{:#?}", altered.states[248]);
        assert_eq!(names(&altered), 248);

        issuer.site.answer_with(&trace, StatusCode::NOT_FOUND);
        let missing = flaws(&verdict(&issuer).await);
        assert_eq!(missing.len(), 250);
        assert!(missing.iter().all(|(_, check, status)| (*check, *status) == (Check::Content, Status::Unavailable)));
    });
}

#[test]
fn run_that_nobody_registered() {
    run(async {
        let mut issuer = Issuer::honest().await;
        issuer.instance = runproof_protocol::InstanceId::of(b"never registered");
        for of in [None, Some(issuer.account.address())] {
            let refused = try_verdict(&issuer, of).await;
            assert!(matches!(refused, Err(VerifyError::UnknownInstance { .. })), "{refused:?}");
        }
    });
}
