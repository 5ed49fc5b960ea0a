//! Questions and their answers.

use serde_json::{Value, json};

use crate::{
    journal::{address_text, text, timestamp_s},
    served::served,
};

fn values(answer: &Value, list: &str, field: &str) -> Vec<Value> {
    answer[list]["nodes"].as_array().expect("a list").iter().map(|node| node[field].clone()).collect()
}

#[tokio::test]
async fn a_run_is_told_with_model_states_verdict_and_end() {
    let served = served().await;
    served.journal.model("alice", "etl").await;
    served.journal.instance("alice", "run", "etl").await;
    served.journal.state("alice", "run", 0).await;
    served.journal.state("alice", "run", 1).await;
    served.journal.judge("alice", "run", "etl", &[(0, "Read"), (1, "Write")], "failed").await;
    served.journal.terminated("alice", "run", 2).await;

    let query = format!(
        "{{ instance(issuer: \"{}\", id: \"0x{}\") {{ model {{ modelId }} stateCount termination {{ outcome count }}
            verdict {{ status engine findings {{ check }} }}
            states {{ nodes {{ stateName enteredAtMs predecessor {{ sequence }} instance {{ instanceId }} block {{ number timestampS }} finality
                verdict {{ status findings {{ check meaning status expected found source detail }} }} }} }} }} }}",
        address_text("alice"),
        text("run").to_uppercase()
    );
    let instance = served.data(&query).await["instance"].take();
    assert_eq!(instance["model"]["modelId"], text("etl"));
    assert_eq!(instance["termination"], json!({ "outcome": "SUCCEEDED", "count": 2 }));
    assert_eq!(instance["stateCount"], 2);
    assert_eq!(
        instance["verdict"],
        json!({ "status": "FAILED", "engine": "aws-step-functions", "findings": [{ "check": "COMPLETENESS" }] })
    );
    let last = &instance["states"]["nodes"][1];
    assert_eq!(last["stateName"], "Write");
    assert_eq!(last["enteredAtMs"], 1_700_000_000_123_i64);
    assert_eq!(last["predecessor"]["sequence"], 0);
    assert_eq!(last["instance"]["instanceId"], text("run"));
    assert_eq!(last["block"], json!({ "number": 4, "timestampS": timestamp_s(4) }));
    let checks: Vec<_> =
        last["verdict"]["findings"].as_array().expect("a list").iter().map(|finding| &finding["check"]).collect();
    assert_eq!(checks, ["CONTENT", "COMPLETENESS"]);
    assert_eq!(last["verdict"]["findings"][0]["expected"], "<b>1</b>");
}

#[tokio::test]
async fn lists_are_narrowed() {
    let served = served().await;
    served.journal.model("alice", "etl").await;
    served.journal.model("bob", "etl").await;
    for (issuer, run) in [("alice", "one"), ("alice", "two"), ("bob", "three")] {
        served.journal.instance(issuer, run, "etl").await;
        served.journal.state(issuer, run, 0).await;
    }
    served.journal.terminated("alice", "one", 1).await;
    served.journal.judge("alice", "one", "etl", &[(0, "Read")], "passed").await;
    served.journal.judge("bob", "three", "etl", &[(0, "Read")], "unavailable").await;

    for (filter, expected) in [
        ("".to_owned(), vec!["one", "two", "three"]),
        ("running: true".to_owned(), vec!["two", "three"]),
        ("running: false".to_owned(), vec!["one"]),
        (format!("issuer: \"{}\"", address_text("alice")), vec!["one", "two"]),
        (format!("instance: \"{}\"", text("two")), vec!["two"]),
        ("verdict: PASSED".to_owned(), vec!["one"]),
        ("verdict: NOT_CHECKED".to_owned(), vec!["two"]),
        ("verdict: UNAVAILABLE".to_owned(), vec!["three"]),
        ("blockNumber: { from: 4, to: 5 }".to_owned(), vec!["two"]),
        (format!("blockTimestampS: {{ from: {} }}", timestamp_s(6)), vec!["three"]),
        (format!("model: \"{}\"", text("other")), vec![]),
    ] {
        let expected: Vec<Value> = expected.into_iter().map(|run| text(run).into()).collect();
        for list in ["instances", "states"] {
            if list == "states" && (filter.contains("running") || filter.contains("block")) {
                continue;
            }
            let answer =
                served.data(&format!("{{ {list}(filter: {{ {filter} }}) {{ nodes {{ instanceId }} }} }}")).await;
            assert_eq!(values(&answer, list, "instanceId"), expected, "{list} {filter}");
        }
    }
    let clients = served.data("{ clients { nodes { address instances states } } }").await;
    assert_eq!(clients["clients"]["nodes"].as_array().expect("a list").len(), 2);
}

#[tokio::test]
async fn pages_do_not_shift_while_the_journal_grows_and_shrinks() {
    let served = served().await;
    served.journal.instance("alice", "run", "etl").await;
    for sequence in 0..7 {
        served.journal.state("alice", "run", sequence).await;
    }
    let first = served
        .data("{ states(first: 3) { nodes { sequence } asOf pageInfo { endCursor hasNextPage } } }")
        .await["states"]
        .take();
    assert_eq!(first["pageInfo"]["hasNextPage"], true);
    served.journal.state("alice", "run", 7).await;
    served.journal.retract(7).await;

    let (as_of, cursor) = (&first["asOf"], &first["pageInfo"]["endCursor"]);
    let rest = served
        .data(&format!(
            "{{ states(asOf: {as_of}, after: {cursor}) {{ nodes {{ sequence }} pageInfo {{ hasNextPage }} }} }}"
        ))
        .await;
    assert_eq!(values(&rest, "states", "sequence"), [3, 4, 5, 6].map(Value::from));
    assert_eq!(rest["states"]["pageInfo"]["hasNextPage"], false);
    let now = served.data("{ states(last: 3) { nodes { sequence } pageInfo { hasPreviousPage } } }").await;
    assert_eq!(values(&now, "states", "sequence"), [4, 6, 7].map(Value::from));
    assert_eq!(now["states"]["pageInfo"]["hasPreviousPage"], true);
}

#[tokio::test]
async fn finality_is_told_as_of_the_answers_position() {
    let served = served().await;
    served.journal.instance("alice", "run", "etl").await;
    served.journal.state("alice", "run", 0).await;
    served.journal.state("alice", "run", 1).await;
    served.journal.promote("safe", 2).await;
    served.journal.promote("finalized", 1).await;
    let lost = served.journal.promote("safe", 3).await;
    served.journal.retract(lost).await;
    let list = "{ nodes { sequence finality instance { finality } } }";
    for (arguments, [run, first, second]) in [
        ("(asOf: 3)", ["INCLUDED", "INCLUDED", "INCLUDED"]),
        ("(asOf: 4)", ["SAFE", "SAFE", "INCLUDED"]),
        ("(asOf: 5)", ["FINALIZED", "SAFE", "INCLUDED"]),
        ("(asOf: 6)", ["FINALIZED", "SAFE", "SAFE"]),
        ("", ["FINALIZED", "SAFE", "INCLUDED"]),
    ] {
        let answer = served.data(&format!("{{ states{arguments} {list} }}")).await;
        let state = |sequence: i64, finality: &str| json!({ "sequence": sequence, "finality": finality, "instance": { "finality": run } });
        assert_eq!(answer["states"]["nodes"], json!([state(0, first), state(1, second)]), "{arguments}");
    }
}

#[tokio::test]
async fn an_answer_waits_for_a_position() {
    let served = served().await;
    let asked = served
        .post()
        .header("runproof-wait-for-position", "2")
        .json(&json!({ "query": "{ watermark { position blockNumber } }" }))
        .send();
    let registered = async {
        served.journal.model("alice", "etl").await;
        served.journal.model("alice", "other").await;
    };
    let (answer, ()) = tokio::join!(asked, registered);
    let answer: Value = answer.expect("an answer").json().await.expect("JSON");
    assert_eq!(answer["data"]["watermark"], json!({ "position": 2, "blockNumber": 2 }));
    assert_eq!(answer["extensions"]["position"], 2);
}
