//! A masked account number: the run goes on as usual, lambdas, queue and client included, and nothing that is published tells the number.

use runproof_stack::{Pace, Recorded, demo};
use serde_json::Value;

use crate::{
    children::{ITEMS, MACHINE, all_ended, distributed_map, documents, map_run, map_run_arn},
    crash::{ended, everything_agrees},
    harness::{self, World, eventually, stack},
    job::waiting,
    step_functions::refused,
};

const ACCOUNT: &str = "123456789012";

#[test]
fn a_masked_account_number_is_published_nowhere() {
    harness::run(async {
        let world = World::new().await;
        mask(&world);
        let (client_keys, client) = world.somebody("client").await;
        let model = world.file("orders.asl.json", demo::MODEL);
        assert!(demo::MODEL.contains(ACCOUNT), "or it shows nothing");
        let model = model.to_string_lossy();
        world.runproof(&["deploy", &model, "--name", &world.name, "--participant", &client.to_string()]).await;
        let _roles = ["site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        let executor = world.start(&["follow"]);
        stack().await.emulator().expect("started").seed_orders(&world.name, 1).await.expect("the queue takes orders");
        let input = world.file("input.json", format!(r#"{{"queue": "arn:aws:sqs:us-east-1:{ACCOUNT}:orders"}}"#));
        world.runproof(&["run", &world.name, "--input", &input.to_string_lossy()]).await;
        let (instance, sequence) = eventually("the run waits for approval", || waiting(&world)).await;

        executor.kill();
        let _executor = world.start(&["follow"]);
        let (id, issuer, number) = (instance.to_string(), world.issuer.to_string(), sequence.to_string());
        let approve = [
            "request-transition",
            &id,
            "--issuer",
            &issuer,
            "--sequence",
            &number,
            "--payload",
            r#"{"approved": true}"#,
        ];
        let output = world.command_as(&client_keys, &approve).output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(ended(&world).await, instance);
        everything_agrees(&world, instance).await;
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");

        for path in [format!("{id}/instance.json"), format!("{id}/trace.json"), format!("{}.json", verdict.model)] {
            let answer = world.http().get(format!("{}/{path}", world.site_url)).send().await.expect("an answer");
            let text = answer.text().await.expect("text");
            assert!(serde_json::from_str::<Value>(&text).is_ok(), "{path}: {text}");
            assert!(text.contains("000000000000") && !text.contains(ACCOUNT), "{path}: {text}");
        }
        let used: Vec<String> = sqlx::query_scalar("select execution_arn from executor.instance")
            .fetch_all(&world.pool)
            .await
            .expect("rows");
        assert!(used.iter().all(|arn| arn.contains(ACCOUNT)), "{used:?}");
        what_a_mask_would_break_is_refused(&world).await;
    });
}

/// From now on the account number is not published.
pub fn mask(world: &World) {
    let configured = std::fs::read_to_string(world.config()).expect("it was written");
    let masked = configured.replace("[aws]\n", &format!("[aws]\nmasked_accounts = [\"{ACCOUNT}\"]\n"));
    world.file("runproof.toml", masked);
}

#[test]
fn executions_of_a_map_run_are_asked_for_by_real_arns_and_published_by_masked_ones() {
    harness::run(async {
        let recorded = Recorded::serve(map_run(), Pace::Ended).await.expect("a free port");
        let world = World::builder().aws_endpoint_url(recorded.url()).build().await;
        mask(&world);
        let model = world.file("model.asl.json", distributed_map());
        world.runproof(&["deploy", &model.to_string_lossy(), "--name", MACHINE]).await;
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        all_ended(&world, ITEMS + 1).await;

        let (documents, masked) = (documents(&world).await, map_run_arn().replace(ACCOUNT, "000000000000"));
        assert_ne!(map_run_arn(), masked, "or it shows nothing");
        for (instance, document) in &documents[1..] {
            assert_eq!(document.map_run_arn.as_ref(), Some(&masked));
            assert!(document.parent.is_some(), "{document:?}");
            let url = format!("{}/{instance}", world.site_url);
            for path in ["instance", "trace"] {
                let answer = world.http().get(format!("{url}/{path}.json")).send().await.expect("an answer");
                let text = answer.text().await.expect("text");
                assert!(text.contains("000000000000") && !text.contains(ACCOUNT), "{path}: {text}");
            }
        }
        let (verdict, passed) = world.verify(documents[ITEMS].0, &[]).await;
        assert!(passed, "{verdict:#?}");
    });
}

async fn what_a_mask_would_break_is_refused(world: &World) {
    let model =
        format!(r#"{{"StartAt": "A", "States": {{"A": {{"Type": "Pass", "Result": {ACCOUNT}, "End": true}}}}}}"#);
    let model = world.file("number.asl.json", model);
    let told = refused(world, &["deploy", &model.to_string_lossy()]).await;
    assert!(told.contains("as a number of JSON"), "{told}");
    let configured = std::fs::read_to_string(world.config()).expect("it was written");
    world.file("runproof.toml", configured.replace(ACCOUNT, "1234-5678-9012"));
    let told = refused(world, &["deploy", &model.to_string_lossy()]).await;
    assert!(told.contains("give its 12 digits"), "{told}");
}
