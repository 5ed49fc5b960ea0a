//! The topics: what is in them is what their schemas say and what Postgres holds, and the example consumer folds it, also when it is killed.

mod consumer;
mod tls;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    time::Duration,
};

use alloy::{
    network::TransactionBuilder,
    primitives::Bytes,
    providers::{Provider, ext::AnvilApi},
    rpc::types::TransactionRequest,
};
use consumer::{expected, position_in, shown};
use rdkafka::{
    ClientConfig,
    admin::{AdminClient, AdminOptions, ConfigResource, NewTopic, ResourceSpecifier, TopicReplication},
    client::DefaultClientContext,
};
use runproof_indexer::relay::topic::Topic;
use serde_json::{Value, json};

use crate::{
    audit::audit,
    crash::{ended, start_slow_run},
    fold::{self, Folded},
    harness::{self, Role, World, eventually, stack},
    schemas::{asyncapi, channel, each_message_is_there_once_and_as_described, repository},
};

const RECORD_WITHOUT_MEANING: [u8; 6] = [0x60, 0x00, 0x60, 0x00, 0xa0, 0x00]; // PUSH1 0 PUSH1 0 LOG0 STOP

#[test]
fn the_topics_hold_what_postgres_holds_and_their_schemas_say() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let _site = world.start(&["site"]);
        let [follow, index, verdicts] = ["follow", "index", "verdicts"].map(|role| world.start(&[role]));
        start_slow_run(&world, 8).await;
        let consumer = world.start_consumer().await;
        eventually("the consumer has seen states", async || (position_in(&consumer.log()) >= 5).then_some(())).await;
        [consumer, follow, index].into_iter().for_each(Role::kill);
        world.take_the_registration_back().await;
        let index = world.start(&["index"]);
        let consumer = world.start_consumer().await;
        eventually("the tombstone is relayed", async || {
            world.messages().await[Topic::Instances as usize].last()?.value.is_null().then_some(())
        })
        .await;
        let _follow = world.start(&["follow"]);
        let instance = ended(&world).await;
        eventually("there is a verdict on the ended run", async || {
            let sql = "select from verdict.instance v join journal.termination t using (instance_id)
                       where v.journal_position >= t.position and t.retracted_by is null and status = 'passed'";
            sqlx::query(sql).fetch_optional(&world.pool).await.expect("rows")
        })
        .await;
        consumer.kill();
        verdicts.kill();
        world.emit_a_log_without_meaning().await;
        index.kill();
        let index = world.start(&["index"]);
        sqlx::query("delete from verdict.instance").execute(&world.pool).await.expect("the test owns the database");
        let messages = eventually("all is relayed", async || {
            let messages = world.messages().await;
            let newest = |topic| messages[topic as usize].last().map(|message: &KafkaMessage| message.mark(topic));
            let sql =
                "select (select max(position) from journal.entry), (select max(quarantine_id) from journal.quarantine),
                              (select max(revision) from verdict.removal)";
            let marks: (Option<i64>, Option<i64>, Option<i64>) =
                sqlx::query_as(sql).fetch_one(&world.pool).await.expect("marks");
            let found = (newest(Topic::Events), newest(Topic::DeadLetters), newest(Topic::Verdicts));
            (marks.1.is_some() && found == marks).then_some(messages)
        })
        .await;

        let from_postgres = fold::fold_postgres(world.registry_at(), &world.pool).await.expect("the journal folds");
        assert_eq!(from_postgres.instances[&(world.issuer, instance)].states.len(), 8);
        each_of_these_was_seen(&each_message_is_there_once_and_as_described(&messages));
        events_fold_to(&world, &messages[Topic::Events as usize], &from_postgres);
        instances_are(&messages[Topic::Instances as usize], &from_postgres);
        verdicts_end_with_a_tombstone(&messages[Topic::Verdicts as usize]);
        the_dead_letter_is_raw(&world, &messages[Topic::DeadLetters as usize]);
        assert_eq!(shown(&world.consume_to_the_end().await), expected(&from_postgres));
        assert_eq!(audit(&world).await.differences, [], "retractions, tombstones and dead letters included");
        index.kill();
        a_topic_made_anew_is_filled_again(&world, &from_postgres).await;
    });
}

#[test]
fn topics_are_made_as_described_and_one_with_wrong_settings_is_refused() {
    harness::run(async {
        let world = World::new().await;
        let names = Topic::ALL.map(|topic| topic.name(&world.topic));
        let admin: AdminClient<DefaultClientContext> = client().await.create().expect("a client");
        let deleting = NewTopic::new(&names[1], 1, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
        admin.create_topics([&deleting], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("made");
        refused(&world, &format!("topic {} has cleanup.policy=delete, and needs compact", names[1]));
        // The others were made before these were looked at.
        for name in &names {
            delete(&admin, name).await;
        }
        let short = NewTopic::new(&names[3], 1, TopicReplication::Fixed(1)).set("cleanup.policy", "delete");
        let short = short.set("retention.ms", "-1").set("retention.bytes", "-1");
        admin.create_topics([&short], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("made");
        refused(&world, &format!("topic {} has max.message.bytes=1048588, and needs 16777216", names[3]));
        for name in &names {
            delete(&admin, name).await;
        }

        let mut command = world.command(&["index"]);
        command.env("RUNPROOF_KAFKA__PARTITIONS", "2").env("RUNPROOF_KAFKA__REPLICATION", "1");
        let _index = Role::start(command, world.file("index.log", ""));
        let made = eventually("the topics are made", async || settings_of(&admin, &names).await).await;
        let document = asyncapi();
        for (topic, made) in Topic::ALL.into_iter().zip(made) {
            let channel = channel(&document, topic);
            let described = channel["bindings"]["kafka"]["topicConfiguration"].as_object().expect("settings");
            for (setting, value) in described {
                let value = value[0].as_str().map_or_else(|| value.to_string(), str::to_owned);
                assert_eq!(made.get(setting).and_then(|entry| entry.value.as_deref()), Some(&*value), "{channel}");
            }
        }
        let metadata = admin.inner().fetch_metadata(Some(&names[0]), Duration::from_secs(10)).expect("an answer");
        assert_eq!(metadata.topics()[0].partitions().len(), 2, "as many as were set");
    });
}

/// An index that ends with this sentence.
fn refused(world: &World, sentence: &str) {
    let output = world.command(&["index"]).output().expect("the binary runs");
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains(sentence), "{told}");
}

async fn delete(admin: &AdminClient<DefaultClientContext>, name: &str) {
    admin.delete_topics(&[name], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("gone");
}

/// One message as kcat shows it.
#[derive(Debug)]
pub struct KafkaMessage {
    pub key: String,
    /// By name.
    pub headers: Value,
    /// Null of a tombstone.
    pub value: Value,
}

impl KafkaMessage {
    fn parse(line: &str) -> Self {
        let shown: Value = serde_json::from_str(line).expect("kcat's JSON");
        let headers = shown["headers"].as_array().expect("headers");
        let headers = headers.chunks(2).map(|pair| (pair[0].as_str().expect("a name").to_owned(), pair[1].clone()));
        let value = shown["payload"].as_str().map(|text| serde_json::from_str(text).expect("JSON"));
        let key = shown["key"].as_str().expect("a key").to_owned();
        Self { key, headers: headers.collect(), value: value.unwrap_or_default() }
    }

    /// What a header says.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].as_str().unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    fn mark(&self, topic: Topic) -> i64 {
        self.header(topic.mark()).parse().expect("a number")
    }
}

impl World {
    /// All committed messages of each topic.
    pub async fn messages(&self) -> [Vec<KafkaMessage>; 4] {
        self.messages_beside(&self.topic).await
    }

    /// Those of another source's topics, by the name of its events'.
    pub async fn messages_beside(&self, events: &str) -> [Vec<KafkaMessage>; 4] {
        let bootstrap = stack().await.kafka().expect("started").bootstrap();
        Topic::ALL.map(|topic| {
            let name = topic.name(events);
            let mut kcat = Command::new("kcat");
            kcat.args(["-C", "-q", "-e", "-J", "-b", &bootstrap, "-t", &name, "-o", "beginning"]);
            let output = kcat.args(["-X", "isolation.level=read_committed"]).output().expect("kcat runs");
            String::from_utf8(output.stdout).expect("UTF-8").lines().map(KafkaMessage::parse).collect()
        })
    }

    /// A reorganisation removes the run's registration and all that followed. Nobody may be registering.
    pub async fn take_the_registration_back(&self) {
        let sql = "select block_number from journal.instance where retracted_by is null";
        let registered: i64 = sqlx::query_scalar(sql).fetch_one(&self.pool).await.expect("one instance");
        let chain = self.chain().await;
        let head = chain.provider().get_block_number().await.expect("the chain answers");
        chain.reorganise(head + 1 - registered as u64).await.expect("anvil reorganises");
    }

    /// Replaces the contract by one that records an empty log, and calls it.
    async fn emit_a_log_without_meaning(&self) {
        let provider = self.chain().await.provider();
        let registry = self.registry.address;
        let code = provider.get_code_at(registry).await.expect("code");
        let other = Bytes::from_static(&RECORD_WITHOUT_MEANING);
        provider.anvil_set_code(registry, other).await.expect("anvil obeys");
        let accounts = provider.get_accounts().await.expect("accounts");
        let call = TransactionRequest::default().with_from(accounts[0]).with_to(registry);
        let receipt = provider.send_transaction(call).await.expect("sent").get_receipt().await.expect("a receipt");
        assert_eq!(receipt.logs().len(), 1);
        // A node whose contract has other code than at the first start is a stranger.
        provider.anvil_set_code(registry, code).await.expect("anvil obeys");
        eventually("it is quarantined", async || {
            let found = sqlx::query("select from journal.quarantine").fetch_optional(&self.pool).await;
            found.expect("the schema is there")
        })
        .await;
    }
}

fn each_of_these_was_seen(types: &BTreeSet<String>) {
    for expected in
        ["retracted", "state_registered", "instance", "instance_retracted", "verdict", "verdict_removed", "dead_letter"]
    {
        assert!(types.contains(&format!("runproof.{expected}")), "no {expected} among {types:?}");
    }
}

fn events_fold_to(world: &World, events: &[KafkaMessage], expected: &Folded) {
    let values: Vec<String> = events.iter().map(|message| message.value.to_string()).collect();
    let folded = fold::fold_json(world.registry_at(), values.iter().map(String::as_bytes));
    assert_eq!(&folded.expect("the topic folds"), expected);
}

/// The newest message of each instance tells what the fold tells, and a tombstone came when its registration was taken back.
fn instances_are(messages: &[KafkaMessage], expected: &Folded) {
    newest_instances_are(messages, expected);
    let tombstone = messages.iter().position(|message| message.value.is_null()).expect("it was taken back");
    assert!(0 < tombstone && tombstone < messages.len() - 1, "registered, taken back, registered again");
}

fn newest_instances_are(messages: &[KafkaMessage], expected: &Folded) {
    let newest: BTreeMap<&str, &KafkaMessage> = messages.iter().map(|message| (&*message.key, message)).collect();
    assert_eq!(newest.len(), expected.instances.len());
    for ((issuer, instance), folded) in &expected.instances {
        let value = &newest[&*format!("{issuer:#x}/{instance}")].value;
        assert_eq!(value["state_count"], json!(folded.count));
        assert_eq!(value["newest_state"]["state"], json!(folded.states.last()));
        assert_eq!(value["newest_state"]["predecessor"], json!(folded.predecessors.last()));
        let (outcome, head) = (json!(folded.outcome), json!(folded.head));
        assert_eq!((&value["termination"]["outcome"], &value["termination"]["head"]), (&outcome, &head));
        assert_eq!((&value["model"], &value["ordinal"]), (&json!(folded.model), &json!(folded.ordinal)));
    }
}

/// While the events go on where they ended.
async fn a_topic_made_anew_is_filled_again(world: &World, expected: &Folded) {
    let admin: AdminClient<DefaultClientContext> = client().await.create().expect("a client");
    let name = Topic::Instances.name(&world.topic);
    admin.delete_topics(&[&name], &AdminOptions::new()).await.expect("an answer")[0].as_ref().expect("gone");
    let events = world.messages().await[Topic::Events as usize].len();
    let _index = world.start(&["index"]);
    let messages = eventually("the instances are back", async || {
        let messages = world.messages().await;
        let last = &messages[Topic::Instances as usize].last()?.value;
        (last["termination"]["outcome"] == "succeeded").then_some(messages)
    })
    .await;
    assert_eq!(messages[Topic::Events as usize].len(), events);
    newest_instances_are(&messages[Topic::Instances as usize], expected);
}

fn verdicts_end_with_a_tombstone(messages: &[KafkaMessage]) {
    let (last, verdicts) = messages.split_last().expect("messages");
    assert!(last.value.is_null());
    let passed = &verdicts.last().expect("a verdict").value;
    assert_eq!((&passed["status"], &passed["states"]["passed"]), (&json!("passed"), &json!(8)));
    assert!(verdicts.windows(2).all(|pair| pair[0].mark(Topic::Verdicts) < pair[1].mark(Topic::Verdicts)));
}

fn the_dead_letter_is_raw(world: &World, messages: &[KafkaMessage]) {
    let [KafkaMessage { value, .. }] = messages else { panic!("{messages:?}") };
    assert_eq!(value["log"]["address"], json!(world.registry.address));
    assert_eq!((&value["log"]["topics"], &value["log"]["data"]), (&json!([]), &json!("0x")));
}

async fn client() -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", stack().await.kafka().expect("started").bootstrap());
    config
}

/// `None` as long as one is missing.
async fn settings_of(admin: &AdminClient<DefaultClientContext>, names: &[String; 4]) -> Option<Vec<ConfigResource>> {
    let resources = names.each_ref().map(|name| ResourceSpecifier::Topic(name));
    let options = AdminOptions::new().request_timeout(Some(Duration::from_secs(10)));
    let found = admin.describe_configs(&resources, &options).await.expect("an answer");
    let found = found.into_iter().collect::<Result<Vec<_>, _>>().ok()?;
    // rdkafka gives the answer of an error as one without entries.
    found.iter().all(|topic| !topic.entries.is_empty()).then_some(found)
}
