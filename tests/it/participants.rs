//! The contract names participants of one run or of all; those that a model was deployed with may drive that model's runs alone.

use alloy_primitives::B256;
use runproof_contracts::InstanceRegistry;
use runproof_protocol::InstanceId;
use serde_json::json;

use crate::{
    client_tasks::{By, WAITING, Waiting},
    harness::{self, World, eventually},
};

#[test]
fn a_participant_of_one_model_drives_no_run_of_another_unless_it_is_named_for_it() {
    harness::run(async {
        // The issuer is a participant of the runs of this one's model.
        let waiting = Waiting::start(By::Queue, json!({}), json!({})).await;
        let (world, account) = (&waiting.world, waiting.world.issuer.to_string());
        let other = waiting_run_of_another_model(world).await;

        let (accepted, told) = waiting.request_of(other, r#"{"by": "a participant of other runs"}"#).await;
        assert!(!accepted && told.contains("is a participant of other models' runs"), "{told}");
        let ask = ["request-transition", &other.to_string(), "--payload", r#"{"on": "chain"}"#];
        world.runproof(&ask).await;
        let reasons = "select reason from executor.transition_request where channel = 'chain' and decision = 'refused'";
        let reason: String = eventually("the request on chain is refused", async || {
            sqlx::query_scalar(reasons).fetch_optional(&world.pool).await.expect("the schema is there")
        })
        .await;
        assert!(reason.contains("is a participant of other models' runs"), "{reason}");

        world.runproof(&["identity", "participant", &account, "--instance", &other.to_string()]).await;
        let (accepted, told) = waiting.request_of(other, r#"{"by": "a participant of this run"}"#).await;
        assert!(accepted, "{told}");

        world.runproof(&["identity", "participant", &account, "--withdraw"]).await;
        let (accepted, told) = waiting.request_of(waiting.instance, "{}").await;
        assert!(!accepted && told.contains("is not a participant of this instance"), "{told}");

        world.runproof(&["identity", "participant", &account]).await;
        let (accepted, told) = waiting.request_of(waiting.instance, r#"{"by": "a participant of all runs"}"#).await;
        assert!(accepted, "{told}");
    });
}

#[test]
fn a_right_that_was_withdrawn_is_granted_again_by_a_deployment() {
    harness::run(async {
        let world = World::new().await;
        let model =
            world.file("flow.asl.json", json!({"StartAt": "A", "States": {"A": {"Type": "Succeed"}}}).to_string());
        let account = world.issuer.to_string();
        let path = model.to_string_lossy();
        let deploy = ["deploy", &path, "--name", &world.name, "--participant", &account];
        world.runproof(&deploy).await;
        assert!(is_named(&world).await);
        world.runproof(&["identity", "participant", &account, "--withdraw"]).await;
        assert!(!is_named(&world).await);
        world.runproof(&deploy).await;
        assert!(is_named(&world).await);
    });
}

async fn is_named(world: &World) -> bool {
    let registry = InstanceRegistry::new(world.registry.address, world.chain().await.provider());
    registry.participationOf(world.issuer, B256::ZERO, world.issuer).call().await.expect("the contract answers") != 0
}

/// Deployed with no participants.
async fn waiting_run_of_another_model(world: &World) -> InstanceId {
    let name = format!("{}-other", world.name);
    let state = By::Queue.waiting_state(&format!("{name}-clients"), json!({})).await;
    let model = json!({"StartAt": WAITING, "States": {WAITING: state, "Done": {"Type": "Succeed"}}});
    let file = world.file("other.asl.json", model.to_string());
    world.runproof(&["deploy", &file.to_string_lossy(), "--name", &name]).await;
    world.runproof(&["run", &name]).await;
    eventually("the run's state is registered", async || {
        let sql = "select s.instance_id from executor.state s join executor.instance i using (instance_id)
                   join executor.model m using (model_id) join executor.live l using (instance_id)
                   where m.name = $1 and l.count = 1
                     and not exists (select from executor.transaction where status = 'signed')";
        let row: Option<Vec<u8>> =
            sqlx::query_scalar(sql).bind(&name).fetch_optional(&world.pool).await.expect("the schema is there");
        row.map(|id| InstanceId::try_from(&id[..]).expect("32 bytes"))
    })
    .await
}
