//! One state on its way from included over safe to final, also when the block that made it safe is replaced: the same in Postgres, topic,
//! subscription and GraphQL. The development chain calls safe what lies 32 blocks back, and final what lies 64 back.

use alloy::providers::Provider;
use serde_json::{Value, json};

use crate::{
    crash::{ended, start_slow_run},
    fold,
    harness::{self, World, eventually},
    schemas::each_message_is_there_once_and_as_described,
};

#[test]
fn a_state_becomes_safe_and_final_everywhere_and_stays_what_it_was_as_of_earlier_positions() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let [follow, index, _serve] = ["follow", "index", "serve"].map(|role| world.start(&[role]));
        start_slow_run(&world, 1).await;
        ended(&world).await;
        assert!(follow.stop());
        let included = world.is_everywhere("INCLUDED").await;
        let mut events = world.subscribe(&format!("subscription {{ events(after: {included}) {{ {EVENT} }} }}")).await;

        // The indexer sees all of them at once, so that the safe block lies above all registrations.
        assert!(index.stop());
        world.chain().await.mine(40).await.expect("the chain makes blocks");
        let index = world.start(&["index"]);
        let safe = world.is_everywhere("SAFE").await;
        let promotion = next_of(&mut events, "BLOCK_SAFE").await;
        assert_eq!((&promotion["finality"], &promotion["issuer"]), (&json!("SAFE"), &Value::Null));

        world.chain().await.reorganise(34).await.expect("anvil reorganises");
        let retraction = next_of(&mut events, "BLOCK_SAFE").await;
        assert_eq!(retraction["retraction"]["position"], promotion["position"]);
        let again = next_of(&mut events, "BLOCK_SAFE").await;
        assert_ne!(again["block"]["hash"], promotion["block"]["hash"]);
        world.is_everywhere("SAFE").await;

        world.chain().await.mine(32).await.expect("the chain makes blocks");
        let finalized = world.is_everywhere("FINALIZED").await;
        while next_of(&mut events, "BLOCK_FINALIZED").await["position"].as_i64() < Some(finalized) {}
        for (position, expected) in [(included, "INCLUDED"), (safe, "SAFE"), (finalized, "FINALIZED")] {
            assert_eq!(world.served(&format!("(asOf: {position})")).await, expected, "as of {position}");
        }

        world.chain().await.mine(5).await.expect("the chain makes blocks");
        world.caught_up().await;
        assert_eq!(world.position().await, finalized, "where nothing is promoted there is no entry");
        world.topic_is_the_journal().await;
        let types = each_message_is_there_once_and_as_described(&world.messages().await);
        assert!(
            ["block_safe", "block_finalized", "retracted"]
                .iter()
                .all(|kind| types.contains(&format!("runproof.{kind}")))
        );
        world.runproof(&["audit"]).await;
        assert!(index.stop());
    });
}

const EVENT: &str = "position kind finality issuer block { number hash } retraction { position }";

async fn next_of(events: &mut harness::Subscription, kind: &str) -> Value {
    loop {
        let event = events.next().await["events"].take();
        if event["kind"] == kind {
            return event;
        }
    }
}

impl World {
    /// Waits until the run's newest state is `expected` in Postgres, and sees that it is so in the warehouse and in GraphQL; returns the position.
    async fn is_everywhere(&self, expected: &'static str) -> i64 {
        eventually(expected, async || {
            let sql = "select count(*) filter (where upper(finality) = $1), count(*) from journal.applied where retracted_by is null and instance_id is not null";
            let (so, all): (i64, i64) =
                sqlx::query_as(sql).bind(expected).fetch_one(&self.pool).await.expect("the view");
            (so == all).then_some(())
        })
        .await;
        self.caught_up().await;
        let sql = "select upper(finality) from warehouse.f_state";
        let in_warehouse: String = sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("one state");
        assert_eq!(in_warehouse, expected);
        eventually(expected, async || (self.served("").await == expected).then_some(())).await;
        self.position().await
    }

    /// As GraphQL tells it of the state, its run and the run's end alike.
    async fn served(&self, arguments: &str) -> String {
        let query = format!(
            "{{ states{arguments} {{ nodes {{ finality instance {{ finality termination {{ finality }} }} }} }} }}"
        );
        let state = self.graphql(&query).await["states"]["nodes"][0].take();
        let instance = &state["instance"];
        assert_eq!([&state["finality"]; 2], [&instance["finality"], &instance["termination"]["finality"]], "{state}");
        state["finality"].as_str().expect("it is told").to_owned()
    }

    async fn position(&self) -> i64 {
        sqlx::query_scalar("select position from journal.source").fetch_one(&self.pool).await.expect("a source")
    }

    /// Waits until the journal has the chain's newest block, and with it what the chain then calls safe and final.
    async fn caught_up(&self) {
        let head = self.chain().await.provider().get_block_number().await.expect("the chain answers");
        eventually("the journal is where the chain is", async || {
            let sql = "select from journal.source where block_number = $1";
            sqlx::query(sql).bind(head as i64).fetch_optional(&self.pool).await.expect("a source")
        })
        .await;
    }

    async fn topic_is_the_journal(&self) {
        let entries = fold::entries(&self.pool).await.expect("the journal is read");
        let messages = self.kcat(entries.len()).await;
        let promotions = |kind: &str| messages.iter().filter(|message| message.headers.contains(kind)).count();
        assert!(promotions("ce_type=runproof.block_safe") >= 2 && promotions("ce_type=runproof.block_finalized") >= 1);
        let from_topic = fold::fold_json(self.registry_at(), messages.iter().map(|message| message.value.as_bytes()));
        let from_postgres = fold::fold(self.registry_at(), entries).expect("the journal folds");
        assert_eq!(from_topic.expect("the topic folds"), from_postgres);
        assert_eq!(from_postgres.levels.len(), 2);
    }
}
