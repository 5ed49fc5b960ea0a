//! Commands that sign beside the executor of the same key: no nonce is taken twice, and all of it lands.

use std::process::{Child, Command, Output, Stdio};

use alloy::providers::{Provider, ext::AnvilApi};
use alloy_primitives::{Address, B256};
use runproof_contracts::InstanceRegistry;

use crate::{
    batches::{RUNS, runs_that_have_ended, terminated},
    harness::{self, Role, World, eventually, free_port, succeeded},
};

#[test]
fn a_command_takes_no_nonce_that_an_executor_has_stored_and_both_land() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        runs_that_have_ended(&world).await;
        let provider = world.chain().await.provider();
        provider.anvil_set_auto_mine(false).await.expect("set");
        let follow = world.start(&["follow"]);
        let stored = eventually("a registration is stored", async || waiting(&world, 1).await).await[0];
        follow.kill();
        // As after a crash between storing and sending: the node knows nothing of it, and calls its nonce free.
        provider.anvil_drop_all_transactions().await.expect("dropped");
        assert_eq!(provider.get_transaction_count(world.issuer).pending().await.expect("it answers"), stored);

        let delegate = Address::repeat_byte(0xd1);
        let command = spawned(delegation(&world, delegate));
        let nonces = eventually("the command's transaction is stored", async || waiting(&world, 2).await).await;
        assert_eq!(nonces, [stored, stored + 1]);
        provider.anvil_set_auto_mine(true).await.expect("set");
        eventually("both are sent again by the one command that runs, and included", async || {
            world.chain().await.mine(1).await.expect("a block");
            waiting(&world, 0).await
        })
        .await;
        succeeds(command).await;
        assert!(is_delegate(&world, delegate).await);
        all_nonces_are_stored_and_none_is_lost(&world).await;
    });
}

#[test]
fn commands_and_the_executor_of_their_key_sign_at_the_same_time() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        runs_that_have_ended(&world).await;
        let _index = world.start(&["index"]);
        let mut follow = world.command(&["follow"]);
        follow.env("RUNPROOF_EXECUTOR__MAX_BATCH", "1").env("RUNPROOF_EXECUTOR__MAX_WAIT_MS", "0");
        let _follow = Role::start(follow, world.file("follow.log", ""));
        let delegates: Vec<_> = (1..=6).map(Address::repeat_byte).collect();
        let commands: Vec<_> = delegates.iter().map(|delegate| spawned(delegation(&world, *delegate))).collect();
        for command in commands {
            succeeds(command).await;
        }
        terminated(&world, RUNS).await;
        for delegate in delegates {
            assert!(is_delegate(&world, delegate).await, "{delegate}");
        }
        eventually("all is included", async || waiting(&world, 0).await).await;
        all_nonces_are_stored_and_none_is_lost(&world).await;
    });
}

#[test]
fn without_a_database_a_command_signs_under_the_same_ceilings() {
    harness::run(async {
        let world = World::new().await;
        let text = std::fs::read_to_string(world.config()).expect("it was written");
        let is_postgres = |section: &&str| !section.starts_with("postgres]");
        let alone = text.split('[').filter(is_postgres).collect::<Vec<_>>().join("[");
        world.file("runproof.toml", alone);
        let stored = transactions(&world).await;
        let delegate = Address::repeat_byte(0xd2);
        let refused = |setting: &'static str, value: &'static str| {
            let mut command = delegation(&world, delegate);
            command.env(setting, value);
            async move {
                let output = finished(spawned(command)).await;
                assert!(!output.status.success());
                String::from_utf8_lossy(&output.stderr).into_owned()
            }
        };
        let told = refused("RUNPROOF_EXECUTOR__MAX_FEE_WEI", "1").await;
        assert!(told.contains("nothing was sent") && told.contains("`max_fee_wei` of [executor] is 1"), "{told}");
        let told = refused("RUNPROOF_EXECUTOR__MAX_GAS", "30000").await;
        assert!(told.contains("`max_gas` is 30000"), "{told}");
        assert_eq!(world.nonce().await, world.nonce_after_binding);

        // A database that is set and away is not passed over.
        let away = format!("postgres://postgres@127.0.0.1:{}/none", free_port());
        let mut command = delegation(&world, delegate);
        command.env("RUNPROOF_POSTGRES__URL", away);
        let told = finished(spawned(command)).await;
        assert!(!told.status.success() && String::from_utf8_lossy(&told.stderr).contains("Postgres does not answer"));

        let told = finished(spawned(delegation(&world, delegate))).await;
        assert!(told.status.success() && String::from_utf8_lossy(&told.stderr).contains("no [postgres] is set"));
        assert!(is_delegate(&world, delegate).await);
        assert_eq!(transactions(&world).await, stored, "nothing is stored");
    });
}

fn delegation(world: &World, delegate: Address) -> Command {
    world.command(&["identity", "delegate", &delegate.to_string()])
}

fn spawned(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

async fn finished(command: Child) -> Output {
    let output = tokio::task::spawn_blocking(move || command.wait_with_output()).await;
    output.expect("it runs").expect("it ends")
}

async fn succeeds(command: Child) {
    succeeded(&finished(command).await, "the command");
}

async fn is_delegate(world: &World, delegate: Address) -> bool {
    let registry = InstanceRegistry::new(world.registry.address, world.chain().await.provider());
    registry.isDelegate(world.issuer, B256::ZERO, delegate).call().await.expect("the chain answers")
}

/// Nonces of the transactions that wait to be included, if they are so many.
async fn waiting(world: &World, count: usize) -> Option<Vec<u64>> {
    let sql = "select nonce from executor.transaction where status = 'signed' order by nonce";
    let nonces: Vec<i64> = sqlx::query_scalar(sql).fetch_all(&world.pool).await.expect("rows");
    (nonces.len() == count).then(|| nonces.into_iter().map(i64::unsigned_abs).collect())
}

async fn transactions(world: &World) -> i64 {
    let sql = "select count(*) from executor.transaction";
    sqlx::query_scalar(sql).fetch_one(&world.pool).await.expect("a number")
}

/// Each transaction of the account is one that was stored, and each that was stored is included.
async fn all_nonces_are_stored_and_none_is_lost(world: &World) {
    let sql =
        "select count(*) filter (where status = 'included'), count(*), count(distinct nonce) from executor.transaction
               where sender = $1";
    let of_issuer = sqlx::query_as(sql).bind(world.issuer.as_slice());
    let counts: (i64, i64, i64) = of_issuer.fetch_one(&world.pool).await.expect("a row");
    let sent = world.nonce().await as i64;
    assert_eq!(counts, (sent, sent, sent), "included, stored, nonces");
}
