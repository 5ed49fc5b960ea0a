//! Kill -9 of executor and indexer in the middle of a run: after a restart Postgres, contract, topic and GraphQL agree.

use runproof_contracts::InstanceRegistry;
use runproof_protocol::InstanceId;
use serde_json::{Value, json};

use crate::{
    fold,
    harness::{self, World, eventually},
};

/// A chain of states, each a second apart, so that a run lasts as long as a test needs.
pub fn slow_model(states: usize) -> String {
    let name = |number: usize| format!("Step {number}");
    let state = |number: usize| {
        let rest = if number == states { json!({"End": true}) } else { json!({"Next": name(number + 1)}) };
        let mut state = json!({"Type": "Wait", "Seconds": 1});
        state.as_object_mut().expect("an object").extend(rest.as_object().expect("an object").clone());
        (name(number), state)
    };
    let states: serde_json::Map<String, Value> = (1..=states).map(state).collect();
    json!({"StartAt": "Step 1", "States": states}).to_string()
}

/// Deploys and starts a slow run; returns when it has been sighted.
pub async fn start_slow_run(world: &World, states: usize) {
    let model = world.file("slow.asl.json", slow_model(states));
    world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
    world.runproof(&["run", &world.name]).await;
}

#[test]
fn kill_9_of_executor_and_indexer_loses_and_doubles_nothing() {
    const STATES: usize = 12;
    harness::run(async {
        let world = World::new().await;
        let _site = world.start(&["site"]);
        let _api = world.start(&["serve"]);
        start_slow_run(&world, STATES).await;
        for captured in [2, 5, 8] {
            let (executor, indexer) = (world.start(&["follow"]), world.start(&["index"]));
            eventually("some states are captured and indexed", async || {
                let count = "select least((select count(*) from executor.state), (select count(*) from journal.state))";
                let count: i64 = sqlx::query_scalar(count).fetch_one(&world.pool).await.expect("rows");
                (count >= captured).then_some(())
            })
            .await;
            executor.kill();
            indexer.kill();
        }
        let (executor, indexer) = (world.start(&["follow"]), world.start(&["index"]));
        let instance = ended(&world).await;
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.len(), STATES);
        everything_agrees(&world, instance).await;
        assert!(executor.stop() && indexer.stop(), "both end gracefully when asked");
    });
}

/// The run, once its end is in the journal.
pub async fn ended(world: &World) -> InstanceId {
    eventually("the run's end is indexed", async || {
        let sql = "select instance_id from journal.termination where retracted_by is null";
        let row: Option<Vec<u8>> =
            sqlx::query_scalar(sql).fetch_optional(&world.pool).await.expect("the schema is there");
        row.map(|id| InstanceId::try_from(&id[..]).expect("32 bytes"))
    })
    .await
}

/// Contract = Postgres = folded topic = GraphQL.
pub async fn everything_agrees(world: &World, instance: InstanceId) {
    let entries = fold::entries(&world.pool).await.expect("the journal is read");
    let count = entries.len();
    let from_postgres = fold::fold(world.registry_at(), entries).expect("the journal folds");
    let folded = &from_postgres.instances[&(world.issuer, instance)];
    let contract = InstanceRegistry::new(world.registry.address, world.chain().await.provider());
    let held = contract.instanceOf(world.issuer, instance.0).call().await.expect("the contract answers");
    assert_eq!((held.head, held.count as usize), (folded.head, folded.count as usize));
    let messages = world.kcat(count).await;
    let from_topic = fold::fold_json(world.registry_at(), messages.iter().map(|message| message.value.as_bytes()));
    assert_eq!(from_topic.expect("the topic folds"), from_postgres);
    let query = format!(r#"{{ states(filter: {{instance: "{instance}"}}, first: 500) {{ nodes {{ stateId }} }} }}"#);
    let served = world.graphql(&query).await["states"]["nodes"].take();
    let expected: Vec<Value> = folded.states.iter().map(|id| json!({"stateId": id.to_string()})).collect();
    assert_eq!(served, json!(expected));
}
