//! Two engines, and what only one of them serves: executions that tasks start, JSONata and variables.

use std::collections::BTreeMap;

use runproof_protocol::{InstanceId, documents::InstanceDocument, verdict::Verdict};
use serde_json::{Value, json};

use crate::{
    crash::slow_model,
    harness::{self, World, eventually},
};

/// Parallel, Map, Retry, Catch and Choice; its task fails twice, for there is no such queue.
fn rich_model() -> String {
    let left = json!({"StartAt": "Left", "States": {
        "Left": {"Type": "Pass", "Next": "Left end"}, "Left end": {"Type": "Wait", "Seconds": 1, "End": true}}});
    let processor = json!({"StartAt": "Item", "States": {
        "Item": {"Type": "Pass", "Next": "Item end"}, "Item end": {"Type": "Pass", "End": true}}});
    let right = json!({"StartAt": "Items", "States": {"Items": {
        "Type": "Map", "ItemsPath": "$.items", "MaxConcurrency": 1, "ItemProcessor": processor, "End": true}}});
    json!({"StartAt": "Split", "States": {
        "Split": {"Type": "Parallel", "Branches": [left, right], "ResultPath": "$.split", "Next": "Send"},
        "Send": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage",
            "Parameters": {"QueueUrl": "http://localhost/123456789012/none", "MessageBody": "x"},
            "Retry": [{"ErrorEquals": ["States.ALL"], "IntervalSeconds": 1, "MaxAttempts": 1}],
            "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "Caught"}],
            "Next": "Sent",
        },
        "Caught": {"Type": "Pass", "Next": "Which"},
        "Which": {"Type": "Choice", "Choices": [{"Variable": "$.error", "IsPresent": true, "Next": "Done"}], "Default": "Sent"},
        "Sent": {"Type": "Fail"},
        "Done": {"Type": "Succeed"},
    }})
    .to_string()
}

/// Each state entered, with the one it was entered from.
const RICH: [(&str, Option<&str>); 12] = [
    ("Caught", Some("Send")),
    ("Done", Some("Which")),
    ("Item", Some("Item end")),
    ("Item", Some("Items")),
    ("Item end", Some("Item")),
    ("Item end", Some("Item")),
    ("Items", Some("Split")),
    ("Left", Some("Split")),
    ("Left end", Some("Left")),
    ("Send", Some("Left end")),
    ("Split", None),
    ("Which", Some("Caught")),
];

/// Deploys a model; returns the ARN of its state machine.
pub async fn deploy(world: &World, name: &str, model: impl AsRef<[u8]>) -> String {
    let file = world.file(&format!("{name}.asl.json"), model);
    world.runproof(&["deploy", &file.to_string_lossy(), "--name", name]).await;
    let sql = "select state_machine_arn from executor.model where name = $1";
    sqlx::query_scalar(sql).bind(name).fetch_one(&world.pool).await.expect("deployed")
}

async fn run(world: &World, name: &str, input: &Value) {
    let input = world.file("input.json", input.to_string());
    world.runproof(&["run", name, "--input", &input.to_string_lossy()]).await;
}

/// Instances whose end is indexed, once they are so many, with their documents.
async fn ended(world: &World, count: usize) -> BTreeMap<String, (InstanceId, InstanceDocument)> {
    let documents: Vec<Vec<u8>> = eventually("all ends are indexed", async || {
        let sql = "select i.document from executor.instance i join journal.termination t using (instance_id)
                   where t.retracted_by is null";
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(sql).fetch_all(&world.pool).await.expect("rows");
        (rows.len() == count).then_some(rows)
    })
    .await;
    let read = |bytes: Vec<u8>| {
        let document: InstanceDocument = serde_json::from_slice(&bytes).expect("a document");
        (document.state_machine_arn.clone(), (InstanceId::of(&bytes), document))
    };
    documents.into_iter().map(read).collect()
}

async fn verified(world: &World, instance: InstanceId) -> Verdict {
    let (verdict, passed) = world.verify(instance, &[]).await;
    assert!(passed, "{verdict:#?}");
    verdict
}

async fn a_rich_workflow_is_verified(world: World) {
    let arn = deploy(&world, &world.name, rich_model()).await;
    let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
    run(&world, &world.name, &json!({"items": [1, 2]})).await;
    let verdict = verified(&world, ended(&world, 1).await[&arn].0).await;
    let name = |sequence: usize| verdict.states[sequence].state_name.as_deref();
    let mut transitions: Vec<_> = verdict
        .states
        .iter()
        .map(|state| {
            (state.state_name.as_deref().expect("a name"), state.predecessor.and_then(|from| name(from as usize)))
        })
        .collect();
    transitions.sort_unstable();
    assert_eq!(transitions, RICH);
}

#[test]
fn states_of_all_kinds_have_their_predecessors_on_the_first_engine() {
    harness::run(async {
        a_rich_workflow_is_verified(World::new().await).await;
    });
}

#[test]
fn states_of_all_kinds_have_their_predecessors_on_the_second_engine() {
    harness::run(async {
        a_rich_workflow_is_verified(World::builder().localstack().build().await).await;
    });
}

#[test]
fn executions_that_tasks_start_are_instances_that_name_the_task() {
    harness::run(async {
        let world = World::builder().localstack().build().await;
        let deployed = deploy(&world, &format!("{}-deployed", world.name), slow_model(1)).await;
        let other = deploy(&world, &format!("{}-other", world.name), slow_model(2)).await;
        // From now on its executions are found by their parent alone.
        let sql = "update executor.model set state_machine_arn = null where state_machine_arn = $1";
        sqlx::query(sql).bind(&other).execute(&world.pool).await.expect("forgotten");
        let start = |pattern: &str, machine: &str, next: Value| {
            let mut task = json!({
                "Type": "Task",
                "Resource": format!("arn:aws:states:::states:startExecution{pattern}"),
                "Parameters": {"StateMachineArn": machine, "Input": {"from.$": "$$.Execution.Id"}},
            });
            task.as_object_mut().expect("an object").extend(next.as_object().expect("an object").clone());
            task
        };
        let model = json!({"StartAt": "Order", "States": {
            "Order": start(".sync:2", &deployed, json!({"Next": "Notify"})),
            "Notify": start("", &other, json!({"End": true})),
        }});
        let parent = deploy(&world, &world.name, model.to_string()).await;
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        run(&world, &world.name, &json!({})).await;

        let instances = ended(&world, 3).await;
        let (id, document) = &instances[&parent];
        assert_eq!(document.parent, None);
        let entered: Vec<(String, i64)> =
            sqlx::query_as("select name, event_id from executor.state where instance_id = $1 order by sequence")
                .bind(id.as_slice())
                .fetch_all(&world.pool)
                .await
                .expect("states");
        for (machine, (task, event_id)) in [&deployed, &other].into_iter().zip(&entered) {
            let (child, document) = &instances[machine];
            let named = document.parent.as_ref().expect("a parent");
            assert_eq!((&named.instance, &named.event_id), (&id.to_string(), &event_id.to_string()), "{task}");
            verified(&world, *child).await;
        }
        verified(&world, *id).await;
    });
}

#[test]
fn a_workflow_in_jsonata_with_variables_is_verified() {
    harness::run(async {
        let world = World::builder().localstack().build().await;
        let model = json!({"QueryLanguage": "JSONata", "StartAt": "Count", "States": {
            "Count": {"Type": "Pass", "Assign": {"sum": "{% $sum($states.input.numbers) %}"}, "Next": "Many?"},
            "Many?": {"Type": "Choice", "Choices": [{"Condition": "{% $sum > 3 %}", "Next": "Many"}], "Default": "Few"},
            "Many": {"Type": "Succeed", "Output": "{% $sum %}"},
            "Few": {"Type": "Fail"},
        }});
        let arn = deploy(&world, &world.name, model.to_string()).await;
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        run(&world, &world.name, &json!({"numbers": [1, 2, 3]})).await;
        let verdict = verified(&world, ended(&world, 1).await[&arn].0).await;
        let names: Vec<_> = verdict.states.iter().filter_map(|state| state.state_name.as_deref()).collect();
        assert_eq!(names, ["Count", "Many?", "Many"]);
    });
}
