//! Logs that could not be decoded come into the journal at their place once they can: after a setting was corrected, after a release that knows more.

use alloy::{
    primitives::B256,
    providers::Provider,
    rpc::types::{Filter, Log},
    sol_types::SolEvent,
};
use runproof_contracts::InstanceRegistry;
use runproof_indexer::relay::topic::Topic;
use serde_json::{Value, json};
use sqlx::types::Json;

use crate::{
    audit::{audit, execute, scalar},
    crash::{ended, everything_agrees, start_slow_run},
    fold,
    harness::{self, Role, World, eventually, free_port},
    itrex,
    schemas::each_message_is_there_once_and_as_described,
};

#[test]
fn logs_read_as_those_of_another_contract_are_read_anew_once_the_setting_is_right() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _api = world.start(&["serve"]);
        let follow = world.start(&["follow"]);
        let wrong = start(&world, "RUNPROOF_CHAIN__KIND", "itrex");
        start_slow_run(&world, 3).await;
        let logs = eventually("the run's end is registered", async || {
            let logs = logs(&world).await;
            logs.last()?.topics().contains(&InstanceRegistry::InstanceTerminated::SIGNATURE_HASH).then_some(logs)
        })
        .await;
        assert!(follow.stop());
        eventually("no log is decoded", async || (held(&world).await.len() == logs.len()).then_some(())).await;
        assert!(wrong.stop());

        let refused = world.command(&["index"]).output().expect("the binary runs");
        let told = String::from_utf8_lossy(&refused.stderr);
        assert!(!refused.status.success() && told.contains(r#"begun with kind = "itrex""#), "{told}");

        let listed = held(&world).await;
        let told = world.runproof(&["quarantine", "replay", "--dry-run"]).await;
        assert!(told.contains(&format!("decoded now   {}\n", logs.len())), "{told}");
        assert_eq!(held(&world).await, listed, "a dry run changes nothing");
        world.runproof(&["quarantine", "replay"]).await;
        let index = world.start(&["index"]);
        let instance = ended(&world).await;
        everything_agrees(&world, instance).await;
        assert_eq!(audit(&world).await.differences, []);
        assert_eq!(held(&world).await, [Value::Null; 0]);

        let messages = eventually("the replay is told", async || {
            let messages = world.messages().await;
            (messages[Topic::DeadLetters as usize].len() == 2 * logs.len()).then_some(messages)
        })
        .await;
        each_message_is_there_once_and_as_described(&messages);
        let (letters, replayed) = messages[Topic::DeadLetters as usize].split_at(logs.len());
        assert!(letters.iter().all(|letter| letter.value["replayed_at"].is_null()));
        assert!(replayed.iter().all(|letter| letter.header("ce_type") == "runproof.dead_letter_replayed"));
        assert!(index.stop());
    });
}

#[test]
fn the_papers_contract_read_as_ours_is_read_anew_with_the_call_that_no_log_tells_of() {
    harness::run(async {
        let world = World::new().await;
        let (contract, caller, stranger) = itrex::deploy(&world).await;
        let pool = world.add_source("paper", world.chain().await, "registry", *contract.address()).await;
        let index = world.start(&["index", "--source", "paper"]);
        itrex::register(&contract, caller, stranger).await;
        const LOGS: i64 = 10;
        eventually("no log is decoded", async || {
            let sql = "select from (select count(*) from journal.quarantine) q where count = $1";
            sqlx::query(sql).bind(LOGS).fetch_optional(&pool).await.expect("rows")
        })
        .await;
        assert!(index.stop());
        let configured = std::fs::read_to_string(world.config()).expect("it was written");
        world.file("runproof.toml", configured.replace(r#"kind = "registry""#, r#"kind = "itrex""#));
        let told = world.runproof(&["quarantine", "replay", "--source", "paper"]).await;
        assert!(told.contains(&format!("decoded now   {LOGS}\n")) && told.contains("from the beginning"), "{told}");
        let _index = world.start(&["index", "--source", "paper"]);
        world.runproof(&["audit", "--source", "paper"]).await;
        let sql = "select count(*) from journal.certificate where retracted_by is null";
        let certificates: i64 = sqlx::query_scalar(sql).fetch_one(&pool).await.expect("rows");
        assert_eq!(certificates, 1);
    });
}

#[test]
fn a_log_of_a_final_block_comes_to_its_place_while_the_writer_has_nothing_to_do() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _api = world.start(&["serve"]);
        let follow = world.start(&["follow"]);
        let relayless = start(&world, "RUNPROOF_KAFKA__BOOTSTRAP", &format!("127.0.0.1:{}", free_port()));
        start_slow_run(&world, 2).await;
        ended(&world).await;
        assert!(follow.stop() && relayless.stop());
        let end = as_if_the_decoder_had_not_known(&world, "instance_terminated").await;

        let index = world.start(&["index"]);
        world.chain().await.mine(70).await.expect("the chain makes blocks");
        eventually("all is final", async || (finalized(&world).await > end.number).then_some(())).await;
        let [listed] = &held(&world).await[..] else { panic!("one log") };
        assert_eq!((&listed["block_number"], &listed["log_index"]), (&json!(end.number), &json!(end.log_index)));
        assert!(!audit(&world).await.differences.is_empty(), "the end is missing");
        let promotions = promotions(&world).await;

        let told = world.runproof(&["quarantine", "replay"]).await;
        assert!(told.contains("decoded now   1\n") && told.contains("still cannot         0\n"), "{told}");
        let instance = ended(&world).await;
        everything_agrees(&world, instance).await;
        assert_eq!(audit(&world).await.differences, []);
        assert_eq!(held(&world).await, [Value::Null; 0]);
        let sql = "select count(*) from journal.termination where finality = 'finalized' and retracted_by is null";
        assert_eq!(scalar(&world, sql).await, 1, "what comes again is as final as it was");
        assert_eq!(self::promotions(&world).await, promotions, "what was final was never told otherwise");
        let folded = fold::fold_postgres(world.registry_at(), &world.pool).await.expect("the journal folds");
        assert_eq!(folded.levels["block_finalized"], finalized(&world).await);
        assert!(index.stop());
    });
}

/// The role that indexes, with one setting changed.
fn start(world: &World, setting: &str, value: &str) -> Role {
    let mut command = world.command(&["index"]);
    command.env(setting, value);
    Role::start(command, world.config().with_file_name("index.log"))
}

/// As `runproof quarantine list` tells it.
async fn held(world: &World) -> Vec<Value> {
    serde_json::from_str(&world.runproof(&["quarantine", "list", "--json"]).await).expect("JSON")
}

async fn logs(world: &World) -> Vec<Log> {
    let filter = Filter::new().address(world.registry.address).from_block(0);
    world.chain().await.provider().get_logs(&filter).await.expect("the chain answers")
}

async fn finalized(world: &World) -> u64 {
    let sql = "select finalized_number from journal.source";
    scalar(world, sql).await.try_into().expect("a number")
}

/// The positions of what was called final, and of what took any of it back.
async fn promotions(world: &World) -> Vec<i64> {
    let sql = "select position from journal.entry where kind = 'block_finalized' order by position";
    sqlx::query_scalar(sql).fetch_all(&world.pool).await.expect("rows")
}

struct Place {
    number: u64,
    log_index: i32,
}

/// Makes of the newest entry what a release that did not know its event would have left of it.
async fn as_if_the_decoder_had_not_known(world: &World, kind: &str) -> Place {
    let sql = "select kind, block_number, block_hash, log_index from journal.entry order by position desc limit 1";
    let (newest, number, hash, log_index): (String, i64, Vec<u8>, i32) =
        sqlx::query_as(sql).fetch_one(&world.pool).await.expect("an entry");
    assert_eq!(newest, kind);
    let filter = Filter::new().address(world.registry.address).at_block_hash(B256::from_slice(&hash));
    let logs = world.chain().await.provider().get_logs(&filter).await.expect("the chain answers");
    let log = logs.into_iter().find(|log| log.log_index == Some(log_index as u64)).expect("the log");
    let quarantine = "insert into journal.quarantine (source_id, block_hash, log_index, transaction_hash, reason, log)
         select source_id, block_hash, log_index, transaction_hash, 'no event of this release', $1
         from journal.entry order by position desc limit 1";
    sqlx::query(quarantine).bind(Json(log)).execute(&world.pool).await.expect("a row");
    execute(world, "delete from journal.record where position = (select max(position) from journal.entry)").await;
    execute(world, "update journal.source set position = position - 1").await;
    Place { number: number as u64, log_index }
}
