//! The example consumer: killed and started again it folds what everybody folds, and it stops where an entry is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use alloy::primitives::Address;
use rdkafka::{
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use runproof_indexer::relay::topic::Topic;
use runproof_stack::Tools;
use serde_json::{Value, json};

use super::{client, repository};
use crate::{
    fold::Folded,
    harness::{self, Role, World, stack},
};

#[test]
fn the_consumer_drops_what_it_has_seen_and_stops_at_a_gap() {
    harness::run(async {
        let world = World::new().await;
        let admin: AdminClient<DefaultClientContext> = client().await.create().expect("a client");
        let topic = NewTopic::new(&world.topic, 2, TopicReplication::Fixed(1));
        admin.create_topics([&topic], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("made");
        let producer: FutureProducer = client().await.create().expect("a client");
        for (partition, position) in [(1, 2), (0, 1), (1, 2), (0, 1), (1, 3)] {
            send(&producer, &world.topic, partition, position).await;
        }
        let models: Vec<Value> = (1..=3).map(model).map(|event| event["model"].clone()).collect();
        let shown = world.consume_to_the_end().await;
        let seen: Vec<Value> =
            shown["models"].as_array().expect("rows").iter().map(|row| row["model"].clone()).collect();
        assert_eq!((&shown["position"], seen), (&json!(3), models));

        send(&producer, &world.topic, 0, 5).await;
        send(&producer, &world.topic, 1, 6).await;
        let output = world.consumer(&["--once"]).await.output().expect("Python runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains("gap: position 4"), "{told}");
    });
}

impl World {
    /// The example consumer, with its state beside this world's configuration.
    async fn consumer(&self, arguments: &[&str]) -> Command {
        let python = Tools::locate().consumer_python().expect("`make setup-tests` installs it");
        let bootstrap = stack().await.kafka().expect("started").bootstrap();
        let mut command = Command::new(python);
        command.arg(repository("examples/consumer/consume.py")).args(["--bootstrap", &bootstrap]);
        command
            .args(["--topic", &self.topic, "--batch", "2", "--state"])
            .arg(self.config().with_file_name("consumer.sqlite"));
        command.args(arguments);
        command
    }

    /// Started to read on for ever.
    pub async fn start_consumer(&self) -> Role {
        Role::start(self.consumer(&[]).await, self.config().with_file_name("consumer.log"))
    }

    /// What the consumer shows when it has read all.
    pub async fn consume_to_the_end(&self) -> Value {
        let mut shown = Vec::new();
        for argument in ["--once", "--show"] {
            let output = self.consumer(&[argument]).await.output().expect("Python runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            shown = output.stdout;
        }
        serde_json::from_slice(&shown).expect("JSON")
    }
}

/// The last position that it printed.
pub fn position_in(log: &str) -> u64 {
    let last = log.lines().rev().find_map(|line| line.strip_prefix("position "));
    last.map_or(0, |number| number.parse().expect("a number"))
}

/// What the consumer shows, each table's rows in no order.
pub fn shown(shown: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let tables = shown.as_object().expect("tables").iter().filter(|(name, _)| *name != "position");
    let rows = |rows: &Value| rows.as_array().expect("rows").iter().map(sorted).collect();
    tables.map(|(name, table)| (name.clone(), rows(table))).collect()
}

/// The same from the fold that judges everything.
pub fn expected(folded: &Folded) -> BTreeMap<String, BTreeSet<String>> {
    let models = folded.models.iter();
    let instances = folded.instances.iter();
    let certificates = folded.certificates.iter();
    assert!(folded.delegates.is_empty() && folded.participants.is_empty() && folded.requests.is_empty());
    let states = folded.instances.iter().flat_map(|((issuer, instance), run)| {
        let states = run.states.iter().zip(&run.predecessors).enumerate();
        assert!(run.roots.is_empty(), "the places of states among roots are not told here");
        states.map(move |(sequence, (state, predecessor))| {
            json!({"issuer": issuer, "instance": instance, "sequence": sequence, "state": state, "predecessor": predecessor})
        })
    });
    let levels = folded.levels.iter().map(|(kind, block)| json!({"kind": kind, "block_number": block}));
    let roots = folded.instances.iter().flat_map(|((issuer, instance), run)| {
        let roots = run.roots.iter();
        roots.map(move |(first, count, root)| json!({"issuer": issuer, "instance": instance, "first": first, "count": count, "root": root}))
    });
    let tables: [(&str, Vec<Value>); 11] = [
        (
            "models",
            models
                .map(|((issuer, model), block)| json!({"issuer": issuer, "model": model, "block_number": block}))
                .collect(),
        ),
        (
            "instances",
            instances
                .map(|((issuer, instance), run)| {
                    json!({"issuer": issuer, "instance": instance, "model": run.model,
            "ordinal": run.ordinal, "outcome": run.outcome, "head": run.outcome.map(|_| run.head)})
                })
                .collect(),
        ),
        ("states", states.collect()),
        ("roots", roots.collect()),
        (
            "certificates",
            certificates
                .map(|((subject, fingerprint), revoked)| {
                    json!({"subject": subject, "fingerprint": fingerprint, "revoked_from_block": revoked})
                })
                .collect(),
        ),
        ("delegates", vec![]),
        ("participants", vec![]),
        ("participations", vec![]),
        ("guardians", vec![]),
        ("requests", vec![]),
        ("levels", levels.collect()),
    ];
    tables.map(|(name, rows)| (name.to_owned(), rows.iter().map(sorted).collect())).into()
}

/// A row with its columns in the order of their names.
fn sorted(row: &Value) -> String {
    format!("{:?}", row.as_object().expect("a row").iter().collect::<BTreeMap<_, _>>())
}

fn model(position: u64) -> Value {
    json!({"kind": "model_registered", "issuer": Address::ZERO, "model": format!("{position:064x}")})
}

async fn send(producer: &FutureProducer, topic: &str, partition: i32, position: u64) {
    let origin = json!({"block_number": position});
    let entry =
        json!({"position": position, "retraction": null, "event": model(position), "origin": origin}).to_string();
    let position = position.to_string();
    let headers = OwnedHeaders::new().insert(Header { key: Topic::Events.mark(), value: Some(&position) });
    let record = FutureRecord::to(topic).partition(partition).key("key").payload(&entry).headers(headers);
    producer.send(record, Duration::from_secs(10)).await.expect("delivered");
}
