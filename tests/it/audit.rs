//! `runproof audit` finds nothing where nothing is wrong, and exactly what was altered where something was.

use std::time::Duration;

use rdkafka::{
    ClientConfig,
    message::{Header, OwnedHeaders},
    producer::{FutureProducer, FutureRecord},
};
use runproof_indexer::{
    audit::{Place, Report},
    relay::topic::Topic,
};
use sqlx::AssertSqlSafe;

use crate::{
    crash::{ended, start_slow_run},
    harness::{self, World, eventually, free_port, stack},
};

#[test]
fn an_audit_names_what_was_altered_and_nothing_else() {
    harness::run(async {
        let world = World::new().await;
        let roles = ["follow", "site"].map(|role| world.start(&[role]));
        // It goes on to the end, since other tests make blocks on the same chain.
        let index = world.start(&["index"]);
        start_slow_run(&world, 3).await;
        ended(&world).await;

        let clean = audit(&world).await;
        assert_eq!(clean.differences, [], "{clean:#?}");
        assert_eq!((clean.instances, clean.messages), (1, Some(clean.entries)));
        roles.into_iter().for_each(|role| assert!(role.stop()));

        let rows = "journal.record where kind = 'state_registered' and sequence = 1";
        let position: i64 = scalar(&world, &format!("select position from {rows}")).await;
        let at = format!("position {position}");

        execute(&world, &format!("create table kept as select * from {rows}; delete from {rows}")).await;
        let found = only(&world, Place::Postgres).await;
        assert_eq!((found.0.as_str(), found.2), (at.as_str(), None), "a row that is gone");
        assert!(found.1.expect("the row").contains("state_registered"));
        execute(&world, "insert into journal.record select * from kept").await;

        let alter = |column: &str, value: &str| {
            format!("update {rows}", rows = rows.replace(" where", &format!(" set {column} = {value} where")))
        };
        execute(&world, &alter("batch", "7")).await;
        let found = only(&world, Place::Postgres).await;
        assert_eq!(found.0, at, "a row with another event");
        assert!(found.2.expect("the row").contains(r#""batch":7"#));
        execute(&world, &alter("batch", "(select batch from kept)")).await;

        let of_instance = |value: &str| {
            format!(
                "update journal.record set model_id = {value} where kind = 'instance_registered' returning position"
            )
        };
        let position: i64 = scalar(&world, &of_instance("sha256('x')")).await;
        assert_eq!(
            only(&world, Place::Postgres).await.0,
            format!("position {position}, model_id"),
            "a column that the event does not say"
        );
        execute(&world, &of_instance("decode(event ->> 'model', 'hex')")).await;
        assert_eq!(audit(&world).await.differences, [], "all is as it was");

        let again = &world.kcat(clean.entries as usize).await[0];
        produce(&world, &again.key, &again.value).await;
        let altered = audit(&world).await.differences;
        assert!(altered.iter().all(|difference| difference.place == Place::Topic), "{altered:#?}");
        assert!(altered.iter().any(|difference| difference.at == "position 1 once more"), "{altered:#?}");
        assert!(index.stop());
    });
}

#[test]
fn an_audit_sees_what_is_wrong_beside_the_events_and_asks_a_quorum() {
    harness::run(async {
        let world = World::builder().own_chain().build().await;
        let roles = ["follow", "site", "verdicts", "index"].map(|role| world.start(&[role]));
        start_slow_run(&world, 2).await;
        let instance = ended(&world).await;
        eventually("it is verified", async || {
            let sql = "select from verdict.instance where status = 'passed'";
            sqlx::query(sql).fetch_optional(&world.pool).await.expect("rows")
        })
        .await;
        let chain = world.chain().await.http_url();
        let twin = chain.replace("127.0.0.1", "localhost");
        let further = format!("[[chain.endpoint]]\nurl = \"{twin}\"\n");
        let configured = std::fs::read_to_string(world.config()).expect("it was written");
        world.file("runproof.toml", configured.replace("[chain]", "[chain]\nquorum = 2") + &further);
        assert_eq!(audit(&world).await.differences, [], "two endpoints agree");
        let nobody = format!("http://127.0.0.1:{}", free_port());
        world.file(
            "runproof.toml",
            configured.replace("[chain]", "[chain]\nquorum = 2").replace(&chain, &nobody) + &further,
        );
        let told = world.command(&["audit"]).output().expect("the binary runs");
        assert!(!told.status.success() && told.stdout.is_empty(), "one endpoint is no quorum of two: {told:?}");
        world.file("runproof.toml", configured);
        for role in roles {
            assert!(role.stop());
        }

        let key = format!("{:#x}/{instance}", world.issuer);
        let newest = scalar(&world, "select max(position) from journal.entry").await;
        for (topic, mark, value) in [
            (Topic::Instances, newest, r#"{"state_count": 7}"#),
            (Topic::Verdicts, 0, r#"{"status": "failed"}"#),
            (Topic::DeadLetters, 1, "{}"),
            (Topic::DeadLetters, 1, "{}"),
        ] {
            forge(&topic.name(&world.topic), &key, topic.mark(), mark, value).await;
        }
        let differences = audit(&world).await.differences;
        assert!(differences.iter().all(|difference| difference.place == Place::Topic), "{differences:#?}");
        let at: Vec<&str> = differences.iter().map(|difference| difference.at.as_str()).collect();
        assert_eq!(at[..2], [format!("instances {key}"), format!("verdicts {key}")], "{differences:#?}");
        assert!(at.len() == 3 && at[2].starts_with("dead letters, 1 once more"), "{differences:#?}");
    });
}

/// A message with a mark, as somebody else would write it.
async fn forge(topic: &str, key: &str, header: &str, mark: i64, value: &str) {
    let mark = mark.to_string();
    let headers = OwnedHeaders::new().insert(Header { key: header, value: Some(&mark) });
    let record = FutureRecord::to(topic).key(key).payload(value).headers(headers);
    let sent = producer().await.send(record, Duration::from_secs(30)).await;
    sent.map_err(|(error, _)| error).expect("the broker takes it");
}

async fn producer() -> FutureProducer {
    let bootstrap = stack().await.kafka().expect("started").bootstrap();
    ClientConfig::new().set("bootstrap.servers", bootstrap).create().expect("a producer")
}

/// What `runproof audit` says.
pub async fn audit(world: &World) -> Report {
    let mut command = world.command(&["audit", "--json", "--patience", "30"]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
    let report: Report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("no report ({error}): {}", String::from_utf8_lossy(&output.stderr));
    });
    assert_eq!(output.status.success(), report.differences.is_empty());
    report
}

/// Place, expectation and finding of the only difference.
async fn only(world: &World, place: Place) -> (String, Option<String>, Option<String>) {
    let mut differences = audit(world).await.differences;
    assert_eq!(differences.len(), 1, "{differences:#?}");
    let difference = differences.remove(0);
    assert_eq!(difference.place, place);
    (difference.at, difference.expected, difference.found)
}

/// Runs statements that give no rows.
pub async fn execute(world: &World, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&world.pool).await.expect("the statement is right");
}

/// A number.
pub async fn scalar(world: &World, sql: &str) -> i64 {
    sqlx::query_scalar(AssertSqlSafe(sql.to_owned())).fetch_one(&world.pool).await.expect("a row")
}

/// A message without the journal's headers, as somebody else would write it.
async fn produce(world: &World, key: &str, value: &str) {
    let record = FutureRecord::to(&world.topic).key(key).payload(value);
    let sent = producer().await.send(record, Duration::from_secs(30)).await;
    sent.map_err(|(error, _)| error).expect("the broker takes it");
}
