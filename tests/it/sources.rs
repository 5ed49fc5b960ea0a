//! Several contracts on several chains: in one process, and split over two, each source with its own journal and lease.

use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
};
use runproof_stack::Chain;
use serde_json::Value;
use sqlx::PgPool;

use crate::{
    audit::scalar,
    harness::{self, Role, World, eventually, free_port, own_chain, stack},
};

#[test]
fn two_contracts_on_two_chains_are_indexed_by_one_process_or_by_two() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let other = tempfile::tempdir().expect("a folder");
        let other = own_chain(other.path()).await;
        let (here, there) = (world.chain().await, other.chain().expect("started"));
        let elsewhere = there.deploy_registry().await.expect("the contract deploys");
        let pool = world.add_source("second", there, "registry", elsewhere.address).await;

        let both = world.start(&["index"]);
        both_follow(&world, &pool, [here, there]).await;
        assert!(both.stop());
        assert_eq!((epoch(&world.pool).await, epoch(&pool).await), (1, 1), "each was written by one writer");

        let one = world.start(&["index", "--source", "main"]);
        let two = world.start(&["index", "--source", "second"]);
        both_follow(&world, &pool, [here, there]).await;
        assert_eq!((epoch(&world.pool).await, epoch(&pool).await), (2, 2), "neither touched the other's");

        // A standby of one source waits for its lease, and takes over when the holder is gone.
        let standby = world.start(&["index", "--source", "second"]);
        eventually("it stands by", async || standby.log().contains("standing by").then_some(())).await;
        there.mine(1).await.expect("a block");
        both_follow(&world, &pool, [here, there]).await;
        assert_eq!(epoch(&pool).await, 2, "the standby writes nothing");
        two.kill();
        eventually("it takes over", async || (epoch(&pool).await == 3).then_some(())).await;
        both_follow(&world, &pool, [here, there]).await;
        // They go on meanwhile: the topics may still be filled.
        for source in ["main", "second"] {
            world.runproof(&["audit", "--source", source]).await;
        }
        assert!([one, standby].into_iter().all(Role::stop));
        let mut unknown = world.command(&["index", "--source", "third"]);
        let told = String::from_utf8(unknown.output().expect("it runs").stderr).expect("UTF-8");
        assert!(told.contains("there is no source `third`: there are main, second"), "{told}");
    });
}

#[test]
fn what_one_source_cannot_survive_ends_no_other() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let other = tempfile::tempdir().expect("a folder");
        let other = own_chain(other.path()).await;
        let (here, there) = (world.chain().await, other.chain().expect("started"));
        let elsewhere = there.deploy_registry().await.expect("the contract deploys");
        let forked = world.add_source("forked", there, "registry", elsewhere.address).await;
        let beside = here.deploy_registry().await.expect("the contract deploys");
        let untidy = world.add_source("untidy", here, "registry", beside.address).await;
        let topic = format!("{}.untidy.instances", world.name);
        never_compacted(&topic).await;

        let port = free_port();
        let mut command = world.command(&["index"]);
        command.env("RUNPROOF_OPERATIONS__LISTEN", format!("127.0.0.1:{port}"));
        let index = Role::start(command, world.config().with_file_name("index.log"));
        let refused = failure(port, "untidy").await;
        assert!(refused.contains(&format!("topic {topic} has cleanup.policy=delete")), "{refused}");

        there.mine(70).await.expect("blocks");
        both_follow(&world, &forked, [here, there]).await;
        eventually("blocks are final", async || {
            let sql = "select finalized_number from journal.source where finalized_number > 0";
            sqlx::query_scalar::<_, i64>(sql).fetch_optional(&forked).await.expect("rows")
        })
        .await;
        there.reorganise(69).await.expect("anvil reorganises");
        let halted = failure(port, "forked").await;
        assert!(halted.contains("nothing was written"), "{halted}");

        let stands = async || (cursor(&forked).await, cursor(&untidy).await);
        let before = stands().await;
        both_follow(&world, &world.pool, [here, here]).await;
        there.mine(1).await.expect("a block");
        assert_eq!(stands().await, before, "what has failed is left alone");
        assert!(scalar(&world, "select position from journal.source").await > 0);
        let told = told(port, "metrics").await;
        for (source, failed) in [("main", 0), ("forked", 1), ("untidy", 1)] {
            assert!(told.contains(&format!("runproof_source_failed{{source=\"{source}\"}} {failed}\n")), "{told}");
        }
        let log = index.log();
        assert!(log.contains("source `forked`") && log.contains("source `untidy`"), "{log}");
        assert!(!index.stop(), "not all went well");
    });
}

/// A topic that cannot be what the relay needs.
async fn never_compacted(topic: &str) {
    let bootstrap = stack().await.kafka().expect("started").bootstrap();
    let admin: AdminClient<DefaultClientContext> =
        ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a client");
    let deleting = NewTopic::new(topic, 1, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
    admin.create_topics([&deleting], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("made");
}

/// Why a source has failed for good, once it has; the main one never does.
async fn failure(port: u16, source: &str) -> String {
    eventually("/status tells the failure", async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/status")).await.ok()?;
        let status: Value = answer.json().await.ok()?;
        let sources = status["sources"].as_array().expect("sources");
        assert_eq!((&sources[0]["source"], &sources[0]["failure"]), (&"main".into(), &Value::Null), "{status}");
        let named = sources.iter().find(|one| one["source"] == source).expect("it is told of");
        named["failure"].as_str().map(str::to_owned)
    })
    .await
}

async fn told(port: u16, path: &str) -> String {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}/{path}")).await.expect("it answers");
    answer.text().await.expect("text")
}

async fn cursor(pool: &PgPool) -> Option<Vec<u8>> {
    let sql = "select block_hash from journal.source";
    sqlx::query_scalar::<_, Option<Vec<u8>>>(sql).fetch_optional(pool).await.expect("rows").flatten()
}

/// A new block on each chain, and each journal comes to its own chain's.
async fn both_follow(world: &World, pool: &PgPool, chains: [&Chain; 2]) {
    use alloy::providers::Provider;
    for (chain, pool) in chains.into_iter().zip([&world.pool, pool]) {
        chain.mine(2).await.expect("blocks");
        let newest = chain.provider().get_block_by_number(Default::default()).await.expect("the chain answers");
        let newest = newest.expect("a block").header.hash;
        eventually("the journal comes to the chain's newest block", async || {
            let sql = "select block_hash from journal.source";
            let hash: Option<Option<Vec<u8>>> =
                sqlx::query_scalar(sql).fetch_optional(pool).await.expect("the schema is there");
            (hash.flatten()? == newest.as_slice()).then_some(())
        })
        .await;
    }
}

async fn epoch(pool: &PgPool) -> i64 {
    sqlx::query_scalar("select coalesce(max(writer_epoch), 0) from journal.source").fetch_one(pool).await.expect("rows")
}
