//! Runs that do not end by themselves are sealed with how they ended, and verified; and branches that run at once know where they came from.

use std::collections::BTreeMap;

use runproof_protocol::{documents::InstanceProtocol, head::Outcome};
use serde_json::{Value, json};

use crate::{
    crash::{ended, everything_agrees, slow_model},
    harness::{self, World, eventually},
    step_functions::call,
};

/// A run of this model, followed; its ARN.
async fn started(world: &World, model: &str, input: &Value) -> String {
    let model = world.file("model.asl.json", model);
    world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
    let input = world.file("input.json", input.to_string());
    let told = world.runproof(&["run", &world.name, "--input", &input.to_string_lossy()]).await;
    told.split_whitespace().find(|word| word.contains(":execution:")).expect("an ARN").to_owned()
}

/// The protocol of the run, which has ended and verifies.
async fn protocol(world: &World) -> InstanceProtocol {
    let instance = ended(world).await;
    everything_agrees(world, instance).await;
    let (verdict, passed) = world.verify(instance, &[]).await;
    assert!(passed, "{verdict:#?}");
    let url = format!("{}/{instance}.json", world.site_url);
    world.http().get(url).send().await.expect("an answer").json().await.expect("a protocol")
}

/// How the run ended by its seal, and the type of its last event.
async fn end(world: &World) -> (Outcome, Option<String>) {
    let protocol = protocol(world).await;
    let url = protocol.events_data.expect("it was followed");
    let events: Vec<Value> = world.http().get(url).send().await.expect("an answer").json().await.expect("events");
    let last = events.last().and_then(|event| event["type"].as_str()).map(str::to_owned);
    (protocol.termination.expect("it ended").outcome, last)
}

#[test]
fn a_run_that_is_stopped_is_sealed_as_aborted() {
    harness::run(async {
        let world = World::new().await;
        let _roles = ["site", "index", "serve", "follow"].map(|role| world.start(&[role]));
        let execution = started(&world, &slow_model(60), &json!({})).await;
        eventually("some states are captured", async || {
            let sql = "select count(*) from executor.state";
            let captured: i64 = sqlx::query_scalar(sql).fetch_one(&world.pool).await.expect("a number");
            (captured > 1).then_some(())
        })
        .await;
        call("StopExecution", json!({"executionArn": execution, "error": "Enough", "cause": "a person stopped it"}))
            .await;
        assert_eq!(end(&world).await, (Outcome::Aborted, Some("ExecutionAborted".into())));
    });
}

#[test]
fn a_run_that_takes_too_long_is_sealed_as_timed_out() {
    harness::run(async {
        let world = World::new().await;
        let _roles = ["site", "index", "serve", "follow"].map(|role| world.start(&[role]));
        let mut model: Value = serde_json::from_str(&slow_model(60)).expect("JSON");
        model["TimeoutSeconds"] = json!(3);
        started(&world, &model.to_string(), &json!({})).await;
        assert_eq!(end(&world).await, (Outcome::TimedOut, Some("ExecutionTimedOut".into())));
    });
}

/// Items of the Map, all at work at once.
const ITEMS: u64 = 6;

/// Each iteration waits as long as its item says, so that they overtake each other.
fn concurrent_map() -> String {
    let iteration = json!({"StartAt": "Wash", "States": {
        "Wash": {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "Dry"},
        "Dry": {"Type": "Wait", "SecondsPath": "$.seconds", "Next": "Fold"},
        "Fold": {"Type": "Pass", "End": true}}});
    let each = json!({"Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": ITEMS, "ItemProcessor": iteration, "Next": "Done"});
    json!({"StartAt": "Each", "States": {"Each": each, "Done": {"Type": "Succeed"}}}).to_string()
}

#[test]
fn states_of_iterations_that_run_at_once_follow_those_of_their_own() {
    harness::run(async {
        let world = World::new().await;
        let _roles = ["site", "index", "serve", "follow"].map(|role| world.start(&[role]));
        // None is done before all have begun: whoever works for the emulator on two items tells that one came after the other.
        let items: Vec<Value> = (0..ITEMS).map(|item| json!({"item": item, "seconds": 1 + (item * 2) % 3})).collect();
        started(&world, &concurrent_map(), &json!({"items": items})).await;
        let protocol = protocol(&world).await;
        let trace = world.http().get(&protocol.trace_data).send().await.expect("an answer");
        let trace: Vec<Value> = trace.json().await.expect("a trace");

        let mut places: BTreeMap<(u64, &str), u32> = BTreeMap::new();
        let mut overtook = false;
        for (row, entry) in protocol.instance_protocol.iter().zip(&trace) {
            let input: Value = serde_json::from_str(entry["task_input"].as_str().expect("an input")).expect("JSON");
            let Some(item) = input["item"].as_u64() else { continue };
            let before = match row.state_name.as_str() {
                "Wash" => Some(0),
                "Dry" => places.get(&(item, "Wash")).copied(),
                _ => places.get(&(item, "Dry")).copied(),
            };
            assert_eq!(row.predecessor, before, "{} of item {item}", row.state_name);
            let place = u32::try_from(row.sequence).expect("few");
            overtook |= row.predecessor != place.checked_sub(1);
            places.insert((item, entry["state_name"].as_str().expect("a name")), place);
        }
        assert_eq!(places.len() as u64, 3 * ITEMS);
        assert!(overtook, "or it shows nothing: {places:?}");
    });
}
