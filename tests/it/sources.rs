//! Several contracts on several chains: in one process, and split over two, each source with its own journal and lease.

use runproof_stack::Chain;
use sqlx::PgPool;

use crate::harness::{self, Role, World, eventually, own_chain};

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
