//! The demo's workflow, end to end: deployed, run, approved by a client, registered, published, indexed, relayed, verified, served.

use runproof_protocol::{InstanceId, verdict::Status};
use runproof_stack::demo;
use serde_json::json;

use crate::{
    fold,
    harness::{self, World, eventually, stack},
};

const APPROVAL: &str = "Approve report";

#[test]
fn a_run_that_a_client_approves_is_verified_everywhere() {
    harness::run(async {
        let world = World::new().await;
        let (client_keys, client) = world.somebody("client").await;
        let (stranger_keys, stranger) = world.somebody("stranger").await;
        let model = world.file("orders.asl.json", demo::MODEL);
        let deploy = ["deploy", &model.to_string_lossy(), "--name", &world.name, "--participant", &client.to_string()]
            .map(str::to_owned);
        let deploy: Vec<&str> = deploy.iter().map(String::as_str).collect();
        let told = world.runproof(&deploy).await;
        assert_eq!(world.runproof(&deploy).await, told, "deploying again changes nothing");

        let _roles = ["follow", "site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        stack().await.emulator().expect("started").seed_orders(&world.name, 2).await.expect("the queue takes orders");
        let input = world.file("input.json", r#"{"day": "2026-11-22"}"#);
        world.runproof(&["run", &world.name, "--input", &input.to_string_lossy(), "--name", &world.name]).await;
        let (instance, sequence) = eventually("the run waits for approval", || waiting(&world)).await;

        a_strangers_requests_are_refused(&world, &stranger_keys, stranger, instance, sequence).await;
        let mut events = world.subscribe("subscription { events(after: 0) { position kind sequence event } }").await;

        let approve =
            ["request-transition", &instance.to_string(), "--issuer", &world.issuer.to_string(), "--sequence"]
                .map(str::to_owned);
        let mut approve: Vec<&str> = approve.iter().map(String::as_str).collect();
        let number = sequence.to_string();
        approve.extend([number.as_str(), "--payload", r#"{"approved": true}"#]);
        let output = world.command_as(&client_keys, &approve).output().expect("the binary runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

        let mut kinds = Vec::new();
        while kinds.last().is_none_or(|kind| kind != "INSTANCE_TERMINATED") {
            let entry = events.next().await["events"].take();
            assert_eq!(entry["position"], json!(kinds.len() + 1), "no gap, no repetition");
            kinds.push(entry["kind"].as_str().expect("a kind").to_owned());
        }
        assert!(kinds.iter().any(|kind| kind == "TRANSITION_REQUESTED"), "{kinds:?}");

        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        let names: Vec<_> = verdict.states.iter().filter_map(|state| state.state_name.as_deref()).collect();
        assert_eq!((names.first(), names.last()), (Some(&"Read orders"), Some(&"Report published")));
        assert_eq!(names.iter().filter(|name| **name == "Transform order").count(), 2, "one for each order: {names:?}");
        all_sources_agree(&world, instance, kinds.len()).await;
    });
}

/// The run and the sequence number of its waiting state, once that is registered.
pub async fn waiting(world: &World) -> Option<(InstanceId, u64)> {
    let registered = "select s.instance_id, s.sequence from executor.state s join journal.state j using (state_id)
        where s.name = $1 and j.retracted_by is null";
    let row: Option<(Vec<u8>, i64)> =
        sqlx::query_as(registered).bind(APPROVAL).fetch_optional(&world.pool).await.expect("the schema is there");
    row.map(|(id, sequence)| (InstanceId::try_from(&id[..]).expect("32 bytes"), sequence as u64))
}

async fn a_strangers_requests_are_refused(
    world: &World,
    keys: &std::path::Path,
    stranger: alloy::primitives::Address,
    instance: InstanceId,
    sequence: u64,
) {
    let (id, issuer, number) = (instance.to_string(), world.issuer.to_string(), sequence.to_string());
    let request = ["request-transition", &id, "--issuer", &issuer, "--sequence", &number, "--payload", "{}"];
    let refused = |arguments: Vec<&str>| {
        let output = world.command_as(keys, &arguments).output().expect("the binary runs");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let told = refused(request.to_vec());
    assert!(told.contains("NotParticipant"), "{told}");
    let told = refused([&request[..], &["--https", &world.site_url]].concat());
    // Who may not ask is told so, and leaves no trace that others would have to keep.
    assert!(told.contains(&format!("{stranger} is not a participant of this instance")), "{told}");
    let kept: i64 = sqlx::query_scalar("select count(*) from executor.transition_request")
        .fetch_one(&world.pool)
        .await
        .expect("a row");
    assert_eq!(kept, 0);
}

async fn all_sources_agree(world: &World, instance: InstanceId, entries: usize) {
    let from_postgres = fold::fold_postgres(world.registry_at(), &world.pool).await.expect("the journal folds");
    let messages = world.kcat(entries).await;
    let from_topic = fold::fold_json(world.registry_at(), messages.iter().map(|message| message.value.as_bytes()));
    assert_eq!(from_topic.expect("the topic folds"), from_postgres);
    let query = format!(
        r#"{{ instance(issuer: "{}", id: "{instance}") {{ stateCount termination {{ outcome }} verdict {{ status site }} }} watermark {{ position }} }}"#,
        world.issuer
    );
    let answer = eventually("the run's verdict is current", async || {
        let answer = world.graphql(&query).await;
        (answer["instance"]["verdict"]["status"] == "PASSED").then_some(answer)
    })
    .await;
    let folded = &from_postgres.instances[&(world.issuer, instance)];
    assert_eq!(answer["instance"]["stateCount"], json!(folded.count));
    assert_eq!(answer["instance"]["verdict"]["site"], json!(world.site_url));
    assert_eq!(answer["watermark"]["position"], json!(entries));
    let graded: i64 = sqlx::query_scalar("select count(*) from verdict.state where status = $1")
        .bind(Status::Passed.name())
        .fetch_one(&world.pool)
        .await
        .expect("verdicts");
    assert_eq!(graded as usize, folded.states.len());
}
