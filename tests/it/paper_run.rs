//! The paper's own run, followed from its history and imported from its documents: the same ids, everywhere.

use std::path::PathBuf;

use runproof_protocol::{InstanceId, StateId, verdict::Status};
use runproof_stack::{Pace, Recorded, Recording};
use serde_json::Value;

use crate::{
    fold,
    harness::{self, World, eventually},
};

const RUN: &str = "data-queue-warehouse-etl-d02ebfb0-4074-436c-9d3f-f9e4e48223fc";
/// Its instance id.
pub const INSTANCE: &str = "a681a01f3b9d2673b7fcf7f622274d55b4634ea313330c3705f631bee2ae779d";
const MODEL: &str = "c632cb64251cfdb18cb6dcab680b9fc82952aea783538ed246a4cb84f65b81e1";
const EVENT_IDS: [u64; 13] = [2, 15, 17, 19, 21, 35, 37, 39, 41, 55, 57, 59, 61];

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/reference/paper-run").join(name)
}

fn published(name: &str) -> Vec<u8> {
    std::fs::read(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Options of `import` that name its documents.
pub fn documents() -> [String; 6] {
    let paths = [("--model", model()), ("--instance", instance()), ("--trace", trace())];
    let options = paths.map(|(option, path)| [option.to_owned(), path.to_string_lossy().into_owned()]);
    options.concat().try_into().expect("six words")
}

fn model() -> PathBuf {
    path("models/data-queue-warehouse-etl.json")
}

fn instance() -> PathBuf {
    path(&format!("instances/{RUN}.json"))
}

fn trace() -> PathBuf {
    path(&format!("states/{RUN}-61.json"))
}

/// The published protocol's state hashes, in order.
fn published_ids() -> Vec<StateId> {
    let protocol: Value = serde_json::from_slice(&published(&format!("{INSTANCE}.json"))).expect("JSON");
    let rows = protocol["instance_protocol"].as_array().expect("rows").clone();
    rows.iter().map(|row| row["state_hash"].as_str().expect("text").parse().expect("an id")).collect()
}

/// Its history, as Step Functions would serve it.
pub fn recording() -> Recording {
    let [model, instance, trace] = [model(), instance(), trace()].map(|path| std::fs::read(path).expect("published"));
    Recording::of_documents(&model, &instance, &trace).expect("documents of the paper's form")
}

#[test]
fn followed_from_its_history_it_gives_the_published_ids_and_bytes() {
    harness::run(async {
        let recording = recording();
        let execution = recording.execution_arn.clone();
        let recorded = Recorded::serve(vec![recording], Pace::Ended).await.expect("a free port");
        let world = World::builder().aws_endpoint_url(recorded.url()).build().await;
        let told = world.runproof(&["follow", &execution, "--states", "tasks", "--once"]).await;
        let id: InstanceId = told.split_whitespace().last().expect("an id").parse().expect("an id");

        let _site = world.start(&["site"]);
        let (verdict, passed) = eventually("the site answers", async || {
            let (verdict, passed) = world.verify(id, &[]).await;
            (verdict.status() != Status::Unavailable).then_some((verdict, passed))
        })
        .await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.model.to_string(), MODEL);
        assert_eq!(verdict.states.iter().map(|state| state.state).collect::<Vec<_>>(), published_ids());
        for (event_id, state) in EVENT_IDS.iter().zip(published_ids()) {
            let document =
                world.http().get(format!("{}/{state}.json", world.site_url)).send().await.expect("an answer");
            let document = document.error_for_status().expect("the document is there").bytes().await.expect("bytes");
            assert_eq!(document, published(&format!("states/{RUN}-{event_id}.json")), "event {event_id}");
        }
        let served = world.http().get(format!("{}/{id}/trace.json", world.site_url)).send().await.expect("an answer");
        assert_eq!(served.bytes().await.expect("bytes"), std::fs::read(trace()).expect("the trace"));
    });
}

#[test]
fn imported_from_its_documents_it_shows_the_same_rows_everywhere() {
    harness::run(async {
        let world = World::new().await;
        let _roles = ["site", "index", "verdicts", "serve"].map(|role| world.start(&[role]));
        let documents = documents();
        let import = [&["import"][..], &documents.each_ref().map(String::as_str)].concat();
        let told = world.runproof(&import).await;
        assert!(told.contains(MODEL) && told.contains(INSTANCE), "{told}");
        assert_eq!(world.runproof(&import).await, told, "importing again changes nothing");
        let id: InstanceId = INSTANCE.parse().expect("an id");
        let expected = published_ids();

        let (verdict, passed) = world.verify(id, &[]).await;
        assert!(passed, "{verdict:#?}");
        assert_eq!(verdict.states.iter().map(|state| state.state).collect::<Vec<_>>(), expected);

        the_protocol_has_the_papers_fields(&world, &expected).await;
        postgres_and_the_warehouse_have_the_rows(&world, &expected).await;
        kafka_has_the_rows(&world, &expected).await;
        graphql_has_the_rows_and_their_verdicts(&world, &expected).await;
    });
}

async fn the_protocol_has_the_papers_fields(world: &World, expected: &[StateId]) {
    let url = format!("{}/{INSTANCE}.json", world.site_url);
    let protocol: Value = world.http().get(url).send().await.expect("an answer").json().await.expect("JSON");
    let theirs: Value = serde_json::from_slice(&published(&format!("{INSTANCE}.json"))).expect("JSON");
    for field in theirs.as_object().expect("an object").keys() {
        assert!(!protocol[field].is_null(), "{field}");
    }
    let rows = protocol["instance_protocol"].as_array().expect("rows");
    assert_eq!(rows.len(), expected.len());
    for (row, theirs) in rows.iter().zip(theirs["instance_protocol"].as_array().expect("rows")) {
        assert_eq!(row["state_hash"], theirs["state_hash"]);
        assert_eq!(row["event_type"], theirs["event_type"]);
        assert_eq!(row["client_address"], hex::encode(world.issuer));
        for field in theirs.as_object().expect("an object").keys() {
            let kind = |value: &Value| (value.is_u64(), value.is_string());
            assert_eq!(kind(&row[field]), kind(&theirs[field]), "{field}");
        }
    }
}

async fn postgres_and_the_warehouse_have_the_rows(world: &World, expected: &[StateId]) {
    let seed = "select f.state_hash from warehouse.f_state f join warehouse.d_state s using (state_hash)
        where s.instance_hash = $1 order by f.event_index";
    let rows: Vec<String> = eventually("the warehouse has 13 states", async || {
        let rows: Vec<(String,)> = sqlx::query_as(seed).bind(INSTANCE).fetch_all(&world.pool).await.expect("the view");
        (rows.len() == expected.len()).then(|| rows.into_iter().map(|(hash,)| hash).collect())
    })
    .await;
    assert_eq!(rows, expected.iter().map(ToString::to_string).collect::<Vec<_>>());
}

async fn kafka_has_the_rows(world: &World, expected: &[StateId]) {
    let entries: i64 =
        sqlx::query_scalar("select max(position) from journal.entry").fetch_one(&world.pool).await.expect("entries");
    let messages = world.kcat(usize::try_from(entries).expect("a count")).await;
    let values = messages.iter().map(|message| message.value.as_bytes());
    let folded = fold::fold_json(world.registry_at(), values).expect("the topic folds");
    let instance = &folded.instances[&(world.issuer, INSTANCE.parse().expect("an id"))];
    assert_eq!(instance.states, expected);
    let states: Vec<_> =
        messages.iter().filter(|message| message.headers.contains("ce_type=runproof.state_registered")).collect();
    assert_eq!(states.len(), expected.len(), "each state once");
    for message in states {
        assert_eq!(message.key, INSTANCE);
        for header in ["ce_specversion=1.0", "ce_id=", "ce_source=", "ce_time=", "ce_position=", "ce_blockhash="] {
            assert!(message.headers.contains(header), "{header} in {}", message.headers);
        }
    }
}

async fn graphql_has_the_rows_and_their_verdicts(world: &World, expected: &[StateId]) {
    let query = format!(
        r#"{{ states(filter: {{instance: "{INSTANCE}"}}, first: 50) {{ nodes {{ stateId sequence stateName verdict {{ status findings {{ check status }} }} }} }} }}"#
    );
    let nodes = eventually("all 13 states have a verdict", async || {
        let nodes = world.graphql(&query).await["states"]["nodes"].as_array().expect("a list").clone();
        let passed = nodes.iter().filter(|node| node["verdict"]["status"] == "PASSED").count();
        (passed == expected.len()).then_some(nodes)
    })
    .await;
    for (sequence, (node, id)) in nodes.iter().zip(expected).enumerate() {
        assert_eq!((node["stateId"].as_str(), &node["sequence"]), (Some(id.to_string().as_str()), &sequence.into()));
        assert!(node["verdict"]["findings"].as_array().is_some_and(|findings| findings.len() >= 7), "{node}");
    }
    assert_eq!(nodes[0]["stateName"], "Receive Queue Messages");
}

#[test]
fn documents_that_do_not_fit_are_refused_and_nothing_is_registered() {
    harness::run(async {
        let world = World::new().await;
        let (model, instance, trace) = (model(), instance(), trace());
        let text = std::fs::read_to_string(&trace).expect("the trace");
        let swapped = {
            let mut events: Vec<Value> = serde_json::from_str(&text).expect("a list");
            events.swap(3, 4);
            serde_json::to_string(&events).expect("JSON")
        };
        let foreign = text.replacen("d02ebfb0", "00000000", 2);
        let other_run = text.replace("d02ebfb0", "00000000");
        let cases = [
            ("not JSON", "nonsense".to_owned(), "not a JSON list"),
            ("not a list", r#"{"a": 1}"#.to_owned(), "not a JSON list"),
            ("ids out of order", swapped, "ids must rise"),
            ("one event of another execution", foreign, "another execution"),
            ("another run's trace", other_run, "different runs"),
        ];
        for (case, trace, reason) in cases {
            let trace = world.file("trace.json", trace);
            let paths = [&model, &instance, &trace].map(|path| path.to_string_lossy().into_owned());
            let mut command =
                world.command(&["import", "--model", &paths[0], "--instance", &paths[1], "--trace", &paths[2]]);
            let output =
                tokio::task::spawn_blocking(move || command.output()).await.expect("it runs").expect("it runs");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!output.status.success() && told.contains(reason), "{case}: {told}");
        }
        assert_eq!(world.nonce().await, world.nonce_after_binding, "nothing was sent");
    });
}
