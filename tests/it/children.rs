//! Executions that other executions start are instances that name the state which started them.

use runproof_protocol::{
    InstanceId,
    commitment::Commitment,
    documents::InstanceDocument,
    verdict::{Check, Status, Verdict},
};
use runproof_stack::{Pace, Recorded, Recording};
use serde_json::{Value, json};

use crate::harness::{self, World, eventually};

/// Items of the Map.
pub const ITEMS: usize = 90;
pub const MACHINE: &str = "etl";
const ARN: &str = "arn:aws:states:us-east-1:123456789012";
/// A moment in 2026, Unix seconds.
const START_S: f64 = 1_767_225_600.0;

pub fn map_run_arn() -> String {
    format!("{ARN}:mapRun:{MACHINE}/Each:0a1b")
}

/// A Map that runs each item as an execution of its own.
pub fn distributed_map() -> String {
    let processor = json!({
        "ProcessorConfig": { "Mode": "DISTRIBUTED", "ExecutionType": "STANDARD" },
        "StartAt": "Wash",
        "States": { "Wash": { "Type": "Pass", "Next": "Dry" }, "Dry": { "Type": "Pass", "End": true } },
    });
    let each =
        json!({ "Type": "Map", "Label": "Each", "ItemsPath": "$.items", "ItemProcessor": processor, "Next": "Done" });
    json!({ "StartAt": "Each", "States": { "Each": each, "Done": { "Type": "Succeed" } } }).to_string()
}

pub fn entered(kind: &str, name: &str) -> Value {
    json!({
        "type": format!("{kind}StateEntered"),
        "stateEnteredEventDetails": { "name": name, "input": "{}", "inputDetails": { "truncated": false } },
    })
}

pub fn exited(kind: &str, name: &str) -> Value {
    json!({
        "type": format!("{kind}StateExited"),
        "stateExitedEventDetails": { "name": name, "output": "{}", "outputDetails": { "truncated": false } },
    })
}

pub fn bare(kind: &str) -> Value {
    json!({ "type": kind })
}

/// An execution whose events come one after the other, at these seconds after the start.
pub fn recording(machine: &str, name: &str, map_run_arn: Option<String>, events: Vec<(f64, Value)>) -> Recording {
    let numbered = |(id, (after_s, mut event)): (usize, (f64, Value))| {
        event["id"] = json!(id);
        event["previousEventId"] = json!(id - 1);
        event["timestamp"] = json!(START_S + after_s);
        event
    };
    Recording {
        execution_arn: format!("{ARN}:execution:{machine}:{name}"),
        state_machine_arn: format!("{ARN}:stateMachine:{machine}"),
        version_arn: None,
        map_run_arn,
        definition: distributed_map(),
        start_date: START_S + events[0].0,
        status: "SUCCEEDED".into(),
        events: (1..).zip(events).map(numbered).collect(),
        page: 1_000,
    }
}

/// Parent and children, of which one begins after the other.
pub fn map_run() -> Vec<Recording> {
    let started = json!({ "type": "MapRunStarted", "mapRunStartedEventDetails": { "mapRunArn": map_run_arn() } });
    let parent = vec![
        (0.0, bare("ExecutionStarted")),
        (0.0, entered("Map", "Each")),
        (0.0, json!({ "type": "MapStateStarted", "mapStateStartedEventDetails": { "length": ITEMS } })),
        (0.0, started),
        (4.0, bare("MapRunSucceeded")),
        (4.0, bare("MapStateSucceeded")),
        (4.0, exited("Map", "Each")),
        (4.0, entered("Succeed", "Done")),
        (4.0, exited("Succeed", "Done")),
        (4.0, bare("ExecutionSucceeded")),
    ];
    let child = |item: usize| {
        let begun = item as f64 * 0.03;
        let events = vec![
            (begun, bare("ExecutionStarted")),
            (begun, entered("Pass", "Wash")),
            (begun, exited("Pass", "Wash")),
            (begun + 1.0, entered("Pass", "Dry")),
            (begun + 1.0, exited("Pass", "Dry")),
            (begun + 1.0, bare("ExecutionSucceeded")),
        ];
        recording(&format!("{MACHINE}/Each"), &format!("item-{item}"), Some(map_run_arn()), events)
    };
    // So that there are several pages of children.
    let parent = Recording { page: 40, ..recording(MACHINE, "run", None, parent) };
    [parent].into_iter().chain((0..ITEMS).map(child)).collect()
}

/// A task of one execution that starts another.
fn nested() -> [Recording; 2] {
    let start = json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::states:startExecution",
        "Parameters": { "StateMachineArn": format!("{ARN}:stateMachine:inner") },
        "End": true,
    });
    let outer = json!({ "StartAt": "Nest", "States": { "Nest": start } });
    let inner = json!({ "StartAt": "Rinse", "States": { "Rinse": { "Type": "Pass", "End": true } } });
    let started = json!({
        "type": "TaskSucceeded",
        "taskSucceededEventDetails": {
            "resourceType": "states",
            "resource": "startExecution",
            "output": json!({ "ExecutionArn": format!("{ARN}:execution:inner:run") }).to_string(),
        },
    });
    let events_of_outer = vec![
        (0.0, bare("ExecutionStarted")),
        (0.0, entered("Task", "Nest")),
        (0.1, started),
        (0.1, exited("Task", "Nest")),
        (0.1, bare("ExecutionSucceeded")),
    ];
    let events_of_inner = vec![
        (0.1, bare("ExecutionStarted")),
        (0.1, entered("Pass", "Rinse")),
        (0.1, exited("Pass", "Rinse")),
        (0.1, bare("ExecutionSucceeded")),
    ];
    let of = |machine, definition: Value, events| Recording {
        definition: definition.to_string(),
        ..recording(machine, "run", None, events)
    };
    [of("outer", outer, events_of_outer), of("inner", inner, events_of_inner)]
}

/// An instance's id and document, and the checks of it that its site passes.
pub async fn documents(world: &World) -> Vec<(InstanceId, InstanceDocument)> {
    let sql = "select document from executor.instance order by ordinal";
    let documents: Vec<Vec<u8>> = sqlx::query_scalar(sql).fetch_all(&world.pool).await.expect("rows");
    let read = |bytes: Vec<u8>| (InstanceId::of(&bytes), serde_json::from_slice(&bytes).expect("a document"));
    documents.into_iter().map(read).collect()
}

pub async fn all_ended(world: &World, count: usize) {
    eventually("all ends are indexed", async || {
        let sql = "select count(*) from journal.termination where retracted_by is null";
        let ended: i64 = sqlx::query_scalar(sql).fetch_one(&world.pool).await.expect("a number");
        (ended == count as i64).then_some(())
    })
    .await;
}

/// Findings that an instance exists: its own, and the ones that its document names.
fn existing(verdict: &Verdict) -> usize {
    let found = |check, status| (check, status) == (Check::ModelAndInstanceExist, Status::Passed);
    verdict.findings.iter().filter(|finding| found(finding.check, finding.status)).count()
}

/// Follows a Map Run that is served at this pace; returns what answered.
async fn followed(pace: Pace) -> Recorded {
    let recorded = Recorded::serve(map_run(), pace).await.expect("a free port");
    let world = World::builder().aws_endpoint_url(recorded.url()).build().await;
    let model = world.file("model.asl.json", distributed_map());
    world.runproof(&["deploy", &model.to_string_lossy(), "--name", MACHINE]).await;
    let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
    all_ended(&world, ITEMS + 1).await;

    let documents = documents(&world).await;
    assert_eq!(documents.len(), ITEMS + 1);
    let (parent, document) = &documents[0];
    assert_eq!((document.name.as_str(), &document.parent), ("run", &None), "the parent is registered first");
    for (child, document) in &documents[1..] {
        let named = document.parent.as_ref().map(|parent| (parent.instance.clone(), parent.event_id.as_str()));
        assert_eq!(named, Some((parent.to_string(), "2")), "{child}");
        assert_eq!(document.map_run_arn, Some(map_run_arn()));
    }
    for (instance, existing_instances) in [(parent, 1), (&documents[1].0, 2), (&documents[ITEMS].0, 2)] {
        let (verdict, passed) = world.verify(*instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!((verdict.states.len(), existing(&verdict)), (2, existing_instances));
    }
    recorded
}

#[test]
fn executions_of_a_map_run_are_instances_that_name_their_parent() {
    harness::run(async {
        followed(Pace::AsItHappened).await;
    });
}

#[test]
fn executions_of_a_map_run_are_listed_and_not_described_one_by_one() {
    harness::run(async {
        let recorded = followed(Pace::Ended).await;
        let calls = ["DescribeExecution", "DescribeStateMachineForExecution"].map(|action| recorded.calls_of(action));
        assert_eq!(calls, [1, 2], "the parent; and for the definition, the parent and one of the children");
    });
}

#[test]
fn what_private_runs_start_is_private_whatever_its_own_model_says() {
    harness::run(async {
        let (map_run, nested) = (map_run(), nested());
        let models = [(&map_run[0], "committed"), (&nested[0], "committed"), (&nested[1], "published")];
        let models = models.map(|(run, privacy)| (run.state_machine_arn.clone(), run.definition.clone(), privacy));
        let recorded = Recorded::serve(map_run.into_iter().chain(nested).collect(), Pace::Ended).await;
        let recorded = recorded.expect("a free port");
        let world = World::builder().aws_endpoint_url(recorded.url()).build().await;
        for (arn, definition, privacy) in models {
            let name = arn.rsplit(':').next().expect("a name");
            let model = world.file("model.asl.json", definition);
            world.runproof(&["deploy", &model.to_string_lossy(), "--name", name, "--privacy", privacy]).await;
        }
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        all_ended(&world, ITEMS + 3).await;

        let documents = documents(&world).await;
        let (inner, document) = documents.iter().find(|(_, run)| run.state_machine_arn.ends_with("inner")).expect("it");
        assert!(document.parent.is_some(), "{document:?}");
        for (instance, _) in &documents {
            let url = format!("{}/{instance}/trace.json", world.site_url);
            let trace: Vec<Value> = world.http().get(url).send().await.expect("sent").json().await.expect("a trace");
            let committed = |entry: &Value| Commitment::read(entry["task_input"].as_str()?);
            assert!(!trace.is_empty() && trace.iter().all(|entry| committed(entry).is_some()), "{trace:?}");
        }
        for instance in [inner, &documents[ITEMS].0] {
            let (verdict, passed) = world.verify(*instance, &[]).await;
            assert!(passed, "{verdict:#?}");
        }
    });
}

#[test]
fn a_map_run_whose_executions_are_not_listed_is_told_and_its_parent_is_registered() {
    harness::run(async {
        let world = World::new().await;
        let model = world.file("model.asl.json", distributed_map());
        world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
        let input = world.file("input.json", r#"{"items": [1, 2]}"#);
        let started = world.runproof(&["run", &world.name, "--input", &input.to_string_lossy()]).await;
        let execution = started.split_whitespace().find(|word| word.contains(":execution:")).expect("an ARN");
        let _site = world.start(&["site"]);
        // The emulator runs the items, and keeps no execution of them.
        let mut command = world.command(&["follow", "--once", execution]);
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("ListExecutions"), "{told}");

        let [(parent, _)] = &documents(&world).await[..] else { panic!("one instance") };
        let (verdict, passed) = world.verify(*parent, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.len(), 2);
    });
}
