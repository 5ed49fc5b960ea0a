//! Subscriptions: first what was, then what comes, each entry once.

use serde_json::{Value, json};

use crate::{
    journal::{address_text, text},
    served::{hear, say, served},
};

const EVENTS: &str = "position kind retraction { position reason } sequence watermark { position }";

fn event(frame: &Value) -> &Value {
    assert_eq!(frame["type"], "next", "{frame}");
    &frame["payload"]["data"]["events"]
}

#[tokio::test]
async fn replay_goes_over_to_live_without_gap_or_repetition() {
    let served = served().await;
    served.journal.instance("alice", "run", "etl").await;
    for sequence in 0..600 {
        served.journal.state("alice", "run", sequence).await;
    }
    let mut socket = served.subscribe(&format!("subscription {{ events(after: 1) {{ {EVENTS} }} }}")).await;
    let writing = async {
        for sequence in 600..650 {
            served.journal.state("alice", "run", sequence).await;
        }
        served.journal.retract(651).await;
    };
    let reading = async {
        for position in 2..=651_i64 {
            let frame = hear(&mut socket).await;
            assert_eq!(event(&frame)["position"], position);
            assert_eq!(event(&frame)["sequence"], position - 2);
            assert!(event(&frame)["watermark"]["position"].as_i64() >= Some(position));
        }
        let retraction = hear(&mut socket).await;
        assert_eq!(event(&retraction)["position"], 652);
        assert_eq!(event(&retraction)["retraction"], json!({ "position": 651, "reason": "reorganisation" }));
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn subscriptions_are_narrowed() {
    let served = served().await;
    served.journal.instance("alice", "one", "etl").await;
    served.journal.instance("alice", "two", "other").await;
    served.journal.state("alice", "one", 0).await;
    served.journal.state("alice", "two", 0).await;
    served.journal.model("bob", "third").await;
    for (arguments, expected) in [
        (format!("after: 0, instance: \"{}\"", text("two")), vec![2, 4]),
        (format!("after: 0, model: \"{}\"", text("etl")), vec![1, 3]),
        (format!("after: 0, issuer: \"{}\"", address_text("bob")), vec![5]),
        (format!("after: 2, issuer: \"{}\"", address_text("alice")), vec![3, 4]),
    ] {
        let mut socket = served.subscribe(&format!("subscription {{ events({arguments}) {{ {EVENTS} }} }}")).await;
        for position in expected {
            assert_eq!(event(&hear(&mut socket).await)["position"], position, "{arguments}");
        }
    }
}

#[tokio::test]
async fn what_becomes_final_is_told_to_narrowed_subscriptions_too() {
    let served = served().await;
    served.journal.instance("alice", "run", "etl").await;
    served.journal.model("bob", "other").await;
    let lost = served.journal.state("alice", "run", 0).await;
    served.journal.retract(lost).await;
    served.journal.promote("finalized", 2).await;
    let asked = "position kind finality issuer transactionHash block { number }";
    let query = format!("subscription {{ events(after: 0, instance: \"{}\") {{ {asked} }} }}", text("run"));
    // Else entry 1 may be told as it was before, and the promotion after it.
    let known = served.post().header("runproof-wait-for-position", "5").json(&json!({ "query": "{ __typename }" }));
    known.send().await.expect("an answer");
    let mut socket = served.subscribe(&query).await;
    let mut heard = Vec::new();
    for _ in 0..4 {
        let frame = hear(&mut socket).await;
        heard.push((event(&frame)["position"].clone(), event(&frame)["finality"].clone()));
        if event(&frame)["kind"] == "BLOCK_FINALIZED" {
            assert_eq!((&event(&frame)["issuer"], &event(&frame)["transactionHash"]), (&Value::Null, &Value::Null));
            assert_eq!(event(&frame)["block"], json!({ "number": 2 }));
        }
    }
    let (finalized, taken_back) = (json!("FINALIZED"), Value::Null);
    let expected = [(1, &finalized), (3, &taken_back), (4, &taken_back), (5, &finalized)];
    assert_eq!(heard, expected.map(|(position, finality)| (json!(position), finality.clone())));
}

#[tokio::test]
async fn a_changed_verdict_is_told() {
    let served = served().await;
    served.journal.instance("alice", "run", "etl").await;
    served.journal.state("alice", "run", 0).await;
    served.journal.judge("alice", "run", "etl", &[(0, "Read")], "unavailable").await;
    let query = "subscription { verdicts(after: 0) { status revision instance { states { nodes { stateName verdict { status } } } } } }";
    let mut socket = served.subscribe(query).await;
    let before = hear(&mut socket).await;
    assert_eq!(before["payload"]["data"]["verdicts"]["status"], "UNAVAILABLE");
    served.journal.judge("alice", "run", "etl", &[(0, "Read")], "passed").await;
    let after = hear(&mut socket).await["payload"]["data"]["verdicts"].take();
    assert_eq!(after["status"], "PASSED");
    assert_eq!(
        after["instance"]["states"]["nodes"],
        json!([{ "stateName": "Read", "verdict": { "status": "PASSED" } }])
    );
}

#[tokio::test]
async fn a_completed_subscription_is_silent_and_its_id_free_again() {
    let served = served().await;
    let mut socket = served.subscribe(&format!("subscription {{ events(after: 0) {{ {EVENTS} }} }}")).await;
    served.journal.model("alice", "one").await;
    assert_eq!(event(&hear(&mut socket).await)["position"], 1);
    say(&mut socket, json!({ "type": "complete", "id": "1" })).await;
    served.journal.model("alice", "two").await;
    say(&mut socket, json!({ "type": "subscribe", "id": "1", "payload": { "query": "{ watermark { position } }" } }))
        .await;
    assert_eq!(hear(&mut socket).await["payload"]["data"]["watermark"]["position"], 2);
    assert_eq!(hear(&mut socket).await, json!({ "type": "complete", "id": "1" }));
}
