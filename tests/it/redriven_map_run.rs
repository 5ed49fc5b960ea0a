//! A Map Run of which an execution fails, and that is redriven: what goes on are instances of their own, in the parent and below it.

use runproof_protocol::{InstanceId, documents::InstanceDocument};
use runproof_stack::{Pace, Recorded, Recording};
use serde_json::{Value, json};

use crate::{
    children::{MACHINE, all_ended, bare, distributed_map, documents, entered, exited, map_run_arn, recording},
    harness::{self, World},
};

/// Seconds after its start at which the Map Run below is redriven.
const REDRIVEN_S: f64 = 20.0;

/// A Map Run of two executions. One fails, and so does all; then both are redriven.
fn redriven_map_run() -> Vec<Recording> {
    let of_map_run =
        |kind: &str, details: Value| json!({ "type": kind, (format!("m{}EventDetails", &kind[1..])): details });
    let error = json!({ "error": "States.ExceedToleratedFailureThreshold", "cause": "one of two failed" });
    let redriven = json!({ "type": "ExecutionRedriven", "executionRedrivenEventDetails": { "redriveCount": 1 } });
    let parent = vec![
        (0.0, bare("ExecutionStarted")),
        (0.0, entered("Map", "Each")),
        (0.0, json!({ "type": "MapStateStarted", "mapStateStartedEventDetails": { "length": 2 } })),
        (0.0, of_map_run("MapRunStarted", json!({ "mapRunArn": map_run_arn() }))),
        (1.0, of_map_run("MapRunFailed", error.clone())),
        (1.0, json!({ "type": "ExecutionFailed", "executionFailedEventDetails": error })),
        (REDRIVEN_S, redriven.clone()),
        (REDRIVEN_S, of_map_run("MapRunRedriven", json!({ "mapRunArn": map_run_arn(), "redriveCount": 1 }))),
        (REDRIVEN_S + 1.0, bare("MapRunSucceeded")),
        (REDRIVEN_S + 1.0, bare("MapStateSucceeded")),
        (REDRIVEN_S + 1.0, exited("Map", "Each")),
        (REDRIVEN_S + 1.0, entered("Succeed", "Done")),
        (REDRIVEN_S + 1.0, exited("Succeed", "Done")),
        (REDRIVEN_S + 1.0, bare("ExecutionSucceeded")),
    ];
    let wash = [(0.1, bare("ExecutionStarted")), (0.1, entered("Pass", "Wash")), (0.5, exited("Pass", "Wash"))];
    let dry = |at: f64| [(at, entered("Pass", "Dry")), (at, exited("Pass", "Dry")), (at, bare("ExecutionSucceeded"))];
    let fails = [(0.6, bare("ExecutionFailed")), (REDRIVEN_S, redriven)];
    let child = |name, events| recording(&format!("{MACHINE}/Each"), name, Some(map_run_arn()), events);
    vec![
        recording(MACHINE, "run", None, parent),
        child("good", wash.iter().cloned().chain(dry(0.6)).collect()),
        child("bad", wash.into_iter().chain(fails).chain(dry(REDRIVEN_S + 0.5)).collect()),
    ]
}

#[test]
fn a_map_run_that_is_redriven_goes_on_in_instances_that_continue_those_that_failed() {
    harness::run(async {
        let recorded = Recorded::serve(redriven_map_run(), Pace::AsItHappened).await.expect("a free port");
        let world = World::builder().aws_endpoint_url(recorded.url()).build().await;
        let configured = std::fs::read_to_string(world.config()).expect("it was written");
        world.file("runproof.toml", configured.replace("[executor]\n", "[executor]\nredrive_interval_s = 1\n"));
        let model = world.file("model.asl.json", distributed_map());
        world.runproof(&["deploy", &model.to_string_lossy(), "--name", MACHINE]).await;
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        // Three that end at first, and two that go on.
        all_ended(&world, 5).await;

        let documents = documents(&world).await;
        let first = |name: &str| {
            let of_it = |run: &&(InstanceId, InstanceDocument)| run.1.name == name && run.1.redrive.is_none();
            documents.iter().find(of_it).expect("it was followed").0
        };
        for (name, states) in [("run", 1), ("bad", 1)] {
            let continues =
                |document: &InstanceDocument| document.redrive.as_ref().map(|redrive| redrive.continues.clone());
            let mut going_on = documents.iter().filter(|(_, run)| run.name == name && run.redrive.is_some());
            let (instance, document) = going_on.next().expect("it was redriven");
            assert_eq!((continues(document), going_on.count()), (Some(first(name).to_string()), 0));
            let (verdict, passed) = world.verify(*instance, &[]).await;
            assert!(passed, "{verdict:#?}");
            assert_eq!(verdict.states.len(), states, "{name}");
        }
        for (_, child) in documents.iter().filter(|(_, run)| run.map_run_arn.is_some()) {
            let parent = child.parent.as_ref().map(|parent| parent.instance.clone());
            assert_eq!(parent, Some(first("run").to_string()), "{child:?}");
        }
        let outcomes = "select i.outcome, count(*) from (select outcome from journal.termination where retracted_by is null) i group by 1 order by 1";
        let outcomes: Vec<(String, i64)> = sqlx::query_as(outcomes).fetch_all(&world.pool).await.expect("rows");
        assert_eq!(outcomes, [("failed".into(), 2), ("succeeded".into(), 3)]);
    });
}
