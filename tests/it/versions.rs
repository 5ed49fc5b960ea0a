//! Versions and aliases of a state machine: a run is registered under the definition that it really ran, and its document names both.

use aws_sdk_sfn::{Client, types::RoutingConfigurationListItem};
use runproof_protocol::ModelId;
use runproof_stack::{Pace, Recorded, Recording};
use serde_json::json;

use crate::{
    children::{all_ended, documents},
    engines::deploy,
    harness::{self, World, localstack},
};

/// A model with one state, of this name.
fn model(state: &str) -> String {
    json!({"StartAt": state, "States": {state: {"Type": "Succeed"}}}).to_string()
}

async fn publish(engine: &Client, machine: &str) -> String {
    let published = engine.publish_state_machine_version().state_machine_arn(machine).send().await;
    published.expect("a version is published").state_machine_version_arn
}

async fn alias(engine: &Client, name: &str, version: &str) -> String {
    let route = RoutingConfigurationListItem::builder().state_machine_version_arn(version).weight(100);
    let alias = engine.create_state_machine_alias().name(name).routing_configuration(route.build().expect("a route"));
    alias.send().await.expect("an alias is made").state_machine_alias_arn
}

#[test]
fn runs_started_by_name_version_and_alias_are_registered_under_what_they_ran() {
    harness::run(async {
        let world = World::builder().localstack().build().await;
        let engine = Client::new(&localstack().await.sdk_config());
        let machine = deploy(&world, &world.name, model("First")).await;
        let first = publish(&engine, &machine).await;
        engine
            .update_state_machine()
            .state_machine_arn(&machine)
            .definition(model("Second"))
            .send()
            .await
            .expect("done");
        let second = publish(&engine, &machine).await;
        // The emulator starts nothing by name from an alias on.
        engine.start_execution().state_machine_arn(&machine).name("by-name").send().await.expect("it starts");
        let live = alias(&engine, "live", &second).await;
        for (arn, name) in [(&first, "by-version"), (&live, "by-alias")] {
            engine.start_execution().state_machine_arn(arn).name(name).send().await.expect("it starts");
        }
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        all_ended(&world, 3).await;

        let deployed = Some(ModelId::of(model("First").as_bytes()).to_string());
        let expected = [
            ("by-name", "Second", &deployed, None, None),
            ("by-version", "First", &None, Some(&first), None),
            ("by-alias", "Second", &deployed, Some(&second), Some(&live)),
        ];
        let documents = documents(&world).await;
        for (name, ran, instead_of, version, alias) in expected {
            let (instance, document) =
                documents.iter().find(|(_, document)| document.name == name).expect("registered");
            assert_eq!(document.state_machine_arn, machine);
            let named = (document.state_machine_version_arn.as_ref(), document.state_machine_alias_arn.as_ref());
            assert_eq!((named, &document.deployed_model), ((version, alias), instead_of), "{name}");
            let (verdict, passed) = world.verify(*instance, &[]).await;
            assert!(passed, "{verdict:#?}");
            assert_eq!(verdict.model, ModelId::of(model(ran).as_bytes()), "{name}");
            assert_eq!(verdict.states[0].state_name.as_deref(), Some(ran));
        }
    });
}

#[test]
fn what_an_execution_runs_is_asked_until_it_is_told_and_not_guessed() {
    harness::run(async {
        let deployed = Recording { definition: model("First"), ..Recording::counted("machine", 0, 1) };
        let other = Recording { definition: model("Second"), ..Recording::counted("machine", 1, 1) };
        let version = Some(format!("{}:1", deployed.state_machine_arn));
        let of_version = |nth| Recording {
            definition: model("First"),
            version_arn: version.clone(),
            ..Recording::counted("machine", nth, 1)
        };
        let all = vec![deployed.clone(), other, of_version(2), of_version(3), of_version(4)];
        let recorded = Recorded::serve(all, Pace::Ended).await.expect("a free port");
        let world = World::builder().aws_endpoint_url(recorded.url()).build().await;
        let file = world.file("model.asl.json", &deployed.definition);
        world.runproof(&["deploy", &file.to_string_lossy(), "--name", "machine"]).await;
        recorded.refuse("DescribeStateMachineForExecution", 4);
        let _roles = ["site", "index", "follow"].map(|role| world.start(&[role]));
        all_ended(&world, 5).await;
        // Four were refused; two ran what the machine was then, and three one version, which never changes.
        assert_eq!(recorded.calls_of("DescribeStateMachineForExecution"), 4 + 2 + 1);
        let mut instead_of: Vec<_> =
            documents(&world).await.into_iter().map(|(_, document)| (document.name, document.deployed_model)).collect();
        instead_of.sort();
        let model = ModelId::of(deployed.definition.as_bytes()).to_string();
        let expected = (0..5).map(|nth| (format!("run-{nth:05}"), Some(model.clone()).filter(|_| nth == 1)));
        assert_eq!(instead_of, expected.collect::<Vec<_>>());
    });
}
