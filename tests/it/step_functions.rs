//! What Step Functions is asked for, and is not, or not as one would think.

use serde_json::{Value, json};

use crate::{
    crash::{ended, slow_model},
    harness::{self, World, stack},
};

/// Calls an action of the emulator past the binary.
pub async fn call(action: &str, request: Value) -> Value {
    let endpoint = stack().await.endpoints();
    let call = reqwest::Client::new().post(endpoint.aws_endpoint_url.as_deref().expect("started"));
    // Which service and region: the emulator reads that from the signature, and does not check it.
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=emulator/20260101/{}/states/aws4_request, SignedHeaders=host, Signature=0",
        endpoint.aws_region
    );
    let call = call.header("x-amz-target", format!("AWSStepFunctions.{action}")).header("authorization", signed);
    let answer = call.header("content-type", "application/x-amz-json-1.0").body(request.to_string()).send().await;
    let answer = answer.expect("the emulator answers").bytes().await.expect("a body");
    serde_json::from_slice(&answer).expect("JSON")
}

/// What the binary says when it refuses.
pub async fn refused(world: &World, arguments: &[&str]) -> String {
    let mut command = world.command(arguments);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
    assert!(!output.status.success(), "{arguments:?} was not refused");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_definition_changed_past_the_issuer_is_a_model_of_its_own_and_the_instance_says_so() {
    harness::run(async {
        let world = World::new().await;
        let file = world.file("model.asl.json", slow_model(1));
        world.runproof(&["deploy", &file.to_string_lossy(), "--name", &world.name]).await;
        let sql = "select encode(model_id, 'hex'), state_machine_arn from executor.model";
        let (deployed, arn): (String, String) = sqlx::query_as(sql).fetch_one(&world.pool).await.expect("deployed");
        call("UpdateStateMachine", json!({"stateMachineArn": arn, "definition": slow_model(2)})).await;
        world.runproof(&["run", &world.name]).await;
        let (executor, indexer) = (world.start(&["follow"]), world.start(&["index"]));
        let instance = ended(&world).await;
        let sql = "select m.document, i.document from executor.instance i join executor.model m using (model_id)";
        let (model, document): (Vec<u8>, Vec<u8>) = sqlx::query_as(sql).fetch_one(&world.pool).await.expect("a run");
        assert_eq!(String::from_utf8_lossy(&model), slow_model(2), "the model is what ran");
        assert_eq!(runproof_protocol::InstanceId::of(&document), instance);
        let document: Value = serde_json::from_slice(&document).expect("JSON");
        assert_eq!(document["deployedModel"], json!(deployed));
        assert!(executor.stop() && indexer.stop());
    });
}

#[test]
fn what_step_functions_cannot_take_is_refused_with_its_reason_and_nothing_is_stored() {
    harness::run(async {
        let world = World::new().await;
        let file = world.file("model.asl.json", slow_model(1));
        let file = file.to_string_lossy();
        let express = format!("{}-express", world.name);
        let machine = json!({"name": express, "definition": slow_model(1), "type": "EXPRESS", "roleArn": "arn:aws:iam::123456789012:role/demo"});
        call("CreateStateMachine", machine).await;
        let told = refused(&world, &["deploy", &file, "--name", &express]).await;
        assert!(told.contains("of type EXPRESS"), "{told}");

        world.runproof(&["deploy", &file, "--name", &world.name]).await;
        let told = refused(&world, &["run", &world.name, "--name", "a b"]).await;
        assert!(told.contains("`a b` is no name"), "{told}");
        let long = world.file("long.json", format!("\"{}\"", "x".repeat(262_143)));
        let told = refused(&world, &["run", &world.name, "--input", &long.to_string_lossy()]).await;
        assert!(told.contains("262145 bytes"), "{told}");
        let told = refused(&world, &["follow", "--once", "arn:aws:states:us-east-1:1:express:etl:run:0a1b"]).await;
        assert!(told.contains("EXPRESS"), "{told}");

        world.runproof(&["run", &world.name, "--name", "once"]).await;
        world.runproof(&["run", &world.name, "--name", "once"]).await;
        let other = world.file("other.json", r#"{"other": true}"#);
        let told = refused(&world, &["run", &world.name, "--name", "once", "--input", &other.to_string_lossy()]).await;
        assert!(told.contains("`once` exists with another input"), "{told}");
        let counts = "select (select count(*) from executor.model), (select count(*) from executor.instance)";
        let counts: (i64, i64) = sqlx::query_as(counts).fetch_one(&world.pool).await.expect("rows");
        assert_eq!(counts, (1, 0));
    });
}
