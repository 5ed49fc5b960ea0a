//! Silence is not a lie: what does not answer is `unavailable`, and what says nothing gives no verdict.

use axum::http::StatusCode;
use runproof_protocol::verdict::{Check, Status, Verdict};
use runproof_verifier::{VerifyError, verify};

use crate::{
    issuer::{Issuer, STATES},
    judged::{flaws, verdict},
    run, stack,
};

/// The four checks that read the site are unavailable, all others passed.
fn assert_site_is_unavailable(verdict: &Verdict) {
    let flaws = flaws(verdict);
    assert!(flaws.iter().all(|(_, _, status)| *status == Status::Unavailable), "{flaws:?}");
    for check in [Check::CertificateKnown, Check::ProtocolLinked, Check::Content, Check::Completeness] {
        assert!(flaws.iter().any(|(_, found, _)| *found == check), "{check:?}: {flaws:?}");
    }
    // Two documents, one certificate, one binding, one protocol, and each state's document.
    assert_eq!(flaws.len(), 5 + STATES);
    assert_eq!(verdict.status(), Status::Unavailable);
}

#[test]
fn site_down() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.site.stop();
        assert_site_is_unavailable(&verdict(&issuer).await);
    });
}

#[test]
fn site_broken_or_mute() {
    run(async {
        let issuer = Issuer::honest().await;
        issuer.site.answer_with(&issuer.protocol_path(), StatusCode::SERVICE_UNAVAILABLE);
        assert_site_is_unavailable(&verdict(&issuer).await);
        issuer.site.never_answer(&issuer.protocol_path());
        assert_site_is_unavailable(&verdict(&issuer).await);
    });
}

#[test]
fn one_document_missing() {
    run(async {
        let issuer = Issuer::honest().await;
        for status in [StatusCode::NOT_FOUND, StatusCode::FOUND] {
            issuer.site.answer_with(&format!("{}.json", issuer.states[4].id), status);
            assert_eq!(flaws(&verdict(&issuer).await), [(Some(4), Check::Content, Status::Unavailable)]);
        }
        issuer.site.answer_with(&issuer.protocol_path(), StatusCode::NOT_FOUND);
        let flaws = flaws(&verdict(&issuer).await);
        assert!(flaws.contains(&(None, Check::Completeness, Status::Unavailable)), "{flaws:?}");
        assert_eq!(flaws.len(), 2);
    });
}

#[test]
fn document_without_end() {
    run(async {
        let issuer = Issuer::honest().await;
        let url = stack().await.chain().expect("started").http_url();
        let mut settings = issuer.settings(url);
        settings.max_document_bytes = 100_000;
        issuer.site.alter(&format!("{}.json", issuer.model), |bytes| bytes.resize(200_000, b' '));
        let verdict = verify(&settings, None, issuer.instance).await.expect("the node answers");
        assert_eq!(flaws(&verdict), [(None, Check::Content, Status::Unavailable)]);
    });
}

#[test]
fn private_address_is_not_called() {
    run(async {
        let issuer = Issuer::honest().await;
        let url = stack().await.chain().expect("started").http_url();
        let mut settings = issuer.settings(url);
        settings.allow_private_addresses = false;
        let verdict = verify(&settings, None, issuer.instance).await.expect("the node answers");
        assert_site_is_unavailable(&verdict);
    });
}

#[test]
fn node_down_gives_no_verdict() {
    run(async {
        let issuer = Issuer::honest().await;
        let settings = issuer.settings("http://127.0.0.1:1/secret-key".into());
        let refused = verify(&settings, None, issuer.instance).await.expect_err("no node");
        assert!(matches!(refused, VerifyError::Node { .. }), "{refused:?}");
        assert!(!refused.to_string().contains("secret-key"), "{refused}");
    });
}
