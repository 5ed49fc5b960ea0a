//! A run whose issuer signs and another account submits: the issuer's in every respect, without a transaction of the issuer's.

use runproof_protocol::InstanceId;
use runproof_stack::CHAIN_ID;
use serde_json::json;

use crate::{
    fold,
    harness::{self, World, eventually},
    paper_run::{INSTANCE, documents},
};

#[test]
fn a_run_submitted_by_a_relayer_is_the_signers() {
    harness::run(async {
        let world = World::new().await;
        let _roles = ["site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        let (relayer_keys, _) = world.somebody("relayer").await;
        let documents = documents();
        let documents = documents.each_ref().map(String::as_str);
        let chain_id = CHAIN_ID.to_string();
        let sign = [&["relay", "sign", "--chain-id", &chain_id][..], &documents].concat();
        let signed = world.file("signed.json", world.runproof(&sign).await);

        let dry = [&["import", "--dry-run"][..], &documents].concat();
        let quote = world.runproof(&dry).await;
        assert!(quote.contains(" gas, at most") && !quote.contains(" 0 gas"), "{quote}");
        assert_eq!(world.nonce().await, world.nonce_after_binding, "a dry run sends nothing");

        let submit = ["relay", "submit", &signed.to_string_lossy()].map(str::to_owned);
        let submit = || {
            let arguments = submit.each_ref().map(String::as_str);
            world.command_as(&relayer_keys, &arguments).output().expect("the binary runs")
        };
        let first = submit();
        assert!(first.status.success(), "{}", String::from_utf8_lossy(&first.stderr));
        let told = String::from_utf8_lossy(&first.stdout).into_owned();
        let transaction = told.split_whitespace().last().expect("a hash");
        let again = submit();
        let refusal = String::from_utf8_lossy(&again.stderr);
        assert!(!again.status.success() && refusal.contains("NonceMismatch"), "{refusal}");

        assert!(world.runproof(&dry).await.contains(" 0 gas"), "all is registered");
        world.runproof(&[&["import"][..], &documents].concat()).await;
        assert_eq!(world.nonce().await, world.nonce_after_binding, "publishing took no transaction of the issuer");
        let instance: InstanceId = INSTANCE.parse().expect("an id");
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        graphql_and_topic_name_the_signer(&world, instance, transaction).await;
    });
}

async fn graphql_and_topic_name_the_signer(world: &World, instance: InstanceId, transaction: &str) {
    let query = format!(
        r#"{{ states(filter: {{instance: "{instance}"}}, first: 50) {{ nodes {{ issuer transactionHash verdict {{ status }} }} }} }}"#
    );
    let nodes = eventually("all states have passed", async || {
        let nodes = world.graphql(&query).await["states"]["nodes"].as_array().expect("a list").clone();
        let passed = nodes.iter().all(|node| node["verdict"]["status"] == "PASSED");
        (passed && nodes.len() == 13).then_some(nodes)
    })
    .await;
    let issuer = format!("{:#x}", world.issuer);
    for node in nodes {
        assert_eq!((&node["issuer"], &node["transactionHash"]), (&json!(issuer), &json!(transaction)));
    }
    let from_postgres = fold::fold_postgres(world.registry_at(), &world.pool).await.expect("the journal folds");
    let entries = fold::entries(&world.pool).await.expect("the journal is read").len();
    let messages = world.kcat(entries).await;
    let from_topic = fold::fold_json(world.registry_at(), messages.iter().map(|message| message.value.as_bytes()));
    assert_eq!(from_topic.expect("the topic folds"), from_postgres);
    assert_eq!(from_postgres.instances[&(world.issuer, instance)].states.len(), 13);
}
