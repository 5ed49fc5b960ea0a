//! A reorganisation that removes registered states: retracted everywhere, registered again by the executor.

use serde_json::Value;

use crate::{
    audit::audit,
    crash::{ended, everything_agrees, start_slow_run},
    harness::{self, World, eventually},
};

#[test]
fn removed_states_are_retracted_everywhere_and_registered_again() {
    const STATES: usize = 10;
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _roles = ["follow", "site", "index", "serve"].map(|role| world.start(&[role]));
        start_slow_run(&world, STATES).await;
        indexed(&world, 4).await;
        let mut events =
            world.subscribe("subscription { events(after: 0) { position kind retraction { position reason } } }").await;

        world.chain().await.reorganise(3).await.expect("anvil reorganises");
        let retracted = eventually("entries are retracted", async || {
            let sql = "select count(*) from journal.entry where retracts is not null";
            let count: i64 = sqlx::query_scalar(sql).fetch_one(&world.pool).await.expect("rows");
            (count > 0).then_some(count)
        })
        .await;

        let instance = ended(&world).await;
        let (verdict, passed) = world.verify(instance, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.len(), STATES);
        everything_agrees(&world, instance).await;

        let entries: i64 =
            sqlx::query_scalar("select max(position) from journal.entry").fetch_one(&world.pool).await.expect("rows");
        let messages = world.kcat(entries as usize).await;
        let in_topic = messages.iter().filter(|message| message.headers.contains("ce_type=runproof.retracted")).count();
        assert!(in_topic as i64 >= retracted, "{in_topic} of {retracted}");
        let mut in_subscription = 0;
        for position in 1..=entries {
            let entry: Value = events.next().await["events"].take();
            assert_eq!(entry["position"], position, "no gap, no repetition");
            in_subscription += usize::from(!entry["retraction"].is_null());
        }
        assert_eq!(in_subscription, in_topic);
    });
}

#[test]
fn an_audit_waits_until_the_journal_has_left_a_dead_fork_of_the_same_height() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let others = ["follow", "site"].map(|role| world.start(&[role]));
        let index = world.start(&["index"]);
        start_slow_run(&world, 3).await;
        ended(&world).await;
        for role in others.into_iter().chain([index]) {
            assert!(role.stop());
        }
        world.chain().await.reorganise(3).await.expect("anvil reorganises");

        let (report, _index) = tokio::join!(audit(&world), async {
            eventually("the audit waits for the journal", async || {
                let sql = "select from pg_stat_activity where datname = current_database() and query ilike 'listen %'";
                sqlx::query(sql).fetch_optional(&world.pool).await.expect("rows")
            })
            .await;
            world.start(&["index"])
        });
        assert_eq!(report.differences, [], "{report:#?}");
    });
}

/// Waits until so many states stand.
pub async fn indexed(world: &World, states: i64) {
    eventually("states are indexed", async || {
        let sql = "select count(*) from journal.state where retracted_by is null";
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&world.pool).await.expect("rows");
        (count >= states).then_some(())
    })
    .await;
}
