//! The trace's companion document: what the trace leaves out of a real run (a failed attempt and its retry, a failure that is caught, exits), in the clear or committed to.

use runproof_protocol::{
    InstanceId,
    commitment::{Commitment, EventDisclosure},
    id::sha256,
};
use serde_json::{Value, json};

use crate::{
    crash::ended,
    harness::{self, Role, World},
    masked::mask,
};

const ACCOUNT: &str = "123456789012";
const THROTTLED: &str = "Lambda.TooManyRequestsException";

/// A task that is throttled once and tried again, and one whose failure is caught.
fn model() -> String {
    let transform = |rest: Value| {
        let mut task = json!({"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "ResultPath": "$.result", "Parameters": {
            "FunctionName": format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:transform"), "Payload": {"body.$": "$.order"}}});
        task.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        task
    };
    let retry = json!([{"ErrorEquals": [THROTTLED], "IntervalSeconds": 1, "MaxAttempts": 2}]);
    let catch = json!([{"ErrorEquals": ["States.ALL"], "ResultPath": "$.failure", "Next": "Done"}]);
    let malformed = json!({"Catch": catch, "Next": "Done", "Parameters": {
        "FunctionName": format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:transform"), "Payload": {"body": "no order"}}});
    json!({"StartAt": "Transform", "States": {
        "Transform": transform(json!({"Retry": retry, "Next": "Fail and go on"})),
        "Fail and go on": transform(malformed),
        "Done": {"Type": "Succeed"}}})
    .to_string()
}

/// A world in which such a run has ended.
async fn run(arguments: &[&str]) -> (World, Vec<Role>, InstanceId, String) {
    let world = World::new().await;
    mask(&world);
    let model = world.file("model.asl.json", model());
    world.runproof(&[&["deploy", &model.to_string_lossy(), "--name", &world.name], arguments].concat()).await;
    let customer = format!("customer of {}", world.name);
    let order = json!({"order_id": world.name, "customer": customer, "items": [], "throttle_once": true}).to_string();
    let input = world.file("input.json", json!({"order": order, "account": ACCOUNT}).to_string());
    world.runproof(&["run", &world.name, "--input", &input.to_string_lossy()]).await;
    let roles = ["site", "index", "follow"].map(|role| world.start(&[role])).into();
    let instance = ended(&world).await;
    (world, roles, instance, customer)
}

async fn text(world: &World, path: &str) -> String {
    let answer = world.http().get(format!("{}/{path}", world.site_url)).send().await.expect("an answer");
    assert_eq!(answer.status(), 200, "{path}");
    answer.text().await.expect("text")
}

/// The document and its events, once the protocol tells its hash.
async fn document(world: &World, instance: InstanceId) -> (String, Vec<Value>) {
    let document = text(world, &format!("{instance}/events.json")).await;
    let protocol: Value = serde_json::from_str(&text(world, &format!("{instance}.json")).await).expect("JSON");
    assert_eq!(protocol["events_data"], json!(format!("{}/{instance}/events.json", world.site_url)));
    assert_eq!(protocol["events_hash"], json!(hex::encode(sha256(document.as_bytes()))));
    let events: Vec<Value> = serde_json::from_str(&document).expect("JSON");
    let ids: Vec<u64> = events.iter().filter_map(|event| event["id"].as_u64()).collect();
    assert!(ids.iter().copied().eq(1..=events.len() as u64), "{ids:?}");
    (document, events)
}

fn of_type<'a>(events: &'a [Value], event_type: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["type"] == event_type).collect()
}

#[test]
fn failed_attempts_retries_and_exits_are_published() {
    harness::run(async {
        let (world, _roles, instance, customer) = run(&[]).await;
        let (document, events) = document(&world, instance).await;
        let [throttled, malformed] = of_type(&events, "TaskFailed")[..] else { panic!("{events:#?}") };
        assert_eq!((&throttled["error"], &throttled["resource"]), (&json!(THROTTLED), &json!("invoke")));
        assert!(throttled["cause"].as_str().is_some_and(|cause| cause.contains("Rate exceeded")), "{throttled}");
        let entered = of_type(&events, "TaskStateEntered");
        assert_eq!((&throttled["entered"], &malformed["entered"]), (&entered[0]["id"], &entered[1]["id"]));
        let retry = of_type(&events, "TaskScheduled")[1];
        assert_eq!((&retry["previous_id"], &retry["entered"]), (&throttled["id"], &entered[0]["id"]), "a retry");

        let succeeded = of_type(&events, "TaskSucceeded");
        assert_eq!(succeeded.len(), 1);
        assert!(succeeded[0]["output"].as_str().is_some_and(|output| output.contains(&customer)), "{succeeded:?}");
        assert_eq!(malformed["error"], "MalformedOrder");
        let caught = of_type(&events, "TaskStateExited")[1];
        assert_eq!((&caught["state_name"], &caught["entered"]), (&json!("Fail and go on"), &entered[1]["id"]));
        assert!(caught["output"].as_str().is_some_and(|output| output.contains("MalformedOrder")), "{caught}");
        assert_eq!(of_type(&events, "ExecutionSucceeded").len(), 1);
        assert!(document.contains("000000000000") && !document.contains(ACCOUNT), "{document}");
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
    });
}

#[test]
fn of_a_private_run_they_are_committed_to_and_told_to_whom_one_chooses() {
    harness::run(async {
        let (world, _roles, instance, customer) = run(&["--privacy", "committed"]).await;
        let (document, events) = document(&world, instance).await;
        for plain in [&customer, THROTTLED, "MalformedOrder", "Rate exceeded", ACCOUNT] {
            assert!(!document.contains(plain), "{plain}: {document}");
        }
        let texts = ["output", "error", "cause"];
        let told: Vec<&str> =
            events.iter().flat_map(|event| texts.map(|text| event[text].as_str())).flatten().collect();
        assert!(told.len() > 8 && told.iter().all(|text| Commitment::read(text).is_some()), "{told:?}");

        let failed = of_type(&events, "TaskFailed")[0];
        let (id, event) = (instance.to_string(), failed["id"].to_string());
        let printed = world.runproof(&["disclose", &id, "--event", &event]).await;
        let EventDisclosure { openings, .. } = serde_json::from_str(&printed).expect("JSON");
        assert_eq!((openings.len(), openings[0].data.as_str()), (2, THROTTLED));
        for opening in openings {
            let commitment = Commitment::to(opening.data.as_bytes(), opening.salt).to_string();
            assert_eq!(failed[&opening.field], json!(commitment));
        }
        let (again, _) = self::document(&world, instance).await;
        assert_eq!(again, document, "printed is not published");
    });
}
