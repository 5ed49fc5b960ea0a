//! A block of hundreds of states is kept as one row until it is quiet: whoever reads, and whatever happens meanwhile, finds the same.

use runproof_protocol::InstanceId;
use serde_json::{Value, json};

use crate::{
    audit::audit,
    crash::everything_agrees,
    fold,
    harness::{self, World, eventually},
    paper_run,
};

const STATES: i64 = 400;

#[test]
fn states_are_the_same_before_and_after_they_are_spread_and_taken_back_from_either() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _others = ["site", "serve"].map(|role| world.start(&[role]));
        let index = world.start(&["index"]);
        eventually("the journal begins", async || {
            count(&world, "select count(block_number) from journal.source").await
        })
        .await;
        keep_batches(&world).await;
        let instance = import(&world).await;
        stored(&world, 1, 0).await;
        everything_agrees(&world, instance).await;
        pages_begin_and_end_within_it(&world, instance).await;
        let told = told(&world).await;
        assert_eq!(audit(&world).await.differences, []);
        let before = fold::entries(&world.pool).await.expect("entries");
        index.kill();

        let_batches_go(&world).await;
        let index = world.start(&["index"]);
        stored(&world, 0, STATES).await;
        assert_eq!(fold::entries(&world.pool).await.expect("entries")[..before.len()], before);
        assert_eq!(self::told(&world).await, told, "subscribers are told the same");
        everything_agrees(&world, instance).await;

        world.take_the_registration_back().await;
        stored(&world, 0, 2 * STATES).await;
        keep_batches(&world).await;
        let follow = world.start(&["follow"]);
        stored(&world, 1, 2 * STATES).await;
        eventually("the indexer tried", async || count(&world, "select count(*) from tried").await).await;
        follow.kill();
        let_batches_go(&world).await;
        world.take_the_registration_back().await;
        stored(&world, 0, 4 * STATES).await;
        let _follow = world.start(&["follow"]);
        stored(&world, 0, 5 * STATES).await;
        everything_agrees(&world, instance).await;
        assert_eq!(audit(&world).await.differences, []);
        index.kill();
    });
}

/// Postgres does as if there were none to delete.
async fn keep_batches(world: &World) {
    let sql = "create table tried (); create function keep() returns trigger language plpgsql as
               $$ begin insert into public.tried default values; return null; end $$;
               create trigger keep before delete on journal.batch for each row execute function keep()";
    sqlx::raw_sql(sql).execute(&world.pool).await.expect("the test owns the database");
}

async fn let_batches_go(world: &World) {
    let sql = "drop function keep cascade; drop table tried";
    sqlx::raw_sql(sql).execute(&world.pool).await.expect("the test owns the database");
}

/// Awaits so many batches, and so many rows of states and of what takes them back.
async fn stored(world: &World, batches: i64, rows: i64) {
    let sql = "select (select count(*) from journal.batch), (select count(*) from journal.record where kind = 'state_registered')";
    eventually(&format!("{batches} batches and {rows} rows"), async || {
        let found: (i64, i64) = sqlx::query_as(sql).fetch_one(&world.pool).await.expect("a row");
        (found == (batches, rows)).then_some(())
    })
    .await;
}

async fn count(world: &World, sql: &'static str) -> Option<i64> {
    let count: i64 = sqlx::query_scalar(sql).fetch_one(&world.pool).await.expect("a row");
    (count > 0).then_some(count)
}

/// A trace of the paper's form that goes on for longer than the paper's.
async fn import(world: &World) -> InstanceId {
    let [model, instance, trace] = [1, 3, 5].map(|place| paper_run::documents()[place].clone());
    let mut events: Vec<Value> = serde_json::from_slice(&std::fs::read(trace).expect("a trace")).expect("a list");
    let last = events.last().expect("thirteen").clone();
    let (run, event) = last["state_id"].as_str().and_then(|id| id.rsplit_once('-')).expect("an id");
    let first: usize = event.parse().expect("a number");
    for id in (first + 1..).take(STATES as usize - events.len()) {
        let mut next = last.clone();
        (next["state_id"], next["id"]) = (json!(format!("{run}-{id}")), json!(id.to_string()));
        events.push(next);
    }
    let trace = world.file("long.json", serde_json::to_string(&events).expect("JSON"));
    let trace = trace.to_string_lossy();
    world.runproof(&["import", "--model", &model, "--instance", &instance, "--trace", &trace]).await;
    paper_run::INSTANCE.parse().expect("an id")
}

async fn pages_begin_and_end_within_it(world: &World, instance: InstanceId) {
    let all = fold::entries(&world.pool).await.expect("entries");
    let source = "select source_id from journal.source";
    let source: i16 = sqlx::query_scalar(source).fetch_one(&world.pool).await.expect("a row");
    let newest = all.len() as u64;
    for (after, limit) in [(0, 1_000), (newest - 7, 5), (newest - STATES as u64, 3), (newest - 1, 1), (newest, 10)] {
        let page = runproof_indexer::journal::page(&world.pool, source, after, limit).await.expect("a page");
        let expected: Vec<_> = all.iter().skip(after as usize).take(limit as usize).cloned().collect();
        assert_eq!(page, expected, "{limit} after {after}");
    }
    let query = format!(
        r#"{{ states(filter: {{instance: "{instance}"}}, last: 2) {{ nodes {{ sequence predecessor {{ sequence }} }} }} }}"#
    );
    let [last, before] = [STATES - 1, STATES - 2].map(|n| json!({"sequence": n, "predecessor": {"sequence": n - 1}}));
    assert_eq!(world.graphql(&query).await["states"]["nodes"], json!([before, last]));
}

/// What subscriptions tell that begin before the batch and within it. Who asks for events gets the rest as who does not.
async fn told(world: &World) -> Vec<Value> {
    const FIELDS: &str = "position retraction { position } kind issuer instanceId modelId contentId sequence transactionHash logIndex itemIndex
                          block { number hash timestampS }";
    let all = fold::entries(&world.pool).await.expect("entries");
    let last = all.iter().rposition(|entry| entry.event.kind() == "state_registered").expect("a state");
    let mut told = Vec::new();
    for after in [0, last - STATES as usize / 2] {
        let query = |more| format!("subscription {{ events(after: {after}) {{ {FIELDS} {more} }} }}");
        let (mut bare, mut full) = (world.subscribe(&query("")).await, world.subscribe(&query("event")).await);
        for _ in after..=last {
            let (entry, mut with_event) = (bare.next().await["events"].take(), full.next().await["events"].take());
            let event = with_event.as_object_mut().and_then(|entry| entry.remove("event"));
            assert!(event.is_some_and(|event| event["kind"].is_string()));
            assert_eq!(entry, with_event);
            told.push(entry);
        }
    }
    told
}
