//! Many runs at once are registered together; one that the contract refuses keeps no other from it; nothing is paid above the ceiling.

use alloy::providers::{Provider, ext::AnvilApi};
use runproof_protocol::InstanceId;
use runproof_stack::{Pace, Recorded};
use serde_json::json;

use crate::{
    crash::{ended, everything_agrees},
    harness::{self, Role, World, eventually},
    paper_run,
};

pub const RUNS: usize = 5;
const STATES: i64 = 3;

#[test]
fn what_is_captured_while_a_transaction_is_on_its_way_goes_into_the_next_of_all_runs_together() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        runs_that_have_ended(&world).await;
        let _roles = ["site", "index", "serve"].map(|role| world.start(&[role]));
        let (before, chain) = (world.nonce().await, world.chain().await);
        chain.provider().anvil_set_auto_mine(false).await.expect("set");
        let mut command = world.command(&["follow"]);
        command.env("RUNPROOF_EXECUTOR__MAX_WAIT_MS", "600000");
        let follow = Role::start(command, world.file("follow.log", ""));
        eventually("all is captured, and a transaction is on its way", async || {
            let sql = "select count(*) filter (where ended_as is not null), (select count(*) from executor.transaction where status = 'signed')
                       from executor.instance";
            let counts: (i64, i64) = sqlx::query_as(sql).fetch_one(&world.pool).await.expect("a row");
            (counts == (RUNS as i64, 1)).then_some(())
        })
        .await;
        chain.provider().anvil_set_auto_mine(true).await.expect("set");
        chain.mine(1).await.expect("a block");
        let instances = terminated(&world, RUNS).await;
        let sent = world.nonce().await - before;
        assert!(sent <= 2, "{sent} transactions: what was captured first, and all the rest");
        for instance in instances {
            let (verdict, passed) = world.verify(instance, &[]).await;
            assert!(passed, "{verdict:#?}");
            everything_agrees(&world, instance).await;
        }
        assert!(follow.stop());
    });
}

#[test]
fn a_run_that_the_contract_refuses_keeps_no_other_from_being_registered() {
    harness::run(async {
        let world = World::new().await;
        runs_that_have_ended(&world).await;
        let _index = world.start(&["index"]);
        sqlx::raw_sql(A_STATE_THAT_IS_REFUSED).execute(&world.pool).await.expect("the trigger is made");
        let _follow = world.start(&["follow"]);
        let registered = terminated(&world, RUNS - 1).await;
        let refused: Vec<u8> =
            sqlx::query_scalar("select instance_id from refused").fetch_one(&world.pool).await.expect("one");
        assert!(!registered.iter().any(|instance| instance.as_slice() == refused), "{registered:?}");
        let open: i64 = sqlx::query_scalar(
            "select count(*) from executor.registration r join executor.transaction t using (transaction_id)
             where t.status in ('signed', 'included') and r.instance_id = (select instance_id from refused)",
        )
        .fetch_one(&world.pool)
        .await
        .expect("a number");
        assert_eq!(open, 0, "nothing of the refused one was sent");
    });
}

#[test]
fn what_fills_several_transactions_waits_for_none_of_them() {
    harness::run(async {
        let recording = paper_run::recording();
        let execution = recording.execution_arn.clone();
        let recorded = Recorded::serve(vec![recording], Pace::Ended).await.expect("a free port");
        let world = World::builder().own_chain().aws_endpoint_url(recorded.url()).build().await;
        let _roles = ["site", "index", "serve"].map(|role| world.start(&[role]));
        let (before, provider) = (world.nonce().await, world.chain().await.provider());
        provider.anvil_set_auto_mine(false).await.expect("set");
        let mut command = world.command(&["follow", &execution, "--states", "tasks"]);
        command.env("RUNPROOF_EXECUTOR__MAX_BATCH", "2").env("RUNPROOF_EXECUTOR__MAX_WAIT_MS", "0");
        let _follow = Role::start(command, world.file("follow.log", ""));
        eventually("13 states and the end are on their way, two by two", async || {
            let sql = "select count(distinct transaction_id) from executor.registration
                       having sum(count) filter (where kind = 'states') = 13 and bool_or(kind = 'termination')";
            let sent: i64 = sqlx::query_scalar(sql).fetch_optional(&world.pool).await.expect("a row")?;
            let nonce = provider.get_transaction_count(world.issuer).pending().await.expect("the chain answers");
            (sent >= 7 && nonce == before + sent as u64).then_some(())
        })
        .await;
        world.chain().await.mine(1).await.expect("a block");
        let (blocks, failed): (i64, i64) = eventually("all are included", async || {
            let sql = "select count(distinct block_number), count(*) filter (where status <> 'included') from executor.transaction
                       where transaction_id in (select transaction_id from executor.registration) having bool_and(status <> 'signed')";
            sqlx::query_as(sql).fetch_optional(&world.pool).await.expect("a row")
        })
        .await;
        assert_eq!((blocks, failed), (1, 0));
        let instance = ended(&world).await;
        let (verdict, passed) = eventually("all states are published", async || {
            let verified = world.verify(instance, &[]).await;
            (verified.0.states.len() == 13).then_some(verified)
        })
        .await;
        assert!(passed, "{verdict:#?}");
        everything_agrees(&world, instance).await;
    });
}

#[test]
fn above_the_fee_ceiling_nothing_is_sent_and_below_it_all_is() {
    harness::run(async {
        let world = World::new().await;
        runs_that_have_ended(&world).await;
        let _index = world.start(&["index"]);
        let before = world.nonce().await;
        let mut command = world.command(&["follow"]);
        command.env("RUNPROOF_EXECUTOR__MAX_FEE_WEI", "1");
        let poor = Role::start(command, world.file("poor.log", ""));
        eventually("the executor says what it waits for", async || {
            poor.log().contains("`max_fee_wei` is 1: waiting").then_some(())
        })
        .await;
        assert!(poor.stop());
        assert_eq!(world.nonce().await, before);
        let _follow = world.start(&["follow"]);
        terminated(&world, RUNS).await;
    });
}

/// The first instance gets a state that was entered from one after it, which the contract refuses.
const A_STATE_THAT_IS_REFUSED: &str = "
    create table refused (single boolean primary key default true, instance_id bytea);
    create function refuse() returns trigger language plpgsql as $$ begin
        insert into refused (instance_id) values (new.instance_id) on conflict do nothing;
        if new.instance_id = (select instance_id from refused) and new.sequence = 1 then new.predecessor := 99; end if;
        return new;
    end $$;
    create trigger refuse before insert on executor.state for each row execute function refuse();";

/// They run while nobody follows.
pub async fn runs_that_have_ended(world: &World) {
    let step = |next: &str| json!({"Type": "Pass", "Next": next});
    let model = json!({"StartAt": "A", "States": {"A": step("B"), "B": step("C"), "C": {"Type": "Succeed"}}});
    let model = world.file("steps.asl.json", model.to_string());
    world.runproof(&["deploy", &model.to_string_lossy(), "--name", &world.name]).await;
    for _ in 0..RUNS {
        world.runproof(&["run", &world.name]).await;
    }
}

/// Instances whose end is in the journal, once there are so many.
pub async fn terminated(world: &World, count: usize) -> Vec<InstanceId> {
    eventually("the runs' ends are indexed", async || {
        let sql = "select instance_id from journal.termination where retracted_by is null and count = $1";
        let rows: Vec<Vec<u8>> = sqlx::query_scalar(sql).bind(STATES).fetch_all(&world.pool).await.expect("rows");
        let ids = rows.iter().map(|id| InstanceId::try_from(&id[..]).expect("32 bytes")).collect();
        (rows.len() == count).then_some(ids)
    })
    .await
}
