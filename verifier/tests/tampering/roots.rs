//! States of which the chain tells the root alone: the site's leaves are held against it.

use axum::http::StatusCode;
use runproof_protocol::{
    StateId,
    documents::Leaves,
    verdict::{Check, Status, Verdict},
};

use crate::{
    issuer::{Issuer, STATES},
    judged::{flaws, only_failure, verdict},
    run,
};

fn known(verdict: &Verdict) -> Vec<u64> {
    verdict.states.iter().map(|state| state.sequence).collect()
}

#[test]
fn honest_leaves_pass_all_checks() {
    run(async {
        let issuer = Issuer::honest_by_root().await;
        let verdict = verdict(&issuer).await;
        assert_eq!(flaws(&verdict), [], "{verdict:#?}");
        let seen: Vec<_> = verdict.states.iter().map(|state| (state.state, state.state_name.clone())).collect();
        let expected: Vec<_> = issuer.states.iter().map(|state| (state.id, Some(state.name.clone()))).collect();
        assert_eq!(seen, expected);
    });
}

#[test]
fn leaf_withheld() {
    run(async {
        let issuer = Issuer::honest_by_root().await;
        let missing = async || {
            let verdict = verdict(&issuer).await;
            assert_eq!(flaws(&verdict), [(None, Check::Content, Status::Unavailable)], "{verdict:#?}");
            assert_eq!((verdict.status(), known(&verdict)), (Status::Unavailable, vec![0, 4, 5]));
        };
        issuer.edit_leaves(|leaves| leaves.states[1] = None);
        missing().await;
        issuer.edit_leaves(|leaves| leaves.states.truncate(1));
        missing().await;
        issuer.site.answer_with(&issuer.leaves_path(), StatusCode::NOT_FOUND);
        missing().await;
        // The other states' documents are judged as ever, and a dropped row is a dropped row.
        issuer.site.answer_with(&format!("{}.json", issuer.states[4].id), StatusCode::NOT_FOUND);
        issuer.edit_protocol(|protocol| drop(protocol.instance_protocol.remove(2)));
        let flaws = flaws(&verdict(&issuer).await);
        let expected = [
            (None, Check::Content, Status::Unavailable),
            (None, Check::Completeness, Status::Failed),
            (Some(4), Check::Content, Status::Unavailable),
        ];
        assert_eq!(flaws, expected);
    });
}

#[test]
fn leaf_altered() {
    run(async {
        let issuer = Issuer::honest_by_root().await;
        let mut honest = None;
        issuer.edit_leaves(|leaves| honest = Some(leaves.clone()));
        let honest = honest.expect("published");
        let tampered: [fn(&mut Leaves); 4] = [
            |leaves| leaves.states[1] = Some(StateId::of(b"never entered")),
            |leaves| leaves.states.swap(0, 1),
            |leaves| leaves.states.push(leaves.states[0]),
            |leaves| leaves.predecessors = vec![Some(0); 3],
        ];
        for tamper in tampered {
            issuer.edit_leaves(|leaves| {
                *leaves = honest.clone();
                tamper(leaves);
            });
            let verdict = verdict(&issuer).await;
            let (sequence, finding) = only_failure(&verdict, &[]);
            assert_eq!((sequence, finding.check), (None, Check::Content));
            assert!(finding.source.ends_with(&issuer.leaves_path()), "{finding:#?}");
            assert_eq!(known(&verdict), [0, 4, 5]);
        }
        issuer.site.alter(&issuer.leaves_path(), Vec::clear);
        only_failure(&verdict(&issuer).await, &[]);
        issuer.publish_leaves(&honest);
        assert_eq!(known(&verdict(&issuer).await).len(), STATES);
    });
}
