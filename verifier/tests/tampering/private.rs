//! A private run: its trace commits to inputs, and what is disclosed of them later is held against that.

use axum::http::StatusCode;
use runproof_protocol::{
    commitment::Disclosure,
    verdict::{Check, InputSeen, Status, Verdict},
};
use runproof_verifier::render;

use crate::{
    issuer::{INPUT, Issuer, SALT},
    judged::{flaws, only_failure, verdict},
    run,
};

/// Of which state the input is disclosed.
const PLACE: usize = 2;

fn path(issuer: &Issuer) -> String {
    format!("{}/disclosures/{PLACE}.json", issuer.instance)
}

/// The protocol says that it is disclosed, and this is what.
fn disclose(issuer: &Issuer, change: impl FnOnce(&mut Disclosure)) {
    let (instance, sequence, state) = (issuer.instance, PLACE as u64, issuer.states[PLACE].id);
    let mut disclosure = Disclosure { instance, sequence, state, salt: SALT, input: INPUT.into() };
    change(&mut disclosure);
    issuer.site.publish(path(issuer), serde_json::to_vec(&disclosure).expect("JSON"));
    let url = format!("{}/{}", issuer.site.url, path(issuer));
    issuer.edit_protocol(|protocol| protocol.instance_protocol[PLACE].input_data = Some(url));
}

fn inputs(verdict: &Verdict) -> Vec<Option<InputSeen>> {
    verdict.states.iter().map(|state| state.input).collect()
}

#[test]
fn a_private_run_passes_with_nothing_disclosed_and_with_what_is() {
    run(async {
        let issuer = Issuer::honest_and_private().await;
        let mut expected = vec![Some(InputSeen::Committed); issuer.states.len()];
        let closed = verdict(&issuer).await;
        assert_eq!((flaws(&closed), inputs(&closed)), (vec![], expected.clone()), "{closed:#?}");
        assert!(render::table(&closed).contains("6 committed to, 0 disclosed"));

        disclose(&issuer, |_| {});
        let opened = verdict(&issuer).await;
        expected[PLACE] = Some(InputSeen::Disclosed);
        assert_eq!((flaws(&opened), inputs(&opened)), (vec![], expected), "{opened:#?}");
        assert!(render::table(&opened).contains("5 committed to, 1 disclosed"));
        assert!(opened.states[PLACE].findings.iter().any(|finding| finding.source.ends_with(&path(&issuer))));
    });
}

#[test]
fn a_disclosure_that_is_not_what_was_committed_to_fails() {
    run(async {
        let issuer = Issuer::honest_and_private().await;
        let changes: [fn(&mut Disclosure); 4] = [
            |told| told.input.push(' '),
            |told| told.salt.0[31] ^= 1,
            |told| told.sequence += 1,
            |told| told.state = runproof_protocol::StateId::of(b"another"),
        ];
        for change in changes {
            disclose(&issuer, change);
            let verdict = verdict(&issuer).await;
            let (sequence, finding) = only_failure(&verdict, &[]);
            assert_eq!((sequence, finding.check), (Some(PLACE as u64), Check::Content));
            assert_eq!(verdict.states[PLACE].input, Some(InputSeen::Committed));
        }
        issuer.site.alter(&path(&issuer), |bytes| bytes.truncate(9));
        let (sequence, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!((sequence, finding.check), (Some(PLACE as u64), Check::Content));
    });
}

#[test]
fn a_disclosure_that_is_not_served_is_unavailable() {
    run(async {
        let issuer = Issuer::honest_and_private().await;
        disclose(&issuer, |_| {});
        issuer.site.answer_with(&path(&issuer), StatusCode::NOT_FOUND);
        let verdict = verdict(&issuer).await;
        assert_eq!(flaws(&verdict), [(Some(PLACE as u64), Check::Content, Status::Unavailable)], "{verdict:#?}");
    });
}

#[test]
fn a_published_input_cannot_be_disclosed() {
    run(async {
        let issuer = Issuer::honest().await;
        assert!(inputs(&verdict(&issuer).await).iter().all(|input| *input == Some(InputSeen::Published)));
        disclose(&issuer, |_| {});
        let (sequence, finding) = only_failure(&verdict(&issuer).await, &[]);
        assert_eq!((sequence, finding.check), (Some(PLACE as u64), Check::Content));
    });
}
